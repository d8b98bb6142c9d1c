#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "cairn/task.hpp"
#include "checkpoint/chunk_plan.hpp"
#include "checkpoint/read_buffers.hpp"
#include "core/work_pool.hpp"
#include "uring/file.hpp"

namespace cairn::checkpoint {

/// Called with chunk number and its bytes, on threads of the pool, for several chunks at a time. A throw ends the
/// reading.
using ConsumeChunk = std::function<void(std::size_t, std::span<const std::byte>)>;

/// Reads chunks in order, as many at a time as there are buffers: while the pool works on some, the others are being
/// read.
///
/// On the loop's thread; one read() at a time. Files, chunks, buffers and pool must outlive it.
class ChunkReader {
 public:
  /// `files` are indexed by Chunk::file.
  ChunkReader(std::vector<uring::File*> files, ReadBuffers& buffers, WorkPool& pool)
      : files_(std::move(files)), buffers_(buffers), pool_(pool) {}

  /// Returns when no read and no work is under way any more. Throws the first error: of a read (naming file and
  /// offset), of `consume`, Errc::damaged for a file that ends early, Errc::cancelled after a stop.
  Task<void> read(std::span<const Chunk> chunks, ConsumeChunk consume, std::stop_token stop);

 private:
  Task<void> lane();
  Task<void> read_one(std::size_t at);

  std::vector<uring::File*> files_;
  ReadBuffers& buffers_;
  WorkPool& pool_;
  std::span<const Chunk> chunks_;
  ConsumeChunk consume_;
  std::size_t next_ = 0;
  std::stop_source stopping_;
  std::exception_ptr error_;
};

}  // namespace cairn::checkpoint
