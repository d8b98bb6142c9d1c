#pragma once

#include <cassert>
#include <coroutine>

#include "cairn/detail/affinity.hpp"
#include "cairn/scheduler.hpp"

namespace cairn {

/// `co_await yield()`: to the end of the scheduler's queue, so that others, and the loop's I/O, have their turn.
class Yield {
 public:
  using cairn_affine = void;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) const noexcept {
    Scheduler* const scheduler = detail::scheduler_of(coroutine);
    assert(scheduler != nullptr && "yielding needs a scheduler");
    scheduler->post(coroutine);
  }
  void await_resume() const noexcept {}
};

inline Yield yield() noexcept {
  return Yield();
}

}  // namespace cairn
