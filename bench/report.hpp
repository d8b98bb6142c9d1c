#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "machine.hpp"
#include "result.hpp"

namespace cairn::bench {

/// The table for people.
std::string as_table(const std::vector<Result>& results);

/// `{"machine": {...}, "results": [{"name", "value", "unit", "baseline", "ratio", "samples", "min", "max"}]}`, with
/// null where there is no baseline.
std::string as_json(const Machine& machine, const std::vector<Result>& results);

}  // namespace cairn::bench
