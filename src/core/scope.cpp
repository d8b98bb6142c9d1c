#include "cairn/scope.hpp"

#include <cstdio>
#include <utility>

#include "cairn/error.hpp"

namespace cairn {

Scope::~Scope() {
  if (live_ == 0) return;
  std::fprintf(stderr, "cairn: a Scope was destroyed with %zu live children; co_await its join() first\n", live_);
  std::terminate();
}

void Scope::spawn(Task<void> child) {
  if (Scheduler::current() == nullptr) {
    throw Error(Errc::bad_argument, "Scope::spawn on a thread that runs no scheduler");
  }
  assert(child && "an empty Task is spawned");
  run_child(std::move(child));
}

Task<void> Scope::join() {
  while (live_ > 0)
    co_await Joining(*this);
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

detail::Detached Scope::run_child(Task<void> child) {
  ++live_;
  std::exception_ptr error;
  try {
    const Task<void> running = std::move(child);  // its frame, and its parameters, are gone before join() goes on
    co_await running;
  } catch (...) {
    error = std::current_exception();
  }
  child_done(std::move(error));
}

void Scope::child_done(std::exception_ptr error) noexcept {
  if (error && !first_error_) {
    first_error_ = std::move(error);
    stop_.request_stop();
  }
  if (--live_ > 0 || !joiner_) return;
  detail::resume_on(std::exchange(joiner_scheduler_, nullptr), std::exchange(joiner_, nullptr));
}

}  // namespace cairn
