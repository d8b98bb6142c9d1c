#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "uring/operation.hpp"

namespace cairn::uring {

/// A few threads that make blocking calls for one loop. A thread is started when an operation finds none free.
///
/// All functions on the loop's thread. Completed operations are collected by take_completed(); the eventfd given is
/// written to when there are some to collect.
class HelperThreads {
 public:
  HelperThreads(int wake_fd, std::size_t threads_max) : wake_fd_(wake_fd), threads_max_(threads_max) {}
  /// With nothing in flight.
  ~HelperThreads();
  HelperThreads(const HelperThreads&) = delete;
  HelperThreads& operator=(const HelperThreads&) = delete;

  /// Where not even one thread can be started, it is done here and now, and completes as usual.
  void submit(Operation& operation);

  /// True when no thread had begun it: it is the caller's again. Else it completes as usual.
  bool cancel(Operation& operation) noexcept;

  /// Takes back all that no thread has begun, to the end of `dropped`.
  void cancel_all(OperationList& dropped) noexcept;

  /// Moves what is done to the end of `done`, results set. Costs one load when there is nothing.
  void take_completed(OperationList& done) noexcept {
    if (any_completed_.load(std::memory_order_acquire)) collect(done);
  }

  /// The same, but waits for at least one; something must be in flight.
  void wait_completed(OperationList& done);

  /// Submitted, and neither collected nor cancelled yet.
  std::size_t in_flight() const noexcept { return in_flight_; }

 private:
  void work();
  void run_next();
  void run_one(std::unique_lock<std::mutex>& lock);
  void collect(OperationList& done) noexcept;

  const int wake_fd_;
  const std::size_t threads_max_;
  std::size_t in_flight_ = 0;
  std::vector<std::thread> threads_;

  std::atomic<bool> any_completed_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable submitted_;
  std::condition_variable finished_;
  OperationList queue_;
  OperationList completed_;
  std::size_t collectable_ = 0;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace cairn::uring
