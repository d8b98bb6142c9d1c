#include "loop/wait.hpp"

#include <fcntl.h>

#include <cerrno>
#include <utility>

namespace cairn::loop {

bool Wait::start(int fd, asio::posix::descriptor_base::wait_type type,
                 std::optional<std::chrono::steady_clock::time_point> deadline, std::coroutine_handle<> waiter) {
  const std::shared_ptr<Wait> self = shared_from_this();
  if (fd >= 0) {
    const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) {
      error_ = errno;
      return false;
    }
    asio::error_code error;
    descriptor_.assign(duplicate, error);
    if (error) {
      ::close(duplicate);
      error_ = error.value();
      return false;
    }
    descriptor_.async_wait(type, [self](const asio::error_code& failure) {
      if (failure == asio::error::operation_aborted) return;
      self->error_ = failure.value();
      self->finish(failure ? Outcome::failed : Outcome::ready);
    });
  }
  if (deadline) {
    timer_.expires_at(*deadline);
    timer_.async_wait([self](const asio::error_code& failure) {
      if (!failure) self->finish(Outcome::deadline);
    });
  }
  waiter_ = waiter;
  list_.add(*this);
  return true;
}

void Wait::finish(Outcome outcome) {
  if (outcome_ != Outcome::pending) return;
  end(outcome);
  waiter_.resume();
}

void Wait::abandon() noexcept {
  if (outcome_ == Outcome::pending) end(Outcome::cancelled);
}

void Wait::end(Outcome outcome) noexcept {
  outcome_ = outcome;
  if (listed_) list_.remove(*this);
  asio::error_code ignored;
  descriptor_.close(ignored);
  timer_.cancel();
}

void WaitList::add(Wait& wait) noexcept {
  wait.next_ = first_;
  if (first_) first_->previous_ = &wait;
  first_ = &wait;
  wait.listed_ = true;
}

void WaitList::remove(Wait& wait) noexcept {
  (wait.previous_ ? wait.previous_->next_ : first_) = wait.next_;
  if (wait.next_) wait.next_->previous_ = wait.previous_;
  wait.previous_ = wait.next_ = nullptr;
  wait.listed_ = false;
}

}  // namespace cairn::loop
