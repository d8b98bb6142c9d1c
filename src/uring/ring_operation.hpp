#pragma once

#include <liburing.h>

#include "uring/operation.hpp"

namespace cairn::uring {

/// The opcode of io_uring, or -1 where it has none.
int ring_opcode(OperationKind kind) noexcept;

/// Fills `sqe` in; its completion carries the operation's address.
void prepare(io_uring_sqe& sqe, Operation& operation) noexcept;

}  // namespace cairn::uring
