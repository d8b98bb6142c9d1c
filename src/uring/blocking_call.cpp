#include "uring/blocking_call.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::uring {

namespace {

std::int64_t call(const Operation& operation) noexcept {
  const auto offset = static_cast<off_t>(operation.offset);
  const auto length = static_cast<off_t>(operation.length);
  switch (operation.kind) {
    case OperationKind::nop:
      return 0;
    case OperationKind::openat:
      return ::openat(operation.descriptor, operation.path, operation.flags, operation.mode);
    case OperationKind::read:
    case OperationKind::read_fixed:
      return ::pread(operation.descriptor, operation.buffer, operation.length, offset);
    case OperationKind::write:
    case OperationKind::write_fixed:
      return ::pwrite(operation.descriptor, operation.buffer, operation.length, offset);
    case OperationKind::fsync:
      return operation.flags ? ::fdatasync(operation.descriptor) : ::fsync(operation.descriptor);
    case OperationKind::fallocate:
      return ::fallocate(operation.descriptor, operation.flags, offset, length);
    case OperationKind::ftruncate:
      return ::ftruncate(operation.descriptor, length);
    case OperationKind::statx:
      return ::statx(operation.descriptor, operation.path, operation.flags, operation.mode,
                     static_cast<struct ::statx*>(operation.buffer));
    case OperationKind::renameat:
      return ::renameat2(operation.descriptor, operation.path, operation.other_descriptor, operation.other_path,
                         static_cast<unsigned>(operation.flags));
    case OperationKind::mkdirat:
      return ::mkdirat(operation.descriptor, operation.path, operation.mode);
    case OperationKind::unlinkat:
      return ::unlinkat(operation.descriptor, operation.path, operation.flags);
    case OperationKind::close:
      return ::close(operation.descriptor);
    case OperationKind::call:
      break;  // answered below: its result is not in errno
  }
  return operation.function(operation.buffer);
}

}  // namespace

std::int64_t blocking_call(const Operation& operation) noexcept {
  const std::int64_t result = call(operation);
  if (operation.kind == OperationKind::call) return result;
  return result < 0 ? -errno : result;
}

}  // namespace cairn::uring
