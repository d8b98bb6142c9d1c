#include "loop/loop.hpp"

#include <fcntl.h>
#include <poll.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <cairn/error.hpp>
#include <cerrno>
#include <string>
#include <utility>

#include "loop/queue.hpp"
#include "loop/wait.hpp"

// One round of the loop runs the queue and polls the source. A round with nothing to do is followed by sleep in epoll;
// while rounds find work, epoll is looked at every descriptor_rounds-th time, since that costs a system call.
//
// To sleep without missing anything, the loop first says so: to the queue, whose next post then wakes it, and to the
// source, which arms its eventfd. Only then does it look at both for the last time.

namespace cairn::loop {

namespace {

constexpr unsigned descriptor_rounds = 64;

using WaitType = asio::posix::descriptor_base::wait_type;

}  // namespace

struct Loop::Impl {
  Impl() : work(context.get_executor()), queue([this] { asio::post(context, [] {}); }) {}

  /// Waits for the source's eventfd, unless a wait for it is still pending from before.
  void watch_source() {
    if (wake_pending) return;
    wake_pending = true;
    wake->async_wait(asio::posix::descriptor_base::wait_read, [this](const asio::error_code& error) {
      if (!error) wake_pending = false;
    });
  }

  /// True when something woke the loop, false when there turned out to be no reason to sleep.
  void sleep() {
    if (!queue.begin_sleep()) return;
    bool worked = false;
    if (source) {
      source->before_sleep();
      worked = source->poll();
      if (!worked) watch_source();
    }
    // What the source resumed may have detached it.
    if (!worked) context.run_one();
    queue.end_sleep();
    if (source) source->after_sleep();
    context.poll();
  }

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work;
  Queue queue;
  WaitList waits;
  EventSource* source = nullptr;
  std::optional<asio::posix::stream_descriptor> wake;  ///< a duplicate of the source's eventfd
  bool wake_pending = false;
  bool closing = false;
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {}

Loop::~Loop() {
  const Running running(*this);
  impl_->closing = true;
  bool any = true;
  while (any) {
    any = impl_->queue.run_batch();
    while (Wait* wait = impl_->waits.front()) {
      any = true;
      const std::shared_ptr<Wait> alive = wait->shared_from_this();
      alive->finish(Wait::Outcome::cancelled);
    }
  }
}

void Loop::run() {
  const Running running(*this);
  Impl& impl = *impl_;
  for (unsigned round = 1;; ++round) {
    bool worked = false;
    if (impl.queue.maybe_something()) {
      worked = impl.queue.run_batch();
      if (impl.queue.take_stop()) return;
    }
    if (impl.source && impl.source->poll()) worked = true;
    if (!worked) {
      impl.sleep();
    } else if (round % descriptor_rounds == 0) {
      impl.context.poll();
    }
  }
}

void Loop::stop() noexcept {
  impl_->queue.request_stop();
}

void Loop::post(std::coroutine_handle<> coroutine) noexcept {
  impl_->queue.push(coroutine);
}

void Loop::post(std::function<void()> function) {
  impl_->queue.push(std::move(function));
}

void Loop::attach(EventSource* source) {
  if (impl_->source) throw Error(Errc::bad_argument, "Loop::attach: there is a source already");
  const int fd = ::fcntl(source->wake_fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw Error::from_errno(errno, "duplicate an eventfd");
  impl_->wake.emplace(impl_->context, fd);
  impl_->wake_pending = false;
  impl_->source = source;
}

void Loop::detach() noexcept {
  impl_->source = nullptr;
  impl_->wake.reset();
}

namespace {

/// True when it is ready now. Throws Error.
bool ready_now(int fd, WaitType type) {
  pollfd entry = {};
  entry.fd = fd;
  entry.events = type == WaitType::wait_read ? POLLIN : POLLOUT;
  int count = ::poll(&entry, 1, 0);
  while (count < 0 && errno == EINTR)
    count = ::poll(&entry, 1, 0);
  if (count < 0) throw Error::from_errno(errno, "poll descriptor " + std::to_string(fd));
  if ((entry.revents & POLLNVAL) != 0) throw Error::from_errno(EBADF, "poll descriptor " + std::to_string(fd));
  return count > 0;
}

/// Awaits a Wait; a requested stop is posted to the loop, which ends it.
class WaitAwaiter {
 public:
  using cairn_affine = void;

  WaitAwaiter(Loop& loop, std::shared_ptr<Wait> wait, int fd, WaitType type,
              std::optional<std::chrono::steady_clock::time_point> deadline, std::stop_token stop)
      : loop_(loop), wait_(std::move(wait)), fd_(fd), type_(type), deadline_(deadline), stop_(std::move(stop)) {}
  WaitAwaiter(const WaitAwaiter&) = delete;
  WaitAwaiter& operator=(const WaitAwaiter&) = delete;
  ~WaitAwaiter() {
    callback_.reset();
    wait_->abandon();
  }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    if (!wait_->start(fd_, type_, deadline_, waiter)) return false;
    if (stop_.stop_possible()) callback_.emplace(stop_, PostCancel(*this));
    return true;
  }
  Wait::Outcome await_resume() noexcept {
    callback_.reset();
    return wait_->error() != 0 ? Wait::Outcome::failed : wait_->outcome();
  }

 private:
  class PostCancel {
   public:
    explicit PostCancel(WaitAwaiter& awaiter) noexcept : awaiter_(awaiter) {}
    void operator()() const {
      // The wait outlives its coroutine where it must: it may be over when the loop comes to this.
      const std::shared_ptr<Wait> wait = awaiter_.wait_;
      std::function<void()> cancel = [wait] { wait->finish(Wait::Outcome::cancelled); };
      awaiter_.loop_.post(std::move(cancel));
    }

   private:
    WaitAwaiter& awaiter_;
  };

  Loop& loop_;
  std::shared_ptr<Wait> wait_;
  int fd_;
  WaitType type_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::stop_token stop_;
  std::optional<std::stop_callback<PostCancel>> callback_;
};

}  // namespace

Task<bool> Loop::wait_for(int fd, bool to_write, std::optional<std::chrono::steady_clock::time_point> deadline,
                          std::stop_token stop) {
  const WaitType type = to_write ? WaitType::wait_write : WaitType::wait_read;
  const char* what = fd < 0 ? "sleep" : to_write ? "wait for room to write" : "wait for something to read";
  if (impl_->closing || stop.stop_requested()) throw Error(Errc::cancelled, what);
  if (fd >= 0 && ready_now(fd, type)) co_return true;
  if (deadline && *deadline <= std::chrono::steady_clock::now()) co_return false;
  std::shared_ptr<Wait> wait = std::make_shared<Wait>(impl_->context, impl_->waits);
  const Wait::Outcome outcome = co_await WaitAwaiter(*this, wait, fd, type, deadline, stop);
  if (outcome == Wait::Outcome::failed) throw Error::from_errno(wait->error(), what);
  if (outcome == Wait::Outcome::cancelled) throw Error(Errc::cancelled, what);
  co_return outcome == Wait::Outcome::ready;
}

Task<bool> Loop::readable(int fd, std::optional<std::chrono::steady_clock::time_point> deadline, std::stop_token stop) {
  return wait_for(fd, false, deadline, std::move(stop));
}

Task<bool> Loop::writable(int fd, std::optional<std::chrono::steady_clock::time_point> deadline, std::stop_token stop) {
  return wait_for(fd, true, deadline, std::move(stop));
}

Task<void> Loop::sleep_until(std::chrono::steady_clock::time_point time, std::stop_token stop) {
  co_await wait_for(-1, false, time, std::move(stop));
}

}  // namespace cairn::loop
