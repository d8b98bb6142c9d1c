#include "uring/helper_threads.hpp"

#include <cstdint>
#include <system_error>

#include "core/thread.hpp"
#include "uring/blocking_call.hpp"
#include "uring/wake_event.hpp"

namespace cairn::uring {

HelperThreads::~HelperThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  submitted_.notify_all();
  for (std::thread& thread : threads_)
    thread.join();
}

void HelperThreads::submit(Operation& operation) {
  bool start = false;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(operation);
    ++queued_;
    start = queued_ > idle_ && threads_.size() < threads_max_;
  }
  ++in_flight_;
  submitted_.notify_one();
  if (!start) return;
  try {
    threads_.push_back(start_thread("cairn-file", [this] { work(); }));
  } catch (const std::system_error&) {
    // At the limit of threads. Those there are will come to it; with none, the loop's own thread is left.
    if (threads_.empty()) run_next();
  }
}

bool HelperThreads::cancel(Operation& operation) noexcept {
  const std::lock_guard lock(mutex_);
  if (!queue_.remove(operation)) return false;
  --queued_;
  --in_flight_;
  return true;
}

void HelperThreads::cancel_all(OperationList& dropped) noexcept {
  const std::lock_guard lock(mutex_);
  dropped.take(queue_);
  in_flight_ -= queued_;
  queued_ = 0;
}

void HelperThreads::wait_completed(OperationList& done) {
  {
    std::unique_lock lock(mutex_);
    while (completed_.empty())
      finished_.wait(lock);
  }
  collect(done);
}

void HelperThreads::collect(OperationList& done) noexcept {
  const std::lock_guard lock(mutex_);
  done.take(completed_);
  in_flight_ -= collectable_;
  collectable_ = 0;
  any_completed_.store(false, std::memory_order_relaxed);
}

void HelperThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    while (queue_.empty() && !stopping_)
      submitted_.wait(lock);
    --idle_;
    if (queue_.empty()) return;
    run_one(lock);
  }
}

void HelperThreads::run_next() {
  std::unique_lock lock(mutex_);
  run_one(lock);
}

void HelperThreads::run_one(std::unique_lock<std::mutex>& lock) {
  Operation* operation = queue_.pop_front();
  --queued_;
  lock.unlock();
  const std::int64_t result = blocking_call(*operation);
  lock.lock();
  operation->result = result;
  const bool first = completed_.empty();
  completed_.push_back(*operation);
  ++collectable_;
  any_completed_.store(true, std::memory_order_release);
  finished_.notify_one();
  if (!first) return;
  // Under the mutex: once it is free, the loop's thread may collect the operation and destroy all of this.
  set_wake_event(wake_fd_);
}

}  // namespace cairn::uring
