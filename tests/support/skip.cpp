#include "support/skip.hpp"

#include <cstdio>
#include <utility>

#include "support/catch.hpp"

namespace cairn::test {
namespace {

std::optional<std::string>& pending_reason() {
  static std::optional<std::string> reason;
  return reason;
}

}  // namespace

void skip_case(std::string reason) {
  // For whoever runs one case with another reporter; standard output belongs to TAP.
  std::fprintf(stderr, "skipped: %s\n", reason.c_str());
  if (!pending_reason()) pending_reason() = std::move(reason);
}

std::optional<std::string> take_skip_reason() {
  return std::exchange(pending_reason(), std::nullopt);
}

}  // namespace cairn::test
