#include "checkpoint/chunk_plan.hpp"

#include <algorithm>

#include "checkpoint/read_buffers.hpp"

namespace cairn::checkpoint {
namespace {

constexpr std::uint64_t page_bytes = 4096;

std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
  return value / unit * unit;
}
std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return round_down(value + unit - 1, unit);
}

}  // namespace

std::vector<Chunk> whole_file_chunks(std::size_t file, std::uint64_t bytes) {
  std::vector<Chunk> chunks;
  for (std::uint64_t offset = 0; offset < bytes; offset += ReadBuffers::buffer_bytes) {
    chunks.push_back(Chunk{file, offset, std::min<std::uint64_t>(ReadBuffers::buffer_bytes, bytes - offset)});
  }
  return chunks;
}

ChunkPlan::ChunkPlan(std::span<const FileExtent> files, std::span<const Transfer> transfers) {
  std::vector<Piece> pieces;
  pieces.reserve(transfers.size());
  for (std::size_t at = 0; at < transfers.size(); ++at) {
    const Transfer& transfer = transfers[at];
    const std::uint64_t in_memory = files[transfer.file].in_memory;
    const std::uint64_t end = transfer.offset + transfer.bytes;
    const std::uint64_t split = std::clamp(in_memory, transfer.offset, end);
    if (split > transfer.offset) pieces_in_memory_.push_back(Piece{at, transfer.offset, split - transfer.offset});
    if (end > split) pieces.push_back(Piece{at, split, end - split});
  }
  std::sort(pieces.begin(), pieces.end(), [&](const Piece& left, const Piece& right) {
    const std::size_t left_file = transfers[left.transfer].file;
    const std::size_t right_file = transfers[right.transfer].file;
    return left_file != right_file ? left_file < right_file : left.offset < right.offset;
  });

  // Pieces come by rising offset; each either lies in the last chunk, extends it, or begins a new one. What several
  // transfers want alike is in one chunk: chunks never overlap.
  for (const Piece& piece : pieces) {
    const std::size_t file = transfers[piece.transfer].file;
    const FileExtent& extent = files[file];
    const std::uint64_t unit = extent.by_block ? format::digest_block_bytes : page_bytes;
    std::uint64_t offset = piece.offset;
    const std::uint64_t end = piece.offset + piece.bytes;

    // Where earlier chunks hold the beginning of this piece (pieces may overlap), find the first that does.
    std::size_t chunk = chunks_.size();
    while (chunk > 0 && chunks_[chunk - 1].file == file && chunks_[chunk - 1].end() > offset)
      --chunk;

    while (offset < end) {
      if (chunk == chunks_.size()) {
        const std::uint64_t begin = round_down(offset, unit);
        // Chunks of by_block files keep to a grid of the buffer's size, so that large runs give full, aligned reads.
        const std::uint64_t limit =
            std::min(round_down(begin, ReadBuffers::buffer_bytes) + ReadBuffers::buffer_bytes, extent.bytes);
        const std::uint64_t wanted = std::min(round_up(end, unit), limit);
        const bool extends = chunk > 0 && chunks_[chunk - 1].file == file && chunks_[chunk - 1].end() == begin &&
                             begin % ReadBuffers::buffer_bytes != 0;
        if (extends) {
          --chunk;
          chunks_[chunk].bytes = wanted - chunks_[chunk].offset;
        } else {
          chunks_.push_back(Chunk{file, begin, wanted - begin});
          pieces_.emplace_back();
        }
      }
      const std::uint64_t stop = std::min(end, chunks_[chunk].end());
      pieces_[chunk].push_back(Piece{piece.transfer, offset, stop - offset});
      offset = stop;
      ++chunk;
    }
  }
}

}  // namespace cairn::checkpoint
