#include "uring/wake_event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cairn/error.hpp>
#include <cerrno>
#include <cstdint>

namespace cairn::uring {

UniqueFd make_wake_event() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw Error::from_errno(errno, "eventfd");
  return fd;
}

void set_wake_event(int fd) noexcept {
  const std::uint64_t one = 1;
  // Fails only with the counter full, and then it is readable.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
}

void clear_wake_event(int fd) noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t read = ::read(fd, &count, sizeof count);
}

}  // namespace cairn::uring
