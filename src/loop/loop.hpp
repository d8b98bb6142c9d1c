#pragma once

#include <cairn/scheduler.hpp>
#include <cairn/task.hpp>
#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "core/event_source.hpp"

namespace cairn::loop {

/// The queue, timers and descriptors of one thread, and at most one source of completions (a ring).
///
/// While the source or the queue has work, the loop goes round without system calls of its own and looks at its
/// descriptors now and then; with nothing to do it sleeps in epoll, the source's eventfd armed. Coroutines that wait
/// for something of the loop are resumed straight from it.
///
/// `post` and `stop` may be called from any thread; everything else only on the thread that calls `run()`, or before it
/// runs. Starts no thread, and opens its descriptors when it is made, so make it after a fork.
///
/// The destructor resumes what still waits for a descriptor or a time with Errc::cancelled, and empties the queue. The
/// attached source must outlive the last `run()`, and be detached or still alive when the loop is destroyed.
class Loop : public Scheduler {
 public:
  Loop();
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs what is posted and what completes, until `stop()`. A stop that came before makes it return at once.
  void run();

  /// Makes `run()` return after the round it is in. What is queued after that stays queued.
  void stop() noexcept;

  void post(std::coroutine_handle<> coroutine) noexcept override;

  /// Calls `function` on the loop's thread, in the order of all posts. It must not throw.
  void post(std::function<void()> function);

  /// From now on the loop polls `source`, which stays the caller's. One at a time.
  void attach(EventSource* source);
  void detach() noexcept;

  /// Waits until `fd` is readable (or its other end closed): true; or until `deadline` has passed: false. Readable now
  /// is true, whatever the deadline. For sockets, pipes, eventfd, pidfd; a regular file is always readable. Throws
  /// Errc::cancelled once `stop` is requested, from whatever thread. Several tasks may wait for one `fd`, and it may be
  /// closed during the wait, which does not end it: the loop holds a duplicate.
  Task<bool> readable(int fd, std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt,
                      std::stop_token stop = std::stop_token());

  /// The same for room to write.
  Task<bool> writable(int fd, std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt,
                      std::stop_token stop = std::stop_token());

  /// Returns at or after `time`; throws Errc::cancelled once `stop` is requested, from whatever thread.
  Task<void> sleep_until(std::chrono::steady_clock::time_point time, std::stop_token stop = std::stop_token());

 private:
  struct Impl;

  Task<bool> wait_for(int fd, bool to_write, std::optional<std::chrono::steady_clock::time_point> deadline,
                      std::stop_token stop);

  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::loop
