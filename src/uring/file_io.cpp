#include "uring/file_io.hpp"

#include <algorithm>
#include <cairn/error.hpp>
#include <cerrno>

#include "uring/ring_file_io.hpp"
#include "uring/thread_file_io.hpp"
#include "uring/wake_event.hpp"

namespace cairn::uring {

namespace {

/// One operation moves at most this much: the kernel's limit is just below 2 GiB, and this keeps the rest aligned.
constexpr std::uint64_t transfer_bytes_max = std::uint64_t{1} << 30;

auto transfer(OperationKind kind, int fd, void* buffer, std::size_t bytes, std::uint64_t offset, int buffer_index) {
  return [=](Operation& operation) {
    operation.kind = kind;
    operation.descriptor = fd;
    operation.buffer = buffer;
    operation.length = std::min<std::uint64_t>(bytes, transfer_bytes_max);
    operation.offset = offset;
    operation.buffer_index = buffer_index;
  };
}

auto on_path(OperationKind kind, int directory, const char* path, int flags, unsigned mode) {
  return [=](Operation& operation) {
    operation.kind = kind;
    operation.descriptor = directory;
    operation.path = path;
    operation.flags = flags;
    operation.mode = mode;
  };
}

auto on_file(OperationKind kind, int fd, int flags, std::uint64_t offset, std::uint64_t length) {
  return [=](Operation& operation) {
    operation.kind = kind;
    operation.descriptor = fd;
    operation.flags = flags;
    operation.offset = offset;
    operation.length = length;
  };
}

/// Neither backend writes through it.
void* untyped(std::span<const std::byte> from) {
  return const_cast<std::byte*>(from.data());
}

/// EAGAIN comes from memory pressure and goes away; on a descriptor that is non-blocking it would come for ever.
constexpr int eagain_tries_max = 100;

}  // namespace

std::unique_ptr<FileIo> FileIo::make(Scheduler& loop, Backend backend, unsigned ring_entries) {
  if (const Scheduler* here = Scheduler::current(); here && here != &loop)
    throw Error(Errc::bad_argument, "FileIo::make on another thread than its loop's");
  if (backend == Backend::threads) return std::make_unique<ThreadFileIo>("");
  std::string reason;
  if (std::unique_ptr<FileIo> ring = RingFileIo::make(ring_entries, backend == Backend::automatic ? &reason : nullptr))
    return ring;
  return std::make_unique<ThreadFileIo>(std::move(reason));
}

void FileIo::wake() noexcept {
  set_wake_event(wake_fd());
}

bool FileIo::wants_retry(Operation& operation, std::int64_t result) noexcept {
  if (operation.cancel_wanted) return false;
  return result == -EINTR || (result == -EAGAIN && operation.tries++ < eagain_tries_max);
}

void FileIo::complete(Operation& operation, std::int64_t result) noexcept {
  // The kernel ends a running operation that is to be cancelled with EINTR.
  if (operation.cancel_wanted && (result == -EINTR || result == -EAGAIN)) result = -ECANCELED;
  operation.result = result;
  operation.state = Operation::State::done;
}

// The list of requested stops is the one thing here that other threads touch. An operation leaves it when the loop
// takes the list, or when it completes before that: Awaiter::forget() first destroys the stop_callback, which waits for
// a callback that is running, and then takes the operation out, so that no pointer to a dead frame stays behind.

void FileIo::request_stop(Operation& operation) noexcept {
  // The eventfd is written under the mutex: with it free, the operation may complete and this FileIo be destroyed.
  const std::lock_guard lock(stops_mutex_);
  operation.in_stops = true;
  operation.next_stop = stops_;
  stops_ = &operation;
  stops_requested_.store(true, std::memory_order_release);
  wake();
}

void FileIo::forget_stop(Operation& operation) noexcept {
  const std::lock_guard lock(stops_mutex_);
  if (!operation.in_stops) return;
  Operation** link = &stops_;
  while (*link != &operation)
    link = &(*link)->next_stop;
  *link = operation.next_stop;
  operation.in_stops = false;
}

void FileIo::cancel_stops() {
  // All under the mutex: it keeps every operation of the list alive, for forget_stop() needs it too. cancel() resumes
  // nothing, so it cannot come back here.
  const std::lock_guard lock(stops_mutex_);
  stops_requested_.store(false, std::memory_order_relaxed);
  while (stops_) {
    Operation& operation = *stops_;
    stops_ = operation.next_stop;
    operation.in_stops = false;
    if (operation.state != Operation::State::submitted) continue;
    operation.cancel_wanted = true;
    cancel(operation);
  }
}

void FileIo::Awaiter::abandon() noexcept {
  callback_.reset();
  io_.forget_stop(operation_);
  operation_.cancel_wanted = true;
  io_.wait_for(operation_);
}

void FileIo::Awaiter::forget() noexcept {
  callback_.reset();
  io_.forget_stop(operation_);
}

FileIo::Awaiter FileIo::nop(std::stop_token stop) {
  return Awaiter(*this, std::move(stop), [](Operation&) {});
}

FileIo::Awaiter FileIo::openat(int directory, const char* path, int flags, mode_t mode, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_path(OperationKind::openat, directory, path, flags, mode));
}

