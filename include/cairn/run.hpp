#pragma once

#include <cassert>
#include <coroutine>

#include "cairn/task.hpp"

namespace cairn {
namespace detail {

/// Runs the calling thread's queue until the coroutine, bound to it through `promise`, is done.
void run_until_done(std::coroutine_handle<> coroutine, TaskPromiseBase& promise);

}  // namespace detail

/// Runs a Task on the calling thread until it is done; gives its result or throws its error.
///
/// The thread sleeps while there is nothing to resume; it does no I/O. Everything the Task awaits comes back to this
/// thread. Within a `run` on the same thread it may be called again: then the outer run's coroutines go on meanwhile.
template <class T>
T run(Task<T> task) {
  assert(task && "an empty Task is run");
  detail::run_until_done(task.handle(), task.handle().promise());
  return task.handle().promise().result();
}

}  // namespace cairn
