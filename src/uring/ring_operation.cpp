#include "uring/ring_operation.hpp"

#include <sys/stat.h>

#include <cstdint>

namespace cairn::uring {

namespace {

/// Since Linux 6.9, and not in the headers of liburing 2.3.
constexpr int opcode_ftruncate = 55;

}  // namespace

int ring_opcode(OperationKind kind) noexcept {
  switch (kind) {
    case OperationKind::nop:
      return IORING_OP_NOP;
    case OperationKind::openat:
      return IORING_OP_OPENAT;
    case OperationKind::read:
      return IORING_OP_READ;
    case OperationKind::write:
      return IORING_OP_WRITE;
    case OperationKind::read_fixed:
      return IORING_OP_READ_FIXED;
    case OperationKind::write_fixed:
      return IORING_OP_WRITE_FIXED;
    case OperationKind::fsync:
      return IORING_OP_FSYNC;
    case OperationKind::fallocate:
      return IORING_OP_FALLOCATE;
    case OperationKind::ftruncate:
      return opcode_ftruncate;
    case OperationKind::statx:
      return IORING_OP_STATX;
    case OperationKind::renameat:
      return IORING_OP_RENAMEAT;
    case OperationKind::mkdirat:
      return IORING_OP_MKDIRAT;
    case OperationKind::unlinkat:
      return IORING_OP_UNLINKAT;
    case OperationKind::close:
      return IORING_OP_CLOSE;
    case OperationKind::call:
      break;
  }
  return -1;
}

void prepare(io_uring_sqe& sqe, Operation& operation) noexcept {
  const auto length = static_cast<unsigned>(operation.length);
  const auto flags = static_cast<unsigned>(operation.flags);
  switch (operation.kind) {
    case OperationKind::nop:
    case OperationKind::call:
      io_uring_prep_nop(&sqe);
      break;
    case OperationKind::openat:
      io_uring_prep_openat(&sqe, operation.descriptor, operation.path, operation.flags, operation.mode);
      break;
    case OperationKind::read:
      io_uring_prep_read(&sqe, operation.descriptor, operation.buffer, length, operation.offset);
      break;
    case OperationKind::write:
      io_uring_prep_write(&sqe, operation.descriptor, operation.buffer, length, operation.offset);
      break;
    case OperationKind::read_fixed:
      io_uring_prep_read_fixed(&sqe, operation.descriptor, operation.buffer, length, operation.offset,
                               operation.buffer_index);
      break;
    case OperationKind::write_fixed:
      io_uring_prep_write_fixed(&sqe, operation.descriptor, operation.buffer, length, operation.offset,
                                operation.buffer_index);
      break;
    case OperationKind::fsync:
      io_uring_prep_fsync(&sqe, operation.descriptor, operation.flags ? IORING_FSYNC_DATASYNC : 0);
      break;
    case OperationKind::fallocate:
      io_uring_prep_fallocate(&sqe, operation.descriptor, operation.flags, static_cast<off_t>(operation.offset),
                              static_cast<off_t>(operation.length));
      break;
    case OperationKind::ftruncate:
      io_uring_prep_rw(opcode_ftruncate, &sqe, operation.descriptor, nullptr, 0, operation.length);
      break;
    case OperationKind::statx:
      io_uring_prep_statx(&sqe, operation.descriptor, operation.path, operation.flags, operation.mode,
                          static_cast<struct ::statx*>(operation.buffer));
      break;
    case OperationKind::renameat:
      io_uring_prep_renameat(&sqe, operation.descriptor, operation.path, operation.other_descriptor,
                             operation.other_path, flags);
      break;
    case OperationKind::mkdirat:
      io_uring_prep_mkdirat(&sqe, operation.descriptor, operation.path, operation.mode);
      break;
    case OperationKind::unlinkat:
      io_uring_prep_unlinkat(&sqe, operation.descriptor, operation.path, operation.flags);
      break;
    case OperationKind::close:
      io_uring_prep_close(&sqe, operation.descriptor);
      break;
  }
  io_uring_sqe_set_data(&sqe, &operation);
}

}  // namespace cairn::uring
