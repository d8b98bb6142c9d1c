#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/reader.hpp"
#include "commands.hpp"
#include "text.hpp"

namespace cairn::tools {
namespace {

namespace fs = std::filesystem;
using Row = std::array<std::string, 5>;

/// By the manifest where there is one, else by the directory.
std::string age_of(const CheckpointEntry& entry) {
  if (const auto created = parse_time(entry.created)) {
    return age_text(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - *created));
  }
  std::error_code error;
  const auto changed = fs::last_write_time(entry.path, error);
  if (error) return "-";
  return age_text(std::chrono::floor<std::chrono::seconds>(fs::file_time_type::clock::now() - changed));
}

std::string state_of(const CheckpointEntry& entry) {
  if (entry.committed) return "committed";
  if (!entry.damage.empty()) return "damaged";
  return entry.live ? "partial, being written" : "partial";
}

}  // namespace

int list(const fs::path& directory) {
  std::error_code error;
  const fs::file_status status = fs::status(directory, error);
  if (!fs::exists(status)) throw Error::from_errno(ENOENT, "list " + directory.string());
  if (!fs::is_directory(status)) throw Error::from_errno(ENOTDIR, "list " + directory.string());

  const std::vector<CheckpointEntry> entries = list_entries(directory);
  if (entries.empty()) {
    fmt::print("{}: no checkpoints\n", directory.string());
    return exit_whole;
  }
  std::vector<Row> rows = {{"STEP", "SIZE", "AGE", "STATE", "NAME"}};
  for (const CheckpointEntry& entry : entries) {
    rows.push_back(Row{entry.step ? std::to_string(*entry.step) : "-", size_text(entry.size_bytes), age_of(entry),
                       state_of(entry), printable(entry.path.filename().string())});
  }
  Row::size_type widths[5] = {};
  for (const Row& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  for (const Row& row : rows) {
    fmt::print("{:>{}}  {:>{}}  {:>{}}  {:<{}}  {}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2], row[3],
               widths[3], row[4]);
  }
  return exit_whole;
}

}  // namespace cairn::tools
