#pragma once

#include <random>
#include <vector>

#include "result.hpp"

namespace cairn::bench {

/// A NOP through a coroutine, the loop and FileIo, against one through liburing alone: one at a time, and 32 at once.
/// Throws Error where io_uring is not to be had.
std::vector<Result> measure_nop(std::mt19937_64& random);

}  // namespace cairn::bench
