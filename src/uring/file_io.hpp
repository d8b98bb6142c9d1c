#pragma once

#include <sys/stat.h>
#include <sys/uio.h>

#include <atomic>
#include <cairn/scheduler.hpp>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "core/event_source.hpp"
#include "core/unique_fd.hpp"
#include "uring/operation.hpp"

namespace cairn::uring {

enum class Backend { automatic, uring, threads };

/// File operations as awaitables, for the coroutines of one loop.
///
/// Every operation answers a count or descriptor ≥ 0, or -errno, and never throws. EINTR is retried without end, EAGAIN
/// some times. Counts may be short (File continues them). There is no limit on operations in flight: what the ring has
/// no room for waits its turn. Paths and buffers must live until the co_await is done.
///
/// **Cancelling.** A requested stop, from whatever thread, asks the kernel to give the operation up. Its completion is
/// awaited all the same, since the kernel owns the buffer until then: the answer is -ECANCELED, or what the operation
/// did when it was too late to stop it. A stop requested before the operation is submitted is -ECANCELED at once.
///
/// **Threads.** Made, polled and destroyed on the loop's thread; attach it to the Loop that runs there. Only stop
/// tokens cross threads.
///
/// **Destruction.** An awaiting coroutine that is destroyed cancels its operation and blocks until the kernel let go of
/// the buffer. The destructor of a FileIo cancels what is in flight, waits for it and resumes the waiting coroutines
/// with what became of it; what they submit then is answered -ECANCELED.
///
/// Subclasses are the backends, and in tests a decorator that injects errors. A subclass implements submit(), cancel()
/// and wait_for(), calls take_stops() in poll(), and in its destructor close().
class FileIo : public EventSource {
 public:
  class Awaiter;

  /// Picks the backend: `automatic` takes io_uring where the kernel allows it, else threads. `uring` throws Error where
  /// it does not. On the loop's thread, after the last fork. `ring_entries` is the size of the submission queue. The
  /// thread backend starts its threads at the first operation.
  static std::unique_ptr<FileIo> make(Scheduler& loop, Backend backend, unsigned ring_entries = 256);

  ~FileIo() override = default;
  FileIo(const FileIo&) = delete;
  FileIo& operator=(const FileIo&) = delete;

  /// Never `automatic`.
  virtual Backend backend() const noexcept = 0;

  /// Why `automatic` became threads, such as "io_uring_setup: Operation not permitted"; empty otherwise.
  virtual const std::string& backend_reason() const noexcept = 0;

  /// Registers memory that read_fixed and write_fixed then name by its index in `buffers`: 0, or -errno (ENOMEM above
  /// RLIMIT_MEMLOCK, EFAULT for one over 1 GiB): then go on without. The thread backend takes anything. Synchronous.
  virtual int register_buffers(std::span<const iovec> buffers) = 0;
  virtual int unregister_buffers() = 0;

  Awaiter nop(std::stop_token stop = std::stop_token());
  Awaiter openat(int directory, const char* path, int flags, mode_t mode = 0, std::stop_token stop = std::stop_token());
  Awaiter read(int fd, std::span<std::byte> into, std::uint64_t offset, std::stop_token stop = std::stop_token());
  Awaiter write(int fd, std::span<const std::byte> from, std::uint64_t offset,
                std::stop_token stop = std::stop_token());
  /// `into` lies in the registered buffer `buffer_index`.
  Awaiter read_fixed(int fd, std::span<std::byte> into, std::uint64_t offset, int buffer_index,
                     std::stop_token stop = std::stop_token());
  Awaiter write_fixed(int fd, std::span<const std::byte> from, std::uint64_t offset, int buffer_index,
                      std::stop_token stop = std::stop_token());
  Awaiter fsync(int fd, bool datasync = false, std::stop_token stop = std::stop_token());
  Awaiter fallocate(int fd, int mode, std::uint64_t offset, std::uint64_t bytes,
                    std::stop_token stop = std::stop_token());
  Awaiter ftruncate(int fd, std::uint64_t bytes, std::stop_token stop = std::stop_token());
  Awaiter statx(int directory, const char* path, int flags, unsigned mask, struct ::statx* into,
                std::stop_token stop = std::stop_token());
  /// `flags` are those of renameat2 (RENAME_EXCHANGE, RENAME_NOREPLACE).
  Awaiter renameat(int from_directory, const char* from, int to_directory, const char* to, unsigned flags = 0,
                   std::stop_token stop = std::stop_token());
  Awaiter mkdirat(int directory, const char* path, mode_t mode, std::stop_token stop = std::stop_token());
  Awaiter unlinkat(int directory, const char* path, int flags = 0, std::stop_token stop = std::stop_token());
  /// Cannot be cancelled: the descriptor is gone in any case, even when the FileIo is being destroyed.
  Awaiter close(int fd);
  /// Runs `function(argument)` on a helper thread; it answers as operations do and must not throw.
  Awaiter call(std::int64_t (*function)(void*), void* argument, std::stop_token stop = std::stop_token());

