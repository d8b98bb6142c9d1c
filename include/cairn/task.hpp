#pragma once

#include <cassert>
#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "cairn/detail/affinity.hpp"
#include "cairn/scheduler.hpp"

namespace cairn {

template <class T = void>
class Task;

namespace detail {

/// What the promises of all Tasks share: who is resumed when the Task is done, and where it runs.
class TaskPromiseBase : public AffinePromise {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }

  /// Symmetric transfer: a chain of Tasks that complete at once takes no stack.
  struct TransferToAwaiting {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept {
      return done.promise().continuation_;
    }
    void await_resume() noexcept {}
  };
  TransferToAwaiting final_suspend() noexcept { return {}; }

  /// Binds the Task to a scheduler (null: the calling thread's current one) and to the coroutine that waits for it.
  void bind(Scheduler* scheduler, std::coroutine_handle<> continuation) noexcept {
    assert(!continuation_ && "a Task is awaited once");
    set_scheduler(scheduler != nullptr ? scheduler : Scheduler::current());
    continuation_ = continuation;
  }

 private:
  std::coroutine_handle<> continuation_;
};

template <class T>
class TaskPromise final : public TaskPromiseBase {
 public:
  Task<T> get_return_object() noexcept;

  template <class Value>
    requires std::convertible_to<Value&&, T>
  void return_value(Value&& value) {
    result_.template emplace<1>(std::forward<Value>(value));
  }
  void unhandled_exception() noexcept { result_.template emplace<2>(std::current_exception()); }

  T result() {
    if (result_.index() == 2) std::rethrow_exception(std::move(std::get<2>(result_)));
    return std::get<1>(std::move(result_));
  }

 private:
  std::variant<std::monostate, T, std::exception_ptr> result_;
};

template <class T>
class TaskPromise<T&> final : public TaskPromiseBase {
 public:
  Task<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept { value_ = std::addressof(value); }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  T& result() {
    if (error_) std::rethrow_exception(std::move(error_));
    return *value_;
  }

 private:
  T* value_ = nullptr;
  std::exception_ptr error_;
};

template <>
class TaskPromise<void> final : public TaskPromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  void result() {
    if (error_) std::rethrow_exception(std::move(error_));
  }

 private:
  std::exception_ptr error_;
};

}  // namespace detail

/// A coroutine that starts when it is awaited, and gives its result to the one who awaits it.
///
/// Threads: it starts on the awaiting coroutine's scheduler (the calling thread's, when a coroutine that is not cairn's
/// awaits it), and whatever it awaits, it goes on there: every resumption after a suspension is posted to that
/// scheduler. Between Tasks control passes directly, without a queue. With no scheduler at all (awaited by a foreign
/// coroutine on a thread without one) it goes on wherever it was resumed.
///
/// Lifetime: owns the coroutine frame with its parameters, which live until the Task is destroyed. A Task that was
/// never started may be destroyed; one that is suspended in the middle may not. Awaiting it allocates nothing.
///
/// With g++, a Task that others await without a suspension ever (a long chain, or a long loop) needs -O2, or
/// -foptimize-sibling-calls, not to grow the stack.
///
/// Await it once, as it is (`co_await task`) or moved (`co_await std::move(task)`); or hand it to `cairn::run`,
/// `Scope::spawn` or `when_all`. Errors are rethrown to the one who awaits.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using value_type = T;
  using cairn_affine = void;

  Task() noexcept = default;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  /// False for a default-constructed or moved-from Task, which can't be awaited.
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> task) noexcept : task_(task) {}

    bool await_ready() const noexcept { return false; }

    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
      task_.promise().bind(detail::scheduler_of(awaiting), awaiting);
      return task_;
    }

    T await_resume() { return task_.promise().result(); }

   private:
    std::coroutine_handle<promise_type> task_;
  };

  Awaiter operator co_await() const noexcept {
    assert(handle_ && "an empty Task is awaited");
    return Awaiter(handle_);
  }

  /// The coroutine itself, for those who start Tasks (`cairn::run`); the Task still owns it.
  std::coroutine_handle<promise_type> handle() const noexcept { return handle_; }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

template <class T>
Task<T&> TaskPromise<T&>::get_return_object() noexcept {
  return Task<T&>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

/// A coroutine that starts at once on the calling thread's scheduler and owns itself. It must not let an exception out.
class Detached {
 public:
  class promise_type : public AffinePromise {
   public:
    promise_type() noexcept { set_scheduler(Scheduler::current()); }
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace detail
}  // namespace cairn
