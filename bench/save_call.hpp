#pragma once

#include <filesystem>
#include <vector>

#include "result.hpp"

namespace cairn::bench {

/// The time in `save()` itself, of a state of 1,000 small tensors, which all have to be named, viewed and remembered.
/// `directory` is empty.
std::vector<Result> measure_save_call(const std::filesystem::path& directory);

}  // namespace cairn::bench
