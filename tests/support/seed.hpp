#pragma once

#include <cstdint>

namespace cairn::test {

/// One seed for the whole test program: CAIRN_TEST_SEED where it is set, else random. It is printed when the program
/// starts, so that a failure can be repeated.
std::uint64_t seed();

}  // namespace cairn::test
