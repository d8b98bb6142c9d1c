#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cairn::checkpoint {

/// Compares names as people number things: digits count as numbers ("step-9" < "step-10"), leading zeros decide last.
/// Negative, zero or positive.
int compare_natural(std::string_view left, std::string_view right) noexcept;

/// The digits at the end of a name without leading zeros ("run-2/step-0042" → "42"); empty where there are none, "0"
/// for zeros alone.
std::string_view number_at_end(std::string_view name) noexcept;

/// What decides which of two checkpoints is the newer one; never a clock.
struct CheckpointRank {
  std::optional<std::int64_t> step;
  std::string_view name;
};

/// The highest step; checkpoints without one come behind those that have one. Then the highest number at the end of the
/// name, with the same rule; then natural order of the names.
bool newer(const CheckpointRank& left, const CheckpointRank& right) noexcept;

}  // namespace cairn::checkpoint
