#pragma once

#include <cairn/task.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "loop/loop.hpp"

namespace cairn::test {

template <class T>
using StoredResult = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// Awaits `task` on the scheduler it is started on, keeps what became of it and stops the loop.
template <class T>
detail::Detached finish_on(loop::Loop& loop, Task<T>& task, std::optional<StoredResult<T>>& result,
                           std::exception_ptr& error) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await task;
      result.emplace();
    } else {
      result.emplace(co_await task);
    }
  } catch (...) {
    error = std::current_exception();
  }
  loop.stop();
}

/// Runs `loop` on the calling thread until `task` is done; gives its result or throws its error.
template <class T>
T run_on(loop::Loop& loop, Task<T> task) {
  std::optional<StoredResult<T>> result;
  std::exception_ptr error;
  std::function<void()> start = [&] { finish_on<T>(loop, task, result, error); };
  loop.post(std::move(start));
  loop.run();
  if (error) std::rethrow_exception(error);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace cairn::test
