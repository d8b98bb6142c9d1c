#include "staging/image_copy.hpp"

#include <algorithm>
#include <cstring>

#include "staging/copy.hpp"
#include "staging/pack.hpp"

namespace cairn::staging {
namespace {

/// Bytes [begin, end) of the piece's packed form.
void copy_piece(const format::Piece& piece, std::uint64_t begin, std::uint64_t end, std::byte* destination) {
  if (piece.source.is_contiguous()) {
    copy_bytes(destination, static_cast<const std::byte*>(piece.source.data()) + begin, end - begin);
  } else {
    pack(destination, piece.source, begin, end);
  }
}

}  // namespace

void copy_image(const format::Image& image, std::uint64_t begin, std::uint64_t end, std::byte* destination) {
  std::uint64_t at = begin;
  const auto here = [&] { return destination + (at - begin); };
  if (at < image.header.size()) {
    const std::uint64_t bytes = std::min<std::uint64_t>(image.header.size(), end) - at;
    std::memcpy(here(), image.header.data() + at, bytes);
    at += bytes;
  }
  auto piece = std::partition_point(image.pieces.begin(), image.pieces.end(), [at](const format::Piece& candidate) {
    return candidate.file_offset + candidate.bytes <= at;
  });
  for (; at < end; ++piece) {
    const std::uint64_t next = piece == image.pieces.end() ? end : std::min(end, piece->file_offset);
    if (next > at) {
      std::memset(here(), 0, next - at);
      at = next;
    }
    if (at == end) return;
    const std::uint64_t piece_end = std::min(end, piece->file_offset + piece->bytes);
    copy_piece(*piece, at - piece->file_offset, piece_end - piece->file_offset, here());
    at = piece_end;
  }
}

}  // namespace cairn::staging
