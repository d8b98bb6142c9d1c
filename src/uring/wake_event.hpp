#pragma once

#include "core/unique_fd.hpp"

namespace cairn::uring {

/// An eventfd for EventSource::wake_fd(). Throws Error.
UniqueFd make_wake_event();

/// Makes it readable; any thread.
void set_wake_event(int fd) noexcept;

/// Makes it not readable.
void clear_wake_event(int fd) noexcept;

}  // namespace cairn::uring
