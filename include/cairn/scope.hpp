#pragma once

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <stop_token>
#include <utility>

#include "cairn/task.hpp"

namespace cairn {

/// Runs Tasks beside each other and waits for all of them: nothing is detached.
///
/// The first child that fails requests stop, so that its siblings, which were given stop_token(), end early; join()
/// rethrows that first error once every child is done. What the siblings throw afterwards is dropped.
///
/// Threads: a Scope belongs to one scheduler, that of the Task in which it lives; children run there too, one at a
/// time. Only request_stop() may be called from any thread.
///
/// Lifetime: every child must be done before the Scope is destroyed, so `co_await scope.join()` comes last on every
/// path. A Scope destroyed with live children says so on stderr and terminates the process.
class Scope {
 public:
  Scope() = default;

  /// Also stops when `parent` is stopped.
  explicit Scope(std::stop_token parent) { parent_stop_.emplace(std::move(parent), StopChildren(stop_)); }

  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  /// Starts `child` here and now, until it first suspends. Throws bad_argument on a thread without a scheduler.
  void spawn(Task<void> child);

  /// Waits until there are no children, then rethrows the first error, once. More children may be spawned meanwhile and
  /// afterwards.
  Task<void> join();

  std::stop_token stop_token() const noexcept { return stop_.get_token(); }
  bool request_stop() noexcept { return stop_.request_stop(); }

  /// Children that are not done.
  std::size_t size() const noexcept { return live_; }

 private:
  class StopChildren {
   public:
    explicit StopChildren(std::stop_source children) noexcept : children_(std::move(children)) {}
    void operator()() noexcept { children_.request_stop(); }

   private:
    std::stop_source children_;
  };

  class Joining {
   public:
    using cairn_affine = void;
    explicit Joining(Scope& scope) noexcept : scope_(scope) {}
    bool await_ready() const noexcept { return scope_.live_ == 0; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
      assert(!scope_.joiner_ && "a Scope is joined by one coroutine at a time");
      scope_.joiner_ = awaiting;
      scope_.joiner_scheduler_ = detail::scheduler_of(awaiting);
    }
    void await_resume() const noexcept {}

   private:
    Scope& scope_;
  };

  detail::Detached run_child(Task<void> child);
  void child_done(std::exception_ptr error) noexcept;

  std::stop_source stop_;
  std::optional<std::stop_callback<StopChildren>> parent_stop_;
  std::size_t live_ = 0;
  std::exception_ptr first_error_;
  std::coroutine_handle<> joiner_;
  Scheduler* joiner_scheduler_ = nullptr;
};

}  // namespace cairn
