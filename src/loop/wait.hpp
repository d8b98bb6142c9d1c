#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>

namespace cairn::loop {

class WaitList;

/// One wait for a descriptor, a time, or whichever comes first. Loop's thread.
///
/// Shared between the awaiting coroutine and Asio's handlers, since a handler comes even after its wait was cancelled.
class Wait : public std::enable_shared_from_this<Wait> {
 public:
  enum class Outcome { pending, ready, deadline, cancelled, failed };

  Wait(asio::io_context& context, WaitList& list) : list_(list), descriptor_(context), timer_(context) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  /// Begins to wait; `waiter` is resumed from an Asio handler or from finish(). -1 is no descriptor. The descriptor is
  /// duplicated: epoll knows a descriptor by its number and would refuse a second wait, or go on with a reused number.
  /// False when it cannot be waited for: error() says why.
  bool start(int fd, asio::posix::descriptor_base::wait_type type,
             std::optional<std::chrono::steady_clock::time_point> deadline, std::coroutine_handle<> waiter);

  /// Ends the wait and resumes the coroutine; nothing happens when it has ended already.
  void finish(Outcome outcome);

  /// Ends the wait without resuming the coroutine, which is being destroyed.
  void abandon() noexcept;

  Outcome outcome() const noexcept { return outcome_; }
  /// An errno.
  int error() const noexcept { return error_; }

 private:
  friend class WaitList;

  void end(Outcome outcome) noexcept;

  WaitList& list_;
  asio::posix::stream_descriptor descriptor_;
  asio::steady_timer timer_;
  std::coroutine_handle<> waiter_;
  Outcome outcome_ = Outcome::pending;
  int error_ = 0;
  Wait* previous_ = nullptr;
  Wait* next_ = nullptr;
  bool listed_ = false;
};

/// The waits that have begun and not ended.
class WaitList {
 public:
  void add(Wait& wait) noexcept;
  void remove(Wait& wait) noexcept;
  /// Null when empty.
  Wait* front() const noexcept { return first_; }

 private:
  Wait* first_ = nullptr;
};

}  // namespace cairn::loop
