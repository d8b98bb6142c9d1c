#include "checkpoint/leftovers.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "uring/directory.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

bool same_trainer(const WriterIdentity& left, const WriterIdentity& right) {
  return left.trainer_pid == right.trainer_pid && left.trainer_start == right.trainer_start &&
         left.boot_id == right.boot_id && left.pid_namespace == right.pid_namespace;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

Task<> orphans_gone(loop::Loop& loop, fs::path parent, std::chrono::milliseconds wait_max, WriterIdentity own,
                    std::stop_token stop) {
  const auto deadline = std::chrono::steady_clock::now() + wait_max;
  std::vector<Attempt> waited_for = orphaned_writers(parent);
  while (true) {
    std::erase_if(waited_for, [&](const Attempt& attempt) {
      const auto writer = live_writer(attempt);
      return !writer || same_trainer(*writer, own);
    });
    if (waited_for.empty()) co_return;
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) {
      throw Error(Errc::timed_out, "wait " + std::to_string(wait_max.count()) +
                                       " ms for executors of dead trainers that are still writing " +
                                       describe(waited_for));
    }
    co_await loop.sleep_until(std::min(deadline, now + std::chrono::milliseconds(10)), stop);
  }
}

Task<> remove_leftovers(uring::FileIo& io, fs::path parent, std::function<void(const Error&)> notice) {
  const std::vector<Attempt> attempts = list_attempts(parent);
  for (const Attempt& attempt : attempts) {
    const auto lock = AttemptLock::take_over(attempt);
    if (!lock) continue;
    const std::string said = text_of(attempt.directory / error_file_name);
    if (!said.empty()) {
      notice(Error(Errc::executor_died,
                   "save " + attempt.path.string() + " of an earlier trainer failed after it: " + said));
    }
    try {
      co_await uring::remove_tree(io, attempt.directory);
    } catch (const Error& error) {
      notice(error);
    }
  }
}

Task<> finish_replacement(uring::FileIo& io, fs::path path) {
  const fs::path replaced = replaced_path(path);
  std::error_code ignored;
  if (!fs::exists(replaced / manifest_file_name, ignored)) co_return;
  if (fs::exists(path, ignored)) {
    co_await uring::remove_tree(io, replaced);
  } else {
    co_await uring::rename(io, replaced, path);
    co_await uring::sync_directory(io, path.parent_path());
  }
}

}  // namespace cairn::checkpoint
