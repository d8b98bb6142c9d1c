#include "checkpoint/loader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cairn/error.hpp"

namespace cairn::checkpoint {
namespace {

using format::digest_block_bytes;

/// What one thread of the pool does with the chunks of a load.
class Delivery {
 public:
  Delivery(std::span<LoadFile> files, std::span<const Transfer> transfers, const ChunkPlan& plan)
      : files_(files), transfers_(transfers), plan_(plan) {}

  void consume(std::size_t chunk_number, std::span<const std::byte> bytes) const {
    const Chunk& chunk = plan_.chunks()[chunk_number];
    const LoadFile& file = files_[chunk.file];
    std::span<const Piece> pieces = plan_.pieces(chunk_number);
    if (file.digests.empty()) return put(pieces, bytes.data(), chunk.offset, chunk.end());

    // Block by block, so that what the digest brought into the cache is copied from there.
    for (std::uint64_t begin = chunk.offset; begin < chunk.end(); begin += digest_block_bytes) {
      const std::uint64_t end = std::min(begin + digest_block_bytes, chunk.end());
      const std::uint64_t block = begin / digest_block_bytes;
      verify_block(file.file->path(), block, bytes.subspan(begin - chunk.offset, end - begin), file.digests[block]);
      put(pieces, bytes.data() + (begin - chunk.offset), begin, end);
    }
  }

  void put_from_head() const {
    for (const Piece& piece : plan_.pieces_in_memory()) {
      const std::vector<std::byte>& head = files_[transfers_[piece.transfer].file].head;
      put(std::span(&piece, 1), head.data(), 0, head.size());
    }
  }

 private:
  /// Puts what the pieces have in bytes [begin, end) of the file, which are at `bytes`.
  void put(std::span<const Piece> pieces, const std::byte* bytes, std::uint64_t begin, std::uint64_t end) const {
    for (const Piece& piece : pieces) {
      const std::uint64_t from = std::max(piece.offset, begin);
      const std::uint64_t to = std::min(piece.offset + piece.bytes, end);
      if (from >= to) continue;
      const Transfer& transfer = transfers_[piece.transfer];
      const std::uint64_t position = transfer.position + (from - transfer.offset);
      transfer.target.put(bytes + (from - begin), position, position + (to - from));
    }
  }

  std::span<LoadFile> files_;
  std::span<const Transfer> transfers_;
  const ChunkPlan& plan_;
};

}  // namespace

void verify_block(const std::filesystem::path& file, std::uint64_t block, std::span<const std::byte> bytes,
                  const format::Digest& expected) {
  if (format::digest(bytes) == expected) return;
  const std::uint64_t begin = block * digest_block_bytes;
  throw Error(Errc::damaged, "read " + file.string() + ": block " + std::to_string(block) + " (bytes " +
                                 std::to_string(begin) + " to " + std::to_string(begin + bytes.size()) +
                                 ") is not what was written");
}

Task<LoadFile> Loader::open(std::filesystem::path path, std::optional<std::uint64_t> bytes,
                            std::vector<format::Digest> digests, std::stop_token stop) {
  const int flags = O_RDONLY | (direct_ ? O_DIRECT : 0);
  LoadFile opened;
  uring::File file = co_await uring::File::open(io_, path, flags);
  opened.file = std::make_unique<uring::File>(std::move(file));
  opened.bytes = co_await opened.file->size();
  if (bytes && opened.bytes != *bytes) {
    throw Error(Errc::damaged, "read " + path.string() + ": it has " + std::to_string(opened.bytes) + " bytes, " +
                                   std::to_string(*bytes) + " were written");
  }
  opened.digests = std::move(digests);

  co_await read_head(opened, digest_block_bytes, stop);
  const std::string name = path.string();
  const std::uint64_t json_bytes = format::header_json_bytes(opened.head, opened.bytes, name);
  const std::uint64_t header_bytes = format::header_prefix_bytes + json_bytes;
  if (opened.head.size() < header_bytes) co_await read_head(opened, header_bytes, stop);

  // Parsing 100 MB of JSON takes a while: not on the loop's thread.
  const std::function<void()> parse = [&opened, &name, json_bytes] {
    const auto json = std::span<const std::byte>(opened.head).subspan(format::header_prefix_bytes, json_bytes);
    opened.header = format::parse_header(json, opened.bytes, name);
  };
  co_await pool_.run(parse);
  co_return opened;
}

/// Makes `file.head` hold the first `bytes` bytes at least, in whole digest blocks, verified.
Task<void> Loader::read_head(LoadFile& file, std::uint64_t bytes, std::stop_token stop) {
  const std::uint64_t blocks_end = (bytes + digest_block_bytes - 1) / digest_block_bytes * digest_block_bytes;
  const std::uint64_t begin = file.head.size();
  const std::uint64_t end = std::min(blocks_end, file.bytes);
  if (begin >= end) co_return;
  file.head.resize(end);

  std::vector<Chunk> chunks;
  for (Chunk chunk : whole_file_chunks(0, end - begin)) {
    chunk.offset += begin;
    chunks.push_back(chunk);
  }
  const ConsumeChunk consume = [&file, &chunks](std::size_t number, std::span<const std::byte> read) {
    const Chunk& chunk = chunks[number];
    for (std::uint64_t at = 0; at < read.size() && !file.digests.empty(); at += digest_block_bytes) {
      const std::uint64_t block = (chunk.offset + at) / digest_block_bytes;
      const std::span<const std::byte> block_bytes = read.subspan(at, std::min(digest_block_bytes, read.size() - at));
      verify_block(file.file->path(), block, block_bytes, file.digests[block]);
    }
    std::memcpy(file.head.data() + chunk.offset, read.data(), read.size());
  };
  std::vector<uring::File*> files;
  files.push_back(file.file.get());
  ChunkReader reader(std::move(files), buffers_, pool_);
  co_await reader.read(chunks, consume, stop);
}

Task<std::uint64_t> Loader::execute(std::span<LoadFile> files, std::span<const Transfer> transfers,
                                    std::stop_token stop) {
  std::vector<FileExtent> extents;
  std::vector<uring::File*> opened;
  for (const LoadFile& file : files) {
    extents.push_back(FileExtent{file.bytes, file.head.size(), !file.digests.empty()});
    opened.push_back(file.file.get());
  }
  const ChunkPlan plan(extents, transfers);
  const Delivery delivery(files, transfers, plan);

  const std::function<void()> from_head = [&delivery] { delivery.put_from_head(); };
  if (!plan.pieces_in_memory().empty()) co_await pool_.run(from_head);

  const ConsumeChunk consume = [&delivery](std::size_t chunk, std::span<const std::byte> bytes) {
    delivery.consume(chunk, bytes);
  };
  ChunkReader reader(std::move(opened), buffers_, pool_);
  co_await reader.read(plan.chunks(), consume, stop);

  std::uint64_t bytes_read = 0;
  for (const Chunk& chunk : plan.chunks())
    bytes_read += chunk.bytes;
  co_return bytes_read;
}

}  // namespace cairn::checkpoint
