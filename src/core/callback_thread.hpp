#pragma once

#include <functional>
#include <memory>

#include "cairn/scheduler.hpp"

namespace cairn {

/// A thread for code that is not cairn's: coroutines of unknown types, users' callbacks. It does no I/O and holds no
/// lock while it runs them, so they may block, and may destroy anything, this object included.
///
/// The thread is started by the first post(). Destroying the object runs what was posted before, then ends the thread;
/// on its own thread, where it can't wait for itself, it returns at once and the thread ends when its queue is empty.
/// A Task that was started on this thread must be done by then: it has nowhere else to go on.
class CallbackThread final : public Scheduler {
 public:
  CallbackThread();
  CallbackThread(const CallbackThread&) = delete;
  CallbackThread& operator=(const CallbackThread&) = delete;
  ~CallbackThread() override;

  void post(std::coroutine_handle<> coroutine) noexcept override;

  /// Calls `callback` on the thread, in the order of the posts. It must not throw.
  void post(std::function<void()> callback) noexcept;

 private:
  class Queue;
  std::shared_ptr<Queue> queue_;  // shared with the thread, which may outlive this object
};

}  // namespace cairn
