#include "checkpoint/find_executor.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "cairn/error.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

std::atomic<bool>& executor_main_was_called() {
  static std::atomic<bool> called{false};
  return called;
}

bool is_program(const fs::path& path) {
  return ::access(path.c_str(), X_OK) == 0 && !fs::is_directory(path);
}

/// Beside the library that holds this function, wherever it was moved to: prefix/lib[/triplet]/libcairn.so.
std::vector<fs::path> beside_this_library() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&note_executor_main), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code ignored;
  const fs::path directory = fs::weakly_canonical(info.dli_fname, ignored).parent_path();
  return {directory / "cairn-executor", directory.parent_path() / "bin" / "cairn-executor",
          directory.parent_path().parent_path() / "bin" / "cairn-executor"};
}

fs::path require_program(const fs::path& path, const char* source) {
  if (is_program(path)) return path;
  throw Error::from_errno(ENOENT, "find the checkpoint process " + path.string() + " (" + source + ")");
}

}  // namespace

void note_executor_main() noexcept {
  executor_main_was_called().store(true);
}

fs::path find_executor(const fs::path& configured) {
  if (!configured.empty()) return require_program(configured, "CheckpointProcessConfig::executor");
  const char* const from_environment = std::getenv("CAIRN_EXECUTOR");
  if (from_environment != nullptr && *from_environment != '\0') {
    return require_program(from_environment, "CAIRN_EXECUTOR");
  }
  if (executor_main_was_called().load()) return fs::read_symlink("/proc/self/exe");
  std::vector<fs::path> places = beside_this_library();
  places.emplace_back(CAIRN_INSTALLED_EXECUTOR);
  places.emplace_back(CAIRN_BUILT_EXECUTOR);
  for (const fs::path& place : places) {
    if (is_program(place)) return place;
  }
  throw Error(Errc::unsafe_fork,
              "start the checkpoint process: a fork is not safe now, and no cairn-executor was found (set "
              "CAIRN_EXECUTOR). Either make the checkpointer before threads and CUDA are started, or begin main with "
              "`if (auto code = cairn::executor_main(argc, argv)) return *code;`");
}

}  // namespace cairn::checkpoint
