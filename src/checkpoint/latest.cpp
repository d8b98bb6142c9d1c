#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "cairn/error.hpp"
#include "cairn/reader.hpp"
#include "checkpoint/attempt.hpp"
#include "checkpoint/checkpoint_directory.hpp"
#include "checkpoint/checkpoint_order.hpp"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr auto writer_wait_max = std::chrono::seconds(600);
constexpr std::string_view replaced_mark = ".replaced";

/// Blocks that files take up, in bytes: those of an attempt are allocated before they are written.
std::uint64_t size_of_files(const fs::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (fs::directory_iterator entry(directory, ignored), end; entry != end; entry.increment(ignored)) {
    const auto size = entry->file_size(ignored);
    if (!ignored) bytes += size;
    if (ignored) ignored.clear();
  }
  return bytes;
}

CheckpointEntry entry_of_attempt(const checkpoint::Attempt& attempt) {
  CheckpointEntry entry;
  entry.path = attempt.directory;
  entry.live = checkpoint::live_writer(attempt).has_value();
  entry.size_bytes = size_of_files(attempt.directory);
  return entry;
}

/// Nothing where there is no checkpoint.
std::optional<CheckpointEntry> entry_of_checkpoint(const fs::path& path) {
  try {
    const checkpoint::CheckpointDirectory found = checkpoint::read_manifest(path, "list");
    CheckpointEntry entry;
    entry.path = path;
    entry.committed = true;
    entry.step = found.manifest.step;
    entry.world_size = static_cast<int>(found.manifest.world_size);
    entry.created = found.manifest.created;
    for (const format::FileEntry& file : found.manifest.files)
      entry.size_bytes += file.bytes;
    return entry;
  } catch (const Error& error) {
    if (error.code() == Errc::damaged) {
      CheckpointEntry entry;
      entry.path = path;
      entry.damage = error.context();
      entry.size_bytes = size_of_files(path);
      return entry;
    }
    // Removed, or never a checkpoint.
    const bool nothing = error.code() == Errc::not_a_checkpoint ||
                         error.code() == std::errc::no_such_file_or_directory ||
                         error.code() == std::errc::not_a_directory;
    if (nothing) return std::nullopt;
    throw;
  }
}

/// Every entry of the directory, in no particular order.
std::vector<CheckpointEntry> find_entries(const fs::path& directory) {
  std::vector<CheckpointEntry> entries;
  std::error_code error;
  fs::directory_iterator files(directory, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return entries;
  for (; !error && files != fs::directory_iterator(); files.increment(error)) {
    const fs::path& path = files->path();
    std::error_code gone;
    if (!files->is_directory(gone)) continue;
    if (const auto attempt = checkpoint::parse_partial_path(path)) {
      entries.push_back(entry_of_attempt(*attempt));
      continue;
    }
    fs::path checkpoint_path = path;
    if (path.native().ends_with(replaced_mark)) {
      // Read under the name that it had, as long as nothing else has taken that.
      checkpoint_path = path.native().substr(0, path.native().size() - replaced_mark.size());
      if (fs::exists(checkpoint_path, gone)) continue;
    }
    if (auto entry = entry_of_checkpoint(checkpoint_path)) entries.push_back(std::move(*entry));
  }
  if (error) throw Error(error, "list " + directory.string());
  return entries;
}

/// Whole checkpoints first, then damaged ones, then attempts.
int group_of(const CheckpointEntry& entry) {
  if (entry.committed) return 0;
  return entry.damage.empty() ? 2 : 1;
}

bool comes_first(const CheckpointEntry& left, const CheckpointEntry& right) {
  if (group_of(left) != group_of(right)) return group_of(left) < group_of(right);
  const std::string left_name = left.path.filename().string();
  const std::string right_name = right.path.filename().string();
  const checkpoint::CheckpointRank left_rank{left.step, left_name};
  const checkpoint::CheckpointRank right_rank{right.step, right_name};
  return checkpoint::newer(left_rank, right_rank);
}

}  // namespace

std::vector<CheckpointEntry> list_entries(const fs::path& directory) {
  std::vector<CheckpointEntry> entries = find_entries(directory);
  std::sort(entries.begin(), entries.end(), comes_first);
  return entries;
}

std::vector<fs::path> list_checkpoints(const fs::path& directory) {
  std::vector<fs::path> paths;
  for (CheckpointEntry& entry : list_entries(directory)) {
    if (entry.committed) paths.push_back(std::move(entry.path));
  }
  return paths;
}

std::optional<fs::path> latest_checkpoint(const fs::path& directory, std::chrono::milliseconds wait_max) {
  checkpoint::wait_for_orphans(directory, wait_max);
  std::vector<fs::path> paths = list_checkpoints(directory);
  if (paths.empty()) return std::nullopt;
  return std::move(paths.front());
}

std::optional<fs::path> latest_checkpoint(const fs::path& directory) {
  return latest_checkpoint(directory, writer_wait_max);
}

}  // namespace cairn
