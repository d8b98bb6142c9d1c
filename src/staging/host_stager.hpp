#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "cairn/task.hpp"
#include "core/slot.hpp"
#include "core/work_pool.hpp"
#include "format/plan.hpp"
#include "staging/arena.hpp"

namespace cairn::staging {

/// Copy threads to use where the configuration says 0: one for each processor of the process, at most 4.
unsigned default_copy_threads() noexcept;

/// Copies file images into windows, on the threads of a pool.
class HostStager {
 public:
  /// Called with the image bytes that are ready, [0, ready), as they become more. On the scheduler of the Task that
  /// awaits stage(), never inline in another call of it; several blocks may be reported by one call.
  using OnReady = std::function<void(std::uint64_t ready_bytes)>;

  /// Completes when SlotHeader::written_bytes is `needed_bytes` at least. It must throw when that will not happen any
  /// more, and when the stop token given to stage() is triggered. One at a time.
  using WaitWritten = std::function<Task<void>(std::uint64_t needed_bytes)>;

  /// `threads` blocks are copied at a time; 0: default_copy_threads(). The pool should have as many threads, and must
  /// outlive the tasks.
  explicit HostStager(WorkPool& pool, unsigned threads = 0);

  /// Copies the image into the window, in blocks, in the order of the file: image byte p goes to p % capacity, and
  /// bytes up to the next multiple of 4096 behind the image are zero. Publishes the part that is ready in
  /// SlotHeader::ready_bytes, from 0. Sets SlotHeader::populated once every page of the window is there.
  /// An image larger than the window streams: a block is overwritten only when written_bytes (0 at the beginning) says
  /// that it is in the file.
  ///
  /// Sources, `memory` and `header` must live until the Task is done; no copy is running any more then, however it
  /// ended. Errors: cancelled (the stop token; looked at between blocks), too_little_memory, bad_argument for a source
  /// that is not in host memory, and what `on_ready` and `wait_written` throw.
  Task<void> stage(format::Image image, SlotMemory& memory, SlotHeader& header, OnReady on_ready,
                   WaitWritten wait_written, std::stop_token stop);

 private:
  WorkPool& pool_;
  unsigned threads_;
};

}  // namespace cairn::staging
