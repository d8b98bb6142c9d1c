#pragma once

#include <filesystem>

namespace cairn::tools {

// What the program can end with. Scripts rely on the first three (cairn verify).
inline constexpr int exit_whole = 0;
inline constexpr int exit_damaged = 1;
inline constexpr int exit_no_checkpoint = 2;
inline constexpr int exit_failed = 3;  ///< it cannot be told: no permission, out of memory, ...
inline constexpr int exit_usage = 64;

// Each prints to standard output and gives the exit status. They throw cairn::Error for what keeps them from working.

/// What is in a checkpoint: a summary, and the tree of every rank's file with its values. Also takes a safetensors
/// file.
int inspect(const std::filesystem::path& path);

/// Reads everything and checks every digest.
int verify(const std::filesystem::path& path);

/// The checkpoints of a directory, newest first, and attempts that are not committed.
int list(const std::filesystem::path& directory);

}  // namespace cairn::tools
