#pragma once

#include <cstdint>

#include "uring/operation.hpp"

namespace cairn::uring {

/// Makes the system call of `operation` on the calling thread: ≥ 0, or -errno, as io_uring would answer it.
std::int64_t blocking_call(const Operation& operation) noexcept;

}  // namespace cairn::uring