  // For subclasses and decorators (which hand operations on to the FileIo inside them).

  /// Takes the operation; it completes in a later poll(), never here.
  virtual void submit(Operation& operation) = 0;

  /// Asks for an early end of a submitted operation, which completes in a later poll() in any case.
  virtual void cancel(Operation& operation) = 0;

  /// Cancels `operation`, waits for its completion and forgets it, without resuming anything.
  virtual void wait_for(Operation& operation) = 0;

 protected:
  FileIo() = default;

  /// Makes wake_fd() readable; any thread.
  void wake() noexcept;

  /// Hands the stops requested since the last call to cancel(). Costs one load when there are none.
  void take_stops() {
    if (stops_requested_.load(std::memory_order_acquire)) cancel_stops();
  }

  /// True while a stop is requested that take_stops() has not seen.
  bool stops_requested() const noexcept { return stops_requested_.load(std::memory_order_acquire); }

  /// True when `operation`, which answered `result`, is to be submitted once more.
  static bool wants_retry(Operation& operation, std::int64_t result) noexcept;

  /// Notes the answer.
  static void complete(Operation& operation, std::int64_t result) noexcept;

 private:
  friend class Awaiter;

  void request_stop(Operation& operation) noexcept;
  void forget_stop(Operation& operation) noexcept;
  void cancel_stops();

  std::atomic<bool> stops_requested_ = false;
  std::mutex stops_mutex_;
  Operation* stops_ = nullptr;
};

/// Awaits one operation. Allocates nothing; resumed straight from FileIo::poll() on the loop's thread.
class [[nodiscard]] FileIo::Awaiter {
 public:
  using cairn_affine = void;

  /// `fill(Operation&)` sets the arguments where they will stay: an Operation is too big to be copied for each NOP.
  template <class Fill>
  Awaiter(FileIo& io, std::stop_token stop, const Fill& fill) : io_(io), stop_(std::move(stop)) {
    fill(operation_);
  }
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  ~Awaiter() {
    if (operation_.state == Operation::State::submitted) abandon();
  }

  bool await_ready() noexcept {
    if (!stop_.stop_requested()) return false;
    operation_.result = -ECANCELED;
    return true;
  }

  void await_suspend(std::coroutine_handle<> waiter) {
    operation_.waiter = waiter;
    operation_.state = Operation::State::submitted;
    io_.submit(operation_);
    if (stop_.stop_possible()) callback_.emplace(stop_, RequestStop(*this));
  }

  std::int64_t await_resume() noexcept {
    if (callback_) forget();
    return operation_.result;
  }

 private:
  class RequestStop {
   public:
    explicit RequestStop(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}
    void operator()() const noexcept { awaiter_.io_.request_stop(awaiter_.operation_); }

   private:
    Awaiter& awaiter_;
  };

  void abandon() noexcept;
  void forget() noexcept;

  FileIo& io_;
  Operation operation_;
  std::stop_token stop_;
  std::optional<std::stop_callback<RequestStop>> callback_;
};

}  // namespace cairn::uring
