#include "staging/host_stager.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <coroutine>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cairn/detail/affinity.hpp"
#include "cairn/error.hpp"
#include "cairn/when_all.hpp"
#include "staging/image_copy.hpp"

// Who does what while an image is staged.
//
// Copy threads take the image's blocks in order from a counter. A thread that may not fill the next block yet, because
// the window still holds one that is not in the file, returns to the pool: no thread ever waits for the disk. When all
// have returned and the image is not complete, the coroutine awaits the writer, and sends the threads out again: a
// wave. An image that fits its window takes one wave, with one coroutine for each thread and none for a block.
//
// Beside them, on the scheduler, a coroutine reports what is ready. Threads that finish blocks while it has not run yet
// find it posted already: so reports coalesce when the scheduler is busy.

namespace cairn::staging {
namespace {

constexpr std::uint64_t tail_alignment_bytes = 4096;  // the writer's last direct write ends at a multiple of it

/// One image on its way into its window. Lives in the frame of stage(), longer than all that use it.
class Copying {
 public:
  Copying(format::Image image, MemoryWindow& window, SlotHeader& header, std::stop_token stop)
      : image_(std::move(image)),
        window_(window),
        header_(header),
        stop_(std::move(stop)),
        blocks_((image_.bytes + slot_block_bytes - 1) / slot_block_bytes),
        is_done_(blocks_) {
    header_.ready_bytes.store(0, std::memory_order_release);
  }

  /// Fills blocks until none is left that may be filled. Many threads.
  void fill_blocks() noexcept {
    std::uint64_t block = next_block_.load(std::memory_order_relaxed);
    while (block < blocks_ && !stopped() && may_fill(block)) {
      if (!next_block_.compare_exchange_weak(block, block + 1, std::memory_order_relaxed)) continue;
      try {
        fill(block);
      } catch (...) {
        fail(std::current_exception());
        return;
      }
      finish(block);
      block = next_block_.load(std::memory_order_relaxed);
    }
  }

  void fail(std::exception_ptr error) noexcept {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_.store(true, std::memory_order_relaxed);
  }

  // The rest is called on the scheduler's thread only, complete() and needed_bytes() between waves.

  std::uint64_t blocks_left() const noexcept { return blocks_ - next_block_.load(std::memory_order_relaxed); }

  /// What the writer must have in the file before the next block can be filled.
  std::uint64_t needed_bytes() const noexcept { return needed_for(next_block_.load(std::memory_order_relaxed)); }

  void threads_start(unsigned threads) noexcept {
    const std::lock_guard lock(mutex_);
    threads_ = threads;
  }

  void thread_left() noexcept {
    std::unique_lock lock(mutex_);
    --threads_;
    wake_reporter(std::move(lock));
  }

  struct Progress {
    std::uint64_t ready_bytes;
    bool threads_running;
  };
  Progress progress() noexcept {
    const std::lock_guard lock(mutex_);
    changed_ = false;
    return Progress{header_.ready_bytes.load(std::memory_order_relaxed), threads_ > 0};
  }

  /// `co_await` it: until progress() has more to say than the last time.
  class Change {
   public:
    using cairn_affine = void;
    explicit Change(Copying& copying) noexcept : copying_(copying) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    [[gnu::noinline]] bool await_suspend(std::coroutine_handle<Promise> reporter) noexcept {
      const std::lock_guard lock(copying_.mutex_);
      if (copying_.changed_) return false;
      copying_.reporter_ = reporter;
      copying_.scheduler_ = detail::scheduler_of(reporter);
      return true;
    }
    void await_resume() const noexcept {}

   private:
    Copying& copying_;
  };

  /// Whether all of it is ready; throws when it will not be.
  bool complete() const {
    if (error_) std::rethrow_exception(error_);
    if (blocks_ready_ == blocks_) return true;
    if (stop_.stop_requested()) {
      throw Error(Errc::cancelled, "stage " + std::to_string(image_.bytes) + " bytes, stopped at " +
                                       std::to_string(header_.ready_bytes.load(std::memory_order_relaxed)));
    }
    return false;
  }

 private:
  bool stopped() const noexcept { return failed_.load(std::memory_order_relaxed) || stop_.stop_requested(); }

  std::uint64_t needed_for(std::uint64_t block) const noexcept {
    const std::uint64_t end = (block + 1) * slot_block_bytes;
    return end - std::min(end, window_.capacity_bytes());
  }

  bool may_fill(std::uint64_t block) const noexcept {
    const std::uint64_t needed = needed_for(block);
    return needed == 0 || header_.written_bytes.load(std::memory_order_acquire) >= needed;
  }

