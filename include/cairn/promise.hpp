#pragma once

#include <exception>
#include <memory>
#include <utility>

#include "cairn/future.hpp"

namespace cairn {
namespace detail {

/// Errc::cancelled, "promise dropped".
std::exception_ptr dropped_promise_error();

}  // namespace detail

/// The side of a Future that completes it, once, from any thread.
///
/// The completing thread resumes nobody itself: waiters are posted to their schedulers, threads in get() are woken. A
/// Promise that is destroyed without a result completes its Futures with Errc::cancelled ("promise dropped").
template <class T>
class Promise {
 public:
  /// Coroutines that are not cairn's will be resumed on a thread made for them when the first one waits.
  Promise() : Promise(nullptr) {}

  /// Coroutines that are not cairn's will be resumed on `callbacks`, which lives as long as the Promise and its
  /// Futures.
  explicit Promise(std::shared_ptr<Scheduler> callbacks)
      : state_(std::make_shared<detail::FutureState<T>>(std::move(callbacks))) {}

  Promise(Promise&& other) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    if (this != &other) {
      drop();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Promise() { drop(); }

  /// Any number of times; not on a moved-from Promise.
  Future<T> future() const noexcept { return Future<T>(state_); }

  /// Completes with a value made of `arguments` (none for void). False, and nothing done, when it was complete before.
  template <class... Arguments>
  bool set_value(Arguments&&... arguments) {
    const auto state = state_;  // who is woken may destroy this Promise
    return state->set_value(std::forward<Arguments>(arguments)...);
  }

  /// Completes with an error. False, and nothing done, when it was complete before.
  bool set_exception(std::exception_ptr error) {
    const auto state = state_;
    return state->set_exception(std::move(error));
  }

  /// Whether anybody awaited a Future of this Promise or called get() on it so far.
  bool observed() const noexcept { return state_->observed(); }

 private:
  void drop() noexcept {
    if (state_ && !state_->ready()) state_->set_exception(detail::dropped_promise_error());
    state_.reset();
  }

  std::shared_ptr<detail::FutureState<T>> state_;
};

/// A Future that has its value already.
template <class T>
Future<std::decay_t<T>> ready_future(T&& value) {
  auto state = std::make_shared<detail::FutureState<std::decay_t<T>>>(nullptr);
  state->set_value(std::forward<T>(value));
  return detail::FutureAccess::make(std::move(state));
}

inline Future<void> ready_future() {
  auto state = std::make_shared<detail::FutureState<void>>(nullptr);
  state->set_value();
  return detail::FutureAccess::make(std::move(state));
}

/// A Future that failed already.
template <class T>
Future<T> failed_future(std::exception_ptr error) {
  auto state = std::make_shared<detail::FutureState<T>>(nullptr);
  state->set_exception(std::move(error));
  return detail::FutureAccess::make(std::move(state));
}

}  // namespace cairn
