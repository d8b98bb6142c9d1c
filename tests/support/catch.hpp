#pragma once

// The one way tests reach Catch2. Both of its generations are taken: 2 (one big header, Debian 12) and 3.

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace cairn::test {

/// Marks the test case that is running as skipped, for `reason`. Called by CAIRN_SKIP.
void skip_case(std::string reason);

}  // namespace cairn::test

/// Leaves the test body and reports the test case as skipped, with the reason. A case that also failed counts as
/// failed. Only in the body itself (it returns).
#define CAIRN_SKIP(reason)              \
  do {                                  \
    ::cairn::test::skip_case((reason)); \
    return;                             \
  } while (false)
