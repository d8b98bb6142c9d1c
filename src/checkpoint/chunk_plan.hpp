#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checkpoint/load_plan.hpp"
#include "format/digest.hpp"

namespace cairn::checkpoint {

/// One read: at most ReadBuffers::buffer_bytes, beginning on a multiple of 4096.
struct Chunk {
  std::size_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  ///< up to the end of the file at most

  std::uint64_t end() const noexcept { return offset + bytes; }
};

/// The part of a transfer that lies in one chunk.
struct Piece {
  std::size_t transfer = 0;
  std::uint64_t offset = 0;  ///< in the file
  std::uint64_t bytes = 0;
};

/// The file as far as planning reads needs it.
struct FileExtent {
  std::uint64_t bytes = 0;
  std::uint64_t in_memory = 0;  ///< the first bytes that need not be read: a multiple of the digest block, or all of it
  bool by_block = true;         ///< digests are checked: read whole digest blocks
};

/// The reads that bring all transfers, in the order of the files, and what to do with each.
class ChunkPlan {
 public:
  /// Reads no digest block (or, without digests, no page) in which there is nothing that is needed.
  ChunkPlan(std::span<const FileExtent> files, std::span<const Transfer> transfers);

  std::span<const Chunk> chunks() const noexcept { return chunks_; }
  std::span<const Piece> pieces(std::size_t chunk) const noexcept { return pieces_[chunk]; }

  /// Pieces in the bytes that are in memory already.
  std::span<const Piece> pieces_in_memory() const noexcept { return pieces_in_memory_; }

 private:
  std::vector<Chunk> chunks_;
  std::vector<std::vector<Piece>> pieces_;
  std::vector<Piece> pieces_in_memory_;
};

/// All of a file, in chunks.
std::vector<Chunk> whole_file_chunks(std::size_t file, std::uint64_t bytes);

}  // namespace cairn::checkpoint