  void fill(std::uint64_t block) {
    const std::uint64_t block_in_window = block % window_.blocks();
    if (window_.populate(block_in_window)) header_.populated.store(1, std::memory_order_release);
    std::byte* const destination = window_.data() + block_in_window * slot_block_bytes;
    const std::uint64_t begin = block * slot_block_bytes;
    const std::uint64_t end = std::min(begin + slot_block_bytes, image_.bytes);
    copy_image(image_, begin, end, destination);
    const std::uint64_t past_alignment = end % tail_alignment_bytes;
    if (past_alignment != 0) std::memset(destination + (end - begin), 0, tail_alignment_bytes - past_alignment);
  }

  void finish(std::uint64_t block) noexcept {
    std::unique_lock lock(mutex_);
    is_done_[block] = true;
    const std::uint64_t before = blocks_ready_;
    while (blocks_ready_ < blocks_ && is_done_[blocks_ready_])
      ++blocks_ready_;
    if (blocks_ready_ == before) return;
    // Under the lock, which every block's thread has held after its copy: so this releases the copies of all of them.
    header_.ready_bytes.store(std::min(blocks_ready_ * slot_block_bytes, image_.bytes), std::memory_order_release);
    wake_reporter(std::move(lock));
  }

  void wake_reporter(std::unique_lock<std::mutex> lock) noexcept {
    changed_ = true;
    const std::coroutine_handle<> reporter = std::exchange(reporter_, nullptr);
    Scheduler* const scheduler = scheduler_;
    lock.unlock();
    if (reporter) detail::resume_on(scheduler, reporter);
  }

  const format::Image image_;
  MemoryWindow& window_;
  SlotHeader& header_;
  const std::stop_token stop_;
  const std::uint64_t blocks_;
  std::atomic<std::uint64_t> next_block_{0};
  std::atomic<bool> failed_{false};

  std::mutex mutex_;
  std::vector<bool> is_done_;       // by block
  std::uint64_t blocks_ready_ = 0;  // all blocks before it are done
  unsigned threads_ = 0;            // of this wave, that have not come back yet
  bool changed_ = false;            // since the last progress()
  std::coroutine_handle<> reporter_;
  Scheduler* scheduler_ = nullptr;
  std::exception_ptr error_;
};

/// Fills blocks on a thread of the pool. Throws nothing: an error is the image's.
Task<void> fill_on(WorkPool& pool, Copying& copying) {
  try {
    std::function<void()> work = [&copying] { copying.fill_blocks(); };
    co_await pool.run(std::move(work));
  } catch (...) {  // no thread could be had
    copying.fail(std::current_exception());
  }
  copying.thread_left();
}

/// Reports what becomes ready, until the threads of the wave are back.
Task<void> report(Copying& copying, std::uint64_t& reported_bytes, const HostStager::OnReady& on_ready) {
  bool broken = false;
  while (true) {
    co_await Copying::Change(copying);
    const Copying::Progress progress = copying.progress();
    if (progress.ready_bytes > reported_bytes && !broken) {
      reported_bytes = progress.ready_bytes;
      try {
        on_ready(progress.ready_bytes);
      } catch (...) {
        broken = true;
        copying.fail(std::current_exception());
      }
    }
    if (!progress.threads_running) co_return;
  }
}

void require_host_memory(const format::Image& image) {
  for (const format::Piece& piece : image.pieces) {
    if (piece.source.device().is_host()) continue;
    throw Error(Errc::bad_argument, "stage a tensor in memory of " + to_string(piece.source.device()));
  }
}

}  // namespace

unsigned default_copy_threads() noexcept {
  constexpr int threads_max = 4;
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (::sched_getaffinity(0, sizeof processors, &processors) != 0) return threads_max;
  return static_cast<unsigned>(std::clamp(CPU_COUNT(&processors), 1, threads_max));
}

HostStager::HostStager(WorkPool& pool, unsigned threads)
    : pool_(pool), threads_(threads == 0 ? default_copy_threads() : threads) {}

Task<void> HostStager::stage(format::Image image, SlotMemory& memory, SlotHeader& header, OnReady on_ready,
                             WaitWritten wait_written, std::stop_token stop) {
  require_host_memory(image);
  Copying copying(std::move(image), memory, header, std::move(stop));
  std::uint64_t reported_bytes = 0;
  while (!copying.complete()) {
    if (copying.needed_bytes() > header.written_bytes.load(std::memory_order_acquire)) {
      co_await wait_written(copying.needed_bytes());
      continue;
    }
    const auto threads = static_cast<unsigned>(std::min<std::uint64_t>(threads_, copying.blocks_left()));
    copying.threads_start(threads);
    std::vector<Task<void>> wave;
    for (unsigned thread = 0; thread < threads; ++thread)
      wave.push_back(fill_on(pool_, copying));
    wave.push_back(report(copying, reported_bytes, on_ready));
    co_await when_all(std::move(wave));
  }
}

}  // namespace cairn::staging
