#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cairn::bench {

/// What the figures depend on besides cairn, by name, in the order in which it is printed.
using Machine = std::vector<std::pair<std::string, std::string>>;

/// The machine that this runs on, with the file system of `directory`.
Machine describe_machine(const std::filesystem::path& directory);

/// Throws too_little_memory or ENOSPC, naming the numbers, unless there is room for `memory_bytes` and, in `directory`,
/// for `disk_bytes`; bad_argument where `directory` lies in memory.
void require_room(const std::filesystem::path& directory, std::uint64_t memory_bytes, std::uint64_t disk_bytes);

}  // namespace cairn::bench
