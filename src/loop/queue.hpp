#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace cairn::loop {

/// What other threads (and the loop's own) ask a loop to do: coroutines and functions in the order of the calls, a
/// request to stop, and the knowledge whether the loop must be woken for them.
class Queue {
 public:
  /// `wake` gets the sleeping loop's thread out of its sleep. It is called on the posting thread with the queue locked,
  /// so that the loop cannot take what was posted, end and be destroyed while the posting thread still wakes it.
  explicit Queue(std::function<void()> wake) : wake_(std::move(wake)) {}

  void push(std::coroutine_handle<> coroutine) noexcept { push(Item(coroutine)); }
  void push(std::function<void()> function) noexcept { push(Item(std::move(function))); }

  void request_stop() noexcept {
    const std::lock_guard lock(mutex_);
    stop_requested_ = true;
    notify();
  }

  /// One load; anything but false after a push or a request to stop.
  bool maybe_something() const noexcept { return something_.load(std::memory_order_acquire); }

  /// Runs what is queued now; true when that was anything. Loop's thread.
  bool run_batch() {
    {
      const std::lock_guard lock(mutex_);
      something_.store(stop_requested_, std::memory_order_relaxed);
      batch_.swap(items_);
    }
    // Items may be pushed, never run, while the batch runs: it is not touched by anyone else.
    for (Item& item : batch_)
      item.run();
    const bool any = !batch_.empty();
    batch_.clear();
    return any;
  }

  /// True once after a request to stop.
  bool take_stop() noexcept {
    const std::lock_guard lock(mutex_);
    return std::exchange(stop_requested_, false);
  }

  /// False when there is something to do instead. After true, the next push wakes the loop.
  bool begin_sleep() noexcept {
    const std::lock_guard lock(mutex_);
    sleeping_ = items_.empty() && !stop_requested_;
    return sleeping_;
  }

  void end_sleep() noexcept {
    const std::lock_guard lock(mutex_);
    sleeping_ = false;
  }

 private:
  class Item {
   public:
    explicit Item(std::coroutine_handle<> coroutine) noexcept : coroutine_(coroutine) {}
    explicit Item(std::function<void()> function) noexcept : function_(std::move(function)) {}

    void run() {
      if (coroutine_) return coroutine_.resume();
      // Destroyed at once, not with the batch: it may own what the next item waits for.
      const std::function<void()> function = std::move(function_);
      function();
    }

   private:
    std::coroutine_handle<> coroutine_;
    std::function<void()> function_;
  };

  void push(Item item) noexcept {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    notify();
  }

  /// Locked.
  void notify() noexcept {
    something_.store(true, std::memory_order_release);
    if (std::exchange(sleeping_, false)) wake_();
  }

  const std::function<void()> wake_;
  std::atomic<bool> something_ = false;
  std::vector<Item> batch_;  ///< loop's thread

  std::mutex mutex_;  // guards what follows
  std::vector<Item> items_;
  bool sleeping_ = false;
  bool stop_requested_ = false;
};

}  // namespace cairn::loop
