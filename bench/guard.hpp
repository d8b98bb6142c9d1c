#pragma once

#include <filesystem>
#include <functional>

namespace cairn::bench {

/// Makes a new directory in `parent`, runs `work(directory)` in a child process and answers its exit status. However
/// the child ends, and when this process is told to end (SIGINT, SIGTERM, SIGHUP), every process that came of it is
/// killed, also those that have left its group, and the directory is removed with all it holds.
///
/// Throws Error where that cannot be set up. For a process with one thread.
int run_guarded(const std::filesystem::path& parent, const std::function<int(const std::filesystem::path&)>& work);

}  // namespace cairn::bench
