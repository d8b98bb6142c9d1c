#include "uring/file.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "uring/failure.hpp"

namespace cairn::uring {

namespace {

/// "write runs/a/file at 4096".
std::string at(const char* verb, const std::filesystem::path& path, std::uint64_t offset) {
  return std::string(verb) + " " + path.string() + " at " + std::to_string(offset);
}

std::string of(const char* verb, const std::filesystem::path& path) {
  return std::string(verb) + " " + path.string();
}

}  // namespace

Task<File> File::open(FileIo& io, std::filesystem::path path, int flags, mode_t mode) {
  flags |= O_CLOEXEC;
  std::int64_t opened = co_await io.openat(AT_FDCWD, path.c_str(), flags, mode);
  if (opened == -EINVAL && (flags & O_DIRECT) != 0) {
    // The kernel looks at O_DIRECT after it has created the file: O_EXCL would find our own.
    flags &= ~(O_DIRECT | O_EXCL);
    opened = co_await io.openat(AT_FDCWD, path.c_str(), flags, mode);
  }
  if (opened < 0) fail(opened, of("open", path));
  UniqueFd fd(static_cast<int>(opened));
  File file(io, std::move(path), std::move(fd), (flags & O_DIRECT) != 0);
#ifdef STATX_DIOALIGN
  if (file.direct_) {
    struct ::statx status = {};
    const std::int64_t asked = co_await io.statx(file.fd(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &status);
    if (asked == 0 && (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_offset_align != 0)
      file.alignment_ = std::max(status.stx_dio_mem_align, status.stx_dio_offset_align);
  }
#endif
  co_return file;
}

bool File::leave_direct() noexcept {
  if (!direct_) return true;  // another task of this file has done it
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd_.get(), F_SETFL, flags & ~O_DIRECT) < 0) return false;
  direct_ = false;
  return true;
}

Task<void> File::write_all(std::span<const std::byte> bytes, std::uint64_t offset, int buffer_index,
                           std::stop_token stop) {
  while (!bytes.empty()) {
    const bool was_direct = direct_;
    std::int64_t written = 0;
    if (buffer_index >= 0) {
      written = co_await io_->write_fixed(fd(), bytes, offset, buffer_index, stop);
    } else {
      written = co_await io_->write(fd(), bytes, offset, stop);
    }
    if (written == -EINVAL && was_direct && leave_direct()) continue;
    if (written == 0) written = -EIO;  // a device at its end; going on would never end
    if (written < 0) fail(written, at("write", path_, offset));
    auto advance = static_cast<std::size_t>(written);
    // What is left of a short direct write must be aligned again; where that is no progress, go on buffered.
    if (was_direct && advance < bytes.size() && advance % alignment_ != 0) {
      advance -= advance % alignment_;
      if (advance == 0 && !leave_direct()) fail(-EIO, at("write", path_, offset));
    }
    bytes = bytes.subspan(advance);
    offset += advance;
  }
}

Task<std::size_t> File::read_up_to(std::span<std::byte> into, std::uint64_t offset, int buffer_index,
                                   std::stop_token stop) {
  std::size_t done = 0;
  while (done < into.size()) {
    const bool was_direct = direct_;
    const std::span<std::byte> rest = into.subspan(done);
    std::int64_t got = 0;
    if (buffer_index >= 0) {
      got = co_await io_->read_fixed(fd(), rest, offset + done, buffer_index, stop);
    } else {
      got = co_await io_->read(fd(), rest, offset + done, stop);
    }
    if (got == -EINVAL && was_direct && leave_direct()) continue;
    if (got < 0) fail(got, at("read", path_, offset + done));
    if (got == 0) break;
    auto advance = static_cast<std::size_t>(got);
    if (was_direct && advance < rest.size() && advance % alignment_ != 0) {
      // The last bytes of the file, or a short read in its middle: only the former may end here.
      const std::uint64_t end = co_await size();
      if (offset + done + advance >= end) co_return done + advance;
      advance -= advance % alignment_;
      if (advance == 0 && !leave_direct()) fail(-EIO, at("read", path_, offset + done));
    }
    done += advance;
  }
  co_return done;
}

Task<void> File::sync(std::stop_token stop) {
  const std::int64_t result = co_await io_->fsync(fd(), false, stop);
  if (result < 0) fail(result, of("sync", path_));
}

Task<void> File::allocate(std::uint64_t bytes, std::stop_token stop) {
  if (bytes == 0) co_return;
  const std::int64_t result = co_await io_->fallocate(fd(), 0, 0, bytes, stop);
  if (result == -EOPNOTSUPP || result == -ENOSYS) co_return;
  if (result < 0) fail(result, of("allocate", path_) + ", " + std::to_string(bytes) + " bytes");
}

Task<void> File::truncate(std::uint64_t bytes, std::stop_token stop) {
  const std::int64_t result = co_await io_->ftruncate(fd(), bytes, stop);
  if (result < 0) fail(result, of("truncate", path_) + " to " + std::to_string(bytes) + " bytes");
}

Task<std::uint64_t> File::size() {
  struct ::statx status = {};
  const std::int64_t result = co_await io_->statx(fd(), "", AT_EMPTY_PATH, STATX_SIZE, &status);
  if (result < 0) fail(result, of("stat", path_));
  co_return status.stx_size;
}

}  // namespace cairn::uring
