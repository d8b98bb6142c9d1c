#pragma once

// Affinity: how a coroutine of cairn's stays on its scheduler, whatever thread completes what it awaits.
//
// Awaitables of cairn's own are marked by a nested `using cairn_affine = void;` (on themselves or on their awaiter).
// They post the awaiting coroutine to its scheduler by themselves and are awaited directly, without any allocation. All
// others are foreign: they may resume on any thread, so they are given a small bridge coroutine instead of the awaiting
// one; when they resume the bridge, it posts the awaiting coroutine to its scheduler.

#include <concepts>
#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>

#include "cairn/scheduler.hpp"

namespace cairn::detail {

template <class Awaitable>
concept HasMemberCoAwait = requires(Awaitable&& awaitable) { std::forward<Awaitable>(awaitable).operator co_await(); };

template <class Awaitable>
concept HasFreeCoAwait = requires(Awaitable&& awaitable) { operator co_await(std::forward<Awaitable>(awaitable)); };

/// The awaiter of an awaitable: what its operator co_await gives, else a reference to itself.
template <class Awaitable>
decltype(auto) get_awaiter(Awaitable&& awaitable) {
  if constexpr (HasMemberCoAwait<Awaitable>) {
    return std::forward<Awaitable>(awaitable).operator co_await();
  } else if constexpr (HasFreeCoAwait<Awaitable>) {
    return operator co_await(std::forward<Awaitable>(awaitable));
  } else {
    return static_cast<std::remove_reference_t<Awaitable>&>(awaitable);
  }
}

template <class Awaitable>
using AwaiterOf = decltype(get_awaiter(std::declval<Awaitable>()));

template <class Type>
concept MarkedAffine = requires { typename std::remove_cvref_t<Type>::cairn_affine; };

template <class Awaitable>
concept Affine = MarkedAffine<Awaitable> || MarkedAffine<AwaiterOf<Awaitable>>;

/// Forwards to an awaiter that lives elsewhere. g++ 12 copies an awaiter that await_transform returns by reference.
template <class Awaiter>
class AwaiterReference {
 public:
  explicit AwaiterReference(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}
  decltype(auto) await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> awaiting) {
    return awaiter_.await_suspend(awaiting);
  }
  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter& awaiter_;
};

/// The coroutine that foreign awaitables are given. It owns itself to nobody: the awaiter that made it destroys it.
class Bridge {
 public:
  class promise_type {
   public:
    Bridge get_return_object() noexcept { return Bridge(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }

    struct Forward {
      bool await_ready() noexcept { return false; }
      [[gnu::noinline]] std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> bridge) noexcept {
        Scheduler* const scheduler = bridge.promise().scheduler_;
        const std::coroutine_handle<> continuation = bridge.promise().continuation_;
        if (scheduler == nullptr) return continuation;
        scheduler->post(continuation);  // from here on the bridge may be gone
        return std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Forward final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }

   private:
    friend class Bridge;
    Scheduler* scheduler_ = nullptr;
    std::coroutine_handle<> continuation_;
  };

  Bridge() noexcept = default;
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  ~Bridge() {
    if (handle_) handle_.destroy();
  }

  /// Makes the coroutine frame. When it is resumed, `continuation` is posted to `scheduler` (resumed inline if null).
  std::coroutine_handle<promise_type> open(Scheduler* scheduler, std::coroutine_handle<> continuation) {
    Bridge made = body();
    handle_ = std::exchange(made.handle_, nullptr);
    handle_.promise().scheduler_ = scheduler;
    handle_.promise().continuation_ = continuation;
    return handle_;
  }

 private:
  explicit Bridge(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  static Bridge body() { co_return; }

  std::coroutine_handle<promise_type> handle_;
};

/// Awaits a foreign awaitable and comes back on `scheduler`.
template <class Awaitable>
class ForeignAwaiter {
 public:
  ForeignAwaiter(Scheduler* scheduler, Awaitable&& awaitable)
      : scheduler_(scheduler), awaiter_(get_awaiter(std::forward<Awaitable>(awaitable))) {}
  ForeignAwaiter(const ForeignAwaiter&) = delete;
  ForeignAwaiter& operator=(const ForeignAwaiter&) = delete;

  bool await_ready() { return static_cast<bool>(awaiter_.await_ready()); }

  /// Once the foreign awaiter has the bridge, the awaiting coroutine may be running (and this object gone) already.
  [[gnu::noinline]] std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    const auto bridge = bridge_.open(scheduler_, awaiting);
    using Answer = decltype(awaiter_.await_suspend(bridge));
    if constexpr (std::is_void_v<Answer>) {
      awaiter_.await_suspend(bridge);
      return std::noop_coroutine();
    } else if constexpr (std::same_as<Answer, bool>) {
      const bool suspended = awaiter_.await_suspend(bridge);
      if (!suspended) return awaiting;
      return std::noop_coroutine();
    } else {
      return awaiter_.await_suspend(bridge);
    }
  }

  decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Scheduler* scheduler_;
  AwaiterOf<Awaitable> awaiter_;
  Bridge bridge_;
};

/// Base of the promises of cairn's coroutines: knows the scheduler, and keeps the coroutine on it.
class AffinePromise {
 public:
  Scheduler* scheduler() const noexcept { return scheduler_; }

  template <class Awaitable>
  auto await_transform(Awaitable&& awaitable) {
    if constexpr (!Affine<Awaitable>) {
      return ForeignAwaiter<Awaitable>(scheduler_, std::forward<Awaitable>(awaitable));
    } else if constexpr (std::is_reference_v<AwaiterOf<Awaitable>>) {
      return AwaiterReference<std::remove_reference_t<AwaiterOf<Awaitable>>>(awaitable);
    } else {
      return get_awaiter(std::forward<Awaitable>(awaitable));
    }
  }

 protected:
  void set_scheduler(Scheduler* scheduler) noexcept { scheduler_ = scheduler; }

 private:
  Scheduler* scheduler_ = nullptr;
};

/// The scheduler that a coroutine must be resumed on; null for coroutine types that are not cairn's.
template <class Promise>
Scheduler* scheduler_of([[maybe_unused]] std::coroutine_handle<Promise> coroutine) noexcept {
  if constexpr (std::derived_from<Promise, AffinePromise>) {
    return coroutine.promise().scheduler();
  } else {
    return nullptr;
  }
}

/// Resumes by posting; inline where there is no scheduler to post to.
inline void resume_on(Scheduler* scheduler, std::coroutine_handle<> coroutine) noexcept {
  if (scheduler != nullptr) {
    scheduler->post(coroutine);
  } else {
    coroutine.resume();
  }
}

}  // namespace cairn::detail
