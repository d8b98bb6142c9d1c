#pragma once

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/scope.hpp"
#include "cairn/task.hpp"

namespace cairn {
namespace detail {

/// void has no values; std::monostate stands for it in a tuple.
template <class T>
using TupleElement = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
Task<void> keep_result(Task<T> task, std::optional<TupleElement<T>>* result) {
  if constexpr (std::is_void_v<T>) {
    co_await task;
    result->emplace();
  } else {
    T value = co_await task;
    result->emplace(std::move(value));
  }
}

template <class... T, std::size_t... Index>
Task<std::tuple<TupleElement<T>...>> when_all_of(std::tuple<Task<T>...> tasks, std::index_sequence<Index...>) {
  std::tuple<std::optional<TupleElement<T>>...> results;
  Scope scope;
  (scope.spawn(keep_result<T>(std::move(std::get<Index>(tasks)), &std::get<Index>(results))), ...);
  co_await scope.join();
  co_return std::tuple<TupleElement<T>...>(std::move(*std::get<Index>(results))...);
}

}  // namespace detail

/// Runs Tasks beside each other on the awaiting Task's scheduler; gives all their results, in the order of the
/// arguments (std::monostate for Task<void>).
///
/// They start in that order, when the returned Task is awaited, each running until it first suspends. All of them are
/// waited for; then the error of the one that failed first in time is rethrown, the errors of others are dropped. None
/// is cancelled: use a Scope for that.
template <class... T>
Task<std::tuple<detail::TupleElement<T>...>> when_all(Task<T>... tasks) {
  return detail::when_all_of<T...>(std::tuple<Task<T>...>(std::move(tasks)...), std::index_sequence_for<T...>());
}

/// The same for any number of Tasks of one type; results in the order of `tasks`.
template <class T>
  requires(!std::is_void_v<T>)
Task<std::vector<T>> when_all(std::vector<Task<T>> tasks) {
  std::vector<std::optional<T>> results(tasks.size());
  Scope scope;
  for (std::size_t at = 0; at < tasks.size(); ++at) {
    scope.spawn(detail::keep_result<T>(std::move(tasks[at]), &results[at]));
  }
  co_await scope.join();
  std::vector<T> all;
  all.reserve(results.size());
  for (std::optional<T>& result : results)
    all.push_back(std::move(*result));
  co_return all;
}

inline Task<void> when_all(std::vector<Task<void>> tasks) {
  Scope scope;
  for (Task<void>& task : tasks)
    scope.spawn(std::move(task));
  co_await scope.join();
}

}  // namespace cairn
