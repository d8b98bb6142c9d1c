#pragma once

#include <optional>
#include <string>

namespace cairn::test {

/// The reason given to the first skip_case() since the last call; used by the reporter once a test case.
std::optional<std::string> take_skip_reason();

}  // namespace cairn::test