FileIo::Awaiter FileIo::read(int fd, std::span<std::byte> into, std::uint64_t offset, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), transfer(OperationKind::read, fd, into.data(), into.size(), offset, -1));
}

FileIo::Awaiter FileIo::write(int fd, std::span<const std::byte> from, std::uint64_t offset, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), transfer(OperationKind::write, fd, untyped(from), from.size(), offset, -1));
}

FileIo::Awaiter FileIo::read_fixed(int fd, std::span<std::byte> into, std::uint64_t offset, int buffer_index,
                                   std::stop_token stop) {
  return Awaiter(*this, std::move(stop),
                 transfer(OperationKind::read_fixed, fd, into.data(), into.size(), offset, buffer_index));
}

FileIo::Awaiter FileIo::write_fixed(int fd, std::span<const std::byte> from, std::uint64_t offset, int buffer_index,
                                    std::stop_token stop) {
  return Awaiter(*this, std::move(stop),
                 transfer(OperationKind::write_fixed, fd, untyped(from), from.size(), offset, buffer_index));
}

FileIo::Awaiter FileIo::fsync(int fd, bool datasync, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_file(OperationKind::fsync, fd, datasync ? 1 : 0, 0, 0));
}

FileIo::Awaiter FileIo::fallocate(int fd, int mode, std::uint64_t offset, std::uint64_t bytes, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_file(OperationKind::fallocate, fd, mode, offset, bytes));
}

FileIo::Awaiter FileIo::ftruncate(int fd, std::uint64_t bytes, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_file(OperationKind::ftruncate, fd, 0, 0, bytes));
}

FileIo::Awaiter FileIo::statx(int directory, const char* path, int flags, unsigned mask, struct ::statx* into,
                              std::stop_token stop) {
  return Awaiter(*this, std::move(stop), [=](Operation& operation) {
    on_path(OperationKind::statx, directory, path, flags, mask)(operation);
    operation.buffer = into;
  });
}

FileIo::Awaiter FileIo::renameat(int from_directory, const char* from, int to_directory, const char* to, unsigned flags,
                                 std::stop_token stop) {
  return Awaiter(*this, std::move(stop), [=](Operation& operation) {
    on_path(OperationKind::renameat, from_directory, from, static_cast<int>(flags), 0)(operation);
    operation.other_descriptor = to_directory;
    operation.other_path = to;
  });
}

FileIo::Awaiter FileIo::mkdirat(int directory, const char* path, mode_t mode, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_path(OperationKind::mkdirat, directory, path, 0, mode));
}

FileIo::Awaiter FileIo::unlinkat(int directory, const char* path, int flags, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), on_path(OperationKind::unlinkat, directory, path, flags, 0));
}

FileIo::Awaiter FileIo::close(int fd) {
  return Awaiter(*this, std::stop_token(), on_file(OperationKind::close, fd, 0, 0, 0));
}

FileIo::Awaiter FileIo::call(std::int64_t (*function)(void*), void* argument, std::stop_token stop) {
  return Awaiter(*this, std::move(stop), [=](Operation& operation) {
    operation.kind = OperationKind::call;
    operation.function = function;
    operation.buffer = argument;
  });
}

}  // namespace cairn::uring
