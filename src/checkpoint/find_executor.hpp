#pragma once

#include <filesystem>

namespace cairn::checkpoint {

/// The program to start as checkpoint process: `configured`, else CAIRN_EXECUTOR, this program where its main calls
/// `executor_main`, `cairn-executor` of the installation, then that of the build tree.
/// Throws Error: ENOENT for one that is configured and not there, unsafe_fork (saying both ways out) where there is
/// none.
std::filesystem::path find_executor(const std::filesystem::path& configured);

/// `executor_main` was called, so this very program can be an executor.
void note_executor_main() noexcept;

}  // namespace cairn::checkpoint
