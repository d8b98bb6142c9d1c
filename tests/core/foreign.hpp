#pragma once

#include <coroutine>
#include <exception>
#include <future>
#include <thread>
#include <utility>

namespace cairn::test {

/// A coroutine type that cairn has never seen: starts at once, destroys itself, tells its end through a std::promise
/// parameter or whatever its body does.
class Foreign {
 public:
  class promise_type {
   public:
    Foreign get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

/// A foreign coroutine that its owner starts, and may destroy while it is suspended.
class OwnedForeign {
 public:
  class promise_type {
   public:
    OwnedForeign get_return_object() noexcept {
      return OwnedForeign(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };

  OwnedForeign(OwnedForeign&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~OwnedForeign() {
    if (handle_) handle_.destroy();
  }
  void start() { handle_.resume(); }
  bool done() const { return handle_.done(); }

 private:
  explicit OwnedForeign(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

/// A foreign awaiter that resumes on a thread of its own; gives that thread's id. Can be neither copied nor moved.
class OnNewThread {
 public:
  OnNewThread() = default;
  OnNewThread(const OnNewThread&) = delete;
  OnNewThread& operator=(const OnNewThread&) = delete;
  ~OnNewThread() {
    if (thread_.joinable()) thread_.join();
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    std::promise<void> stored;
    thread_ = std::thread([this, awaiting, may_go = stored.get_future()]() mutable {
      may_go.wait();  // thread_ is written before the coroutine may destroy it
      id_ = std::this_thread::get_id();
      awaiting.resume();
    });
    stored.set_value();
  }
  std::thread::id await_resume() const noexcept { return id_; }

 private:
  std::thread thread_;
  std::thread::id id_;
};

}  // namespace cairn::test
