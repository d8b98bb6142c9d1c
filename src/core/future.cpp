#include "cairn/future.hpp"

#include <string>

#include "cairn/error.hpp"
#include "cairn/promise.hpp"
#include "core/callback_thread.hpp"

namespace cairn::detail {

void throw_invalid_future(const char* operation) {
  throw Error(Errc::bad_argument, std::string(operation) + " of a Future that belongs to nothing");
}

std::exception_ptr dropped_promise_error() {
  return std::make_exception_ptr(Error(Errc::cancelled, "promise dropped"));
}

void FutureStateBase::wait() {
  if (ready()) return;
  std::unique_lock lock(mutex_);
  became_ready_.wait(lock, [this] { return ready_.load(std::memory_order_relaxed); });
}

bool FutureStateBase::wait_until(std::chrono::steady_clock::time_point deadline) {
  if (ready()) return true;
  std::unique_lock lock(mutex_);
  const auto is_ready = [this] { return ready_.load(std::memory_order_relaxed); };
  if (deadline == std::chrono::steady_clock::time_point::max()) {
    became_ready_.wait(lock, is_ready);
    return true;
  }
  return became_ready_.wait_until(lock, deadline, is_ready);
}

bool FutureStateBase::add_waiter(FutureWaiter& waiter, std::coroutine_handle<> coroutine, Scheduler* scheduler) {
  std::unique_lock lock(mutex_);
  if (ready_.load(std::memory_order_relaxed)) return false;
  if (scheduler == nullptr && callbacks_ == nullptr) callbacks_ = std::make_shared<CallbackThread>();
  waiter.coroutine_ = coroutine;
  waiter.scheduler_ = scheduler;
  waiter.next_ = waiters_;
  waiters_ = &waiter;
  return true;
}

void FutureStateBase::remove_waiter(FutureWaiter& waiter) noexcept {
  const std::lock_guard lock(mutex_);
  for (FutureWaiter** link = &waiters_; *link != nullptr; link = &(*link)->next_) {
    if (*link == &waiter) {
      *link = waiter.next_;
      return;
    }
  }
}

void FutureStateBase::on_ready(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!ready_.load(std::memory_order_relaxed)) {
      callbacks_on_ready_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

bool FutureStateBase::set_exception(std::exception_ptr error) {
  return complete([&] { error_ = std::move(error); });
}

void FutureStateBase::publish(std::unique_lock<std::mutex> lock) {
  ready_.store(true, std::memory_order_release);
  FutureWaiter* newest = std::exchange(waiters_, nullptr);
  const auto callbacks_on_ready = std::exchange(callbacks_on_ready_, {});
  became_ready_.notify_all();
  lock.unlock();

  FutureWaiter* waiter = nullptr;  // oldest first
  while (newest != nullptr) {
    FutureWaiter* const older = newest->next_;
    newest->next_ = waiter;
    waiter = newest;
    newest = older;
  }
  while (waiter != nullptr) {
    FutureWaiter* const next = waiter->next_;
    Scheduler* const scheduler = waiter->scheduler_ != nullptr ? waiter->scheduler_ : callbacks_.get();
    scheduler->post(waiter->coroutine_);
    waiter = next;
  }
  for (const auto& callback : callbacks_on_ready)
    callback();
}

}  // namespace cairn::detail
