#pragma once

#include <coroutine>

namespace cairn {

/// Where coroutines are resumed: the queue of one thread.
///
/// A Task remembers the scheduler it was started on and is always resumed there. `cairn::run` makes one for the calling
/// thread; the threads that cairn makes for itself have one each.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Resumes `coroutine` on this scheduler's thread, later, in the order of the calls. Any thread. Never resumes
  /// inline.
  virtual void post(std::coroutine_handle<> coroutine) noexcept = 0;

  /// The scheduler that runs on the calling thread, or null.
  static Scheduler* current() noexcept;

  /// For a child that was forked while a scheduler ran: the loop of its parent's thread is not running here.
  static void forget_current() noexcept;

 protected:
  /// Marks a scheduler as the calling thread's own for a scope; restores the one before it.
  class Running {
   public:
    explicit Running(Scheduler& scheduler) noexcept;
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Scheduler* previous_;
  };
};

}  // namespace cairn
