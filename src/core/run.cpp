#include "cairn/run.hpp"

#include <cassert>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>

namespace cairn::detail {
namespace {

/// The queue of a thread in cairn::run.
class RunQueue final : public Scheduler {
 public:
  void post(std::coroutine_handle<> coroutine) noexcept override {
    // Notified under the lock: once it is released, run() may be over and the queue gone.
    const std::lock_guard lock(mutex_);
    queue_.push_back(coroutine);
    changed_.notify_one();
  }

  void drive(const bool& done) {
    const Running running(*this);
    while (!done)
      take().resume();
  }

 private:
  std::coroutine_handle<> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty(); });
    const auto coroutine = queue_.front();
    queue_.pop_front();
    return coroutine;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> queue_;
};

/// Stands behind the Task that runs: resumed when it is done.
class Finish {
 public:
  class promise_type {
   public:
    Finish get_return_object() noexcept { return Finish(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };

  Finish(const Finish&) = delete;
  Finish& operator=(const Finish&) = delete;
  ~Finish() { handle.destroy(); }

  const std::coroutine_handle<promise_type> handle;

 private:
  explicit Finish(std::coroutine_handle<promise_type> made) noexcept : handle(made) {}
};

Finish finish(bool& done) {
  done = true;
  co_return;
}

}  // namespace

void run_until_done(std::coroutine_handle<> coroutine, TaskPromiseBase& promise) {
  bool done = false;
  const Finish finished = finish(done);
  // Within a run on this thread its queue is driven on, so that what the inner Task waits for out there can happen.
  if (auto* const outer = dynamic_cast<RunQueue*>(Scheduler::current())) {
    promise.bind(outer, finished.handle);
    outer->post(coroutine);
    outer->drive(done);
    return;
  }
  RunQueue queue;
  promise.bind(&queue, finished.handle);
  queue.post(coroutine);
  queue.drive(done);
}

}  // namespace cairn::detail
