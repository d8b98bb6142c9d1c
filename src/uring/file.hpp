#pragma once

#include <fcntl.h>

#include <cairn/task.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>

#include "core/unique_fd.hpp"
#include "uring/file_io.hpp"

namespace cairn::uring {

/// An open file of a FileIo. Every failure is an Error that names operation, path and offset, such as
/// "write runs/a/rank-00001-of-00004.safetensors at 8388608"; a stop is Errc::cancelled.
///
/// Belongs to the loop's thread. Tasks of it may run at the same time, but must be done before it is moved or
/// destroyed.
class File {
 public:
  /// Flags as in open(2); O_CLOEXEC is added. O_DIRECT is dropped where the file system refuses it (EINVAL).
  static Task<File> open(FileIo& io, std::filesystem::path path, int flags, mode_t mode = 0666);

  File(File&&) noexcept = default;
  File& operator=(File&&) noexcept = default;
  /// Closes without syncing.
  ~File() = default;

  /// Whether O_DIRECT is still on.
  bool direct() const noexcept { return direct_; }

  /// What addresses, offsets and lengths must be a multiple of while direct(), in bytes: from statx where the kernel
  /// tells (6.1), else 4096.
  unsigned alignment() const noexcept { return alignment_; }

  /// Writes all of `bytes`. Short writes are continued. While direct(), bytes and offset should be aligned; EINVAL
  /// clears O_DIRECT for the whole file and goes on buffered. `buffer_index` names the registered buffer that holds
  /// `bytes`.
  Task<void> write_all(std::span<const std::byte> bytes, std::uint64_t offset, int buffer_index = -1,
                       std::stop_token stop = std::stop_token());

  /// Reads until `into` is full or the file ends; answers the bytes read. Direct and registered as in write_all.
  Task<std::size_t> read_up_to(std::span<std::byte> into, std::uint64_t offset, int buffer_index = -1,
                               std::stop_token stop = std::stop_token());

  /// fsync.
  Task<void> sync(std::stop_token stop = std::stop_token());

  /// Reserves room for the first `bytes` bytes without changing the size; ENOSPC is thrown, a file system that cannot
  /// reserve (EOPNOTSUPP) ignored.
  Task<void> allocate(std::uint64_t bytes, std::stop_token stop = std::stop_token());

  Task<void> truncate(std::uint64_t bytes, std::stop_token stop = std::stop_token());

  Task<std::uint64_t> size();

  int fd() const noexcept { return fd_.get(); }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  File(FileIo& io, std::filesystem::path path, UniqueFd fd, bool direct)
      : io_(&io), path_(std::move(path)), fd_(std::move(fd)), direct_(direct) {}

  bool leave_direct() noexcept;

  FileIo* io_;
  std::filesystem::path path_;
  UniqueFd fd_;
  bool direct_;
  unsigned alignment_ = 4096;
};

}  // namespace cairn::uring
