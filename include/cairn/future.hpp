#pragma once

#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/detail/affinity.hpp"
#include "cairn/scheduler.hpp"

namespace cairn {

template <class T = void>
class Future;
template <class T = void>
class Promise;

namespace detail {

/// One coroutine that waits for a Future; lives in that coroutine's frame.
class FutureWaiter {
 private:
  friend class FutureStateBase;
  std::coroutine_handle<> coroutine_;
  Scheduler* scheduler_ = nullptr;  // null: resumed on the state's callback scheduler
  FutureWaiter* next_ = nullptr;
};

/// What a Promise and its Futures share, without the value.
///
/// `ready_` is set once, under `mutex_`, after the value was written; from then on value and error never change and are
/// read without the lock. A waiter is either put into `waiters_` before that, and posted by the completing thread, or
/// told that it need not wait: the lock decides which, so none is lost and none is resumed twice. The completing thread
/// holds a reference to the state until it has posted the last waiter, and reads nothing of a waiter after posting it.
class FutureStateBase {
 public:
  explicit FutureStateBase(std::shared_ptr<Scheduler> callbacks) noexcept : callbacks_(std::move(callbacks)) {}
  FutureStateBase(const FutureStateBase&) = delete;
  FutureStateBase& operator=(const FutureStateBase&) = delete;

  bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
  void wait();
  bool wait_until(std::chrono::steady_clock::time_point deadline);

  /// False when the state is ready already: then nothing was registered. `scheduler` null: a coroutine that is not
  /// cairn's, resumed on the callback scheduler, which is made here if there was none.
  bool add_waiter(FutureWaiter& waiter, std::coroutine_handle<> coroutine, Scheduler* scheduler);
  /// For a coroutine that is destroyed while it waits.
  void remove_waiter(FutureWaiter& waiter) noexcept;

  /// Runs `callback` on the completing thread, or at once when ready.
  void on_ready(std::function<void()> callback);

  bool set_exception(std::exception_ptr error);
  void rethrow_if_failed() const {
    if (error_) std::rethrow_exception(error_);
  }
  /// Null without an error. Only when ready.
  const std::exception_ptr& error() const noexcept { return error_; }

  void mark_observed() noexcept { observed_.store(true, std::memory_order_release); }
  bool observed() const noexcept { return observed_.load(std::memory_order_acquire); }

 protected:
  ~FutureStateBase() = default;

  /// Completes with what `write` writes; false when it was complete before. `write` runs under the lock.
  template <class Write>
  bool complete(Write&& write) {
    std::unique_lock lock(mutex_);
    if (ready_.load(std::memory_order_relaxed)) return false;
    std::forward<Write>(write)();
    publish(std::move(lock));
    return true;
  }

 private:
  void publish(std::unique_lock<std::mutex> lock);

  mutable std::mutex mutex_;
  std::condition_variable became_ready_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> observed_{false};
  FutureWaiter* waiters_ = nullptr;  // newest first
  std::vector<std::function<void()>> callbacks_on_ready_;
  std::shared_ptr<Scheduler> callbacks_;  // null until a foreign coroutine needs one
  std::exception_ptr error_;
};

template <class T>
class FutureState final : public FutureStateBase {
 public:
  using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  using FutureStateBase::FutureStateBase;

  template <class... Arguments>
  bool set_value(Arguments&&... arguments) {
    return complete([&] { value_.emplace(std::forward<Arguments>(arguments)...); });
  }

  T value() const {
    rethrow_if_failed();
    if constexpr (!std::is_void_v<T>) return *value_;
  }

 private:
  std::optional<Stored> value_;
};

/// Throws bad_argument: `operation` on a Future that has no state.
[[noreturn]] void throw_invalid_future(const char* operation);

struct FutureAccess;

}  // namespace detail

/// A result that is on its way, shared by all copies of the Future.
///
/// Any number of coroutines and threads may wait, on any thread. Results and errors are given to every one of them, by
/// value. What makes the result does not depend on anybody waiting, nor on any loop of the caller's.
///
/// Threads: a `cairn::Task` is resumed on its own scheduler. A coroutine of any other type is resumed on a callback
/// thread, which does no I/O and holds no lock; it may block, and even drop the last reference to whoever made the
/// Future. A Future that is ready when it is awaited does not suspend.
///
/// Lifetime: valid as long as it lives, whatever happened to its maker. A maker that went away without a result leaves
/// the error Errc::cancelled. A coroutine may be destroyed while it waits, before the result is there.
template <class T>
class [[nodiscard]] Future {
 public:
  using value_type = T;

  /// A Future of nothing: only valid() and assignment may be used; everything else throws bad_argument.
  Future() noexcept = default;

  bool valid() const noexcept { return state_ != nullptr; }

  /// True when the result, or the error, is there. Never blocks.
  bool ready() const { return checked("ready").ready(); }

  /// Blocks the calling thread. Legal wherever progress does not depend on this thread, so in `cairn::run` too.
  T get() const {
    auto& state = checked("get");
    state.mark_observed();
    state.wait();
    return state.value();
  }

  /// Blocks for at most `duration`; true when the result, or the error, is there. Does not throw the error.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> duration) const {
    using Clock = std::chrono::steady_clock;
    if (duration <= duration.zero()) return ready();
    const auto now = Clock::now();
    const std::chrono::duration<double> longest = Clock::time_point::max() - now;
    if (std::chrono::duration<double>(duration) >= longest) return wait_until(Clock::time_point::max());
    return wait_until(now + std::chrono::ceil<Clock::duration>(duration));
  }

  bool wait_until(std::chrono::steady_clock::time_point deadline) const { return checked("wait").wait_until(deadline); }

  class Awaiter {
   public:
    using cairn_affine = void;

    explicit Awaiter(std::shared_ptr<detail::FutureState<T>> state) noexcept : state_(std::move(state)) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (waiting_) state_->remove_waiter(waiter_);
    }

    bool await_ready() const noexcept {
      state_->mark_observed();
      return state_->ready();
    }

    template <class Promise>
    [[gnu::noinline]] bool await_suspend(std::coroutine_handle<Promise> awaiting) {
      waiting_ = true;  // before: afterwards this object may be gone
      try {
        if (state_->add_waiter(waiter_, awaiting, detail::scheduler_of(awaiting))) return true;
      } catch (...) {
        waiting_ = false;
        throw;
      }
      waiting_ = false;
      return false;
    }

    T await_resume() {
      waiting_ = false;
      return state_->value();
    }

   private:
    std::shared_ptr<detail::FutureState<T>> state_;
    detail::FutureWaiter waiter_;
    bool waiting_ = false;
  };

  Awaiter operator co_await() const {
    (void)checked("await");
    return Awaiter(state_);
  }

 private:
  friend class Promise<T>;
  friend struct detail::FutureAccess;
  explicit Future(std::shared_ptr<detail::FutureState<T>> state) noexcept : state_(std::move(state)) {}

  detail::FutureState<T>& checked(const char* operation) const {
    if (!state_) detail::throw_invalid_future(operation);
    return *state_;
  }

  std::shared_ptr<detail::FutureState<T>> state_;
};

namespace detail {

/// What cairn's own layers, and its adapters, may do with a Future beyond its public face.
struct FutureAccess {
  template <class T>
  static Future<T> make(std::shared_ptr<FutureState<T>> state) noexcept {
    return Future<T>(std::move(state));
  }
  template <class T>
  static FutureState<T>& state(const Future<T>& future) {
    return future.checked("use");
  }
};

/// Runs `callback` on the thread that completes the future, or here and now when it is ready. It must be cheap, must
/// not block and must not throw. The callback is dropped after it ran. Does not count as observing.
template <class T>
void on_ready(const Future<T>& future, std::function<void()> callback) {
  FutureAccess::state(future).on_ready(std::move(callback));
}

/// Whether anybody awaited the future or called get() so far: a failure that nobody observes must be reported.
template <class T>
bool observed(const Future<T>& future) {
  return FutureAccess::state(future).observed();
}

template <class T>
void mark_observed(const Future<T>& future) {
  FutureAccess::state(future).mark_observed();
}

/// The error of a ready future, null when it has a value. Does not count as observing.
template <class T>
std::exception_ptr error_of(const Future<T>& future) {
  return FutureAccess::state(future).error();
}

}  // namespace detail
}  // namespace cairn
