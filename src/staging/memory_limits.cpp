#include "staging/memory_limits.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cairn::staging {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

/// The number that a file holds; nothing for a file that is not there or says "max".
std::optional<std::uint64_t> read_number(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string word;
  if (!(in >> word)) return std::nullopt;
  return parse_number(word);
}

/// The number behind `key` in a file of lines "key number" or "key: number kB".
std::optional<std::uint64_t> read_field(const std::filesystem::path& file, std::string_view key) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string name;
    std::string number;
    std::string unit;
    words >> name >> number >> unit;
    if (!name.empty() && name.back() == ':') name.pop_back();
    if (name != key) continue;
    const auto value = parse_number(number);
    if (value && unit == "kB") return *value * 1024;
    return value;
  }
  return std::nullopt;
}

/// Where a cgroup hierarchy with the memory controller is mounted.
struct Mount {
  bool version_2;
  std::string root;   ///< the cgroup that is seen at the mount point
  std::string point;  ///< absolute, as the process sees it
};

bool has_option(const std::string& options, std::string_view wanted) {
  std::istringstream in(options);
  std::string option;
  while (std::getline(in, option, ',')) {
    if (option == wanted) return true;
  }
  return false;
}

/// Lines "id parent major:minor root point options [tag...] - type source super-options".
std::vector<Mount> read_mounts(const std::filesystem::path& mountinfo) {
  std::vector<Mount> mounts;
  std::ifstream in(mountinfo);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream before(line.substr(0, separator));
    std::istringstream after(line.substr(separator + 3));
    std::string word;
    Mount mount{};
    before >> word >> word >> word >> mount.root >> mount.point;
    std::string type;
    std::string options;
    after >> type >> word >> options;
    mount.version_2 = type == "cgroup2";
    if (mount.version_2 || (type == "cgroup" && has_option(options, "memory"))) mounts.push_back(std::move(mount));
  }
  return mounts;
}

/// The process's own cgroup in the hierarchy of version 1 with the memory controller, or in that of version 2; from
/// lines "number:controllers:path", where version 2 has no controllers.
std::optional<std::string> read_own_cgroup(const std::filesystem::path& file, bool version_2) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? line.starts_with("0:") && controllers.empty() : has_option(controllers, "memory")) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

/// The path below the mount point. A container often sees its own cgroup at the mount point, while /proc still says its
/// path as the host sees it; what cannot be placed is taken for the mount point itself.
std::string path_below(const Mount& mount, const std::string& cgroup) {
  if (cgroup.find("..") != std::string::npos) return {};
  if (mount.root == "/") return cgroup;
  if (cgroup == mount.root) return {};
  if (cgroup.starts_with(mount.root + "/")) return cgroup.substr(mount.root.size());
  return {};
}

struct Accounting {
  std::string limit;
  std::string usage;
  std::vector<std::string> reclaimable;  ///< names in memory.stat, the first that is there counts
};

void lower(AvailableMemory& available, std::uint64_t bytes, std::string limited_by) {
  if (bytes >= available.bytes) return;
  available.bytes = bytes;
  available.limited_by = std::move(limited_by);
}

void apply_cgroup(AvailableMemory& available, const std::filesystem::path& folder, const Accounting& files,
                  const std::string& shown) {
  const auto limit = read_number(folder / files.limit);
  const auto usage = read_number(folder / files.usage);
  if (!limit || !usage) return;
  std::uint64_t reclaimable = 0;
  for (const std::string& name : files.reclaimable) {
    const auto bytes = read_field(folder / "memory.stat", name);
    if (!bytes) continue;
    reclaimable = *bytes;
    break;
  }
  const std::uint64_t taken = *usage - std::min(*usage, reclaimable);
  lower(available, *limit - std::min(*limit, taken), files.limit + " of " + shown);
}

void apply_hierarchy(AvailableMemory& available, const std::filesystem::path& root, const Mount& mount,
                     const std::string& cgroup) {
  const Accounting version_1{
      "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "inactive_file"}};
  const Accounting version_2{"memory.max", "memory.current", {"inactive_file"}};
  std::string below = path_below(mount, cgroup);
  while (true) {
    while (!below.empty() && below.back() == '/')
      below.pop_back();
    const std::string shown = mount.point + below;
    apply_cgroup(available, root / std::filesystem::path(shown).relative_path(),
                 mount.version_2 ? version_2 : version_1, shown);
    if (below.empty()) return;
    below.erase(below.rfind('/'));
  }
}

void apply_address_space(AvailableMemory& available, const std::filesystem::path& statm) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const auto pages = read_number(statm);
  if (!pages) return;
  const std::uint64_t used = *pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  lower(available, limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, used), "RLIMIT_AS");
}

}  // namespace

AvailableMemory MemoryLimits::available() const {
  AvailableMemory available;
  available.bytes = unlimited;
  available.limited_by = "no limit";
  const auto proc = root_ / "proc";
  if (const auto bytes = read_field(proc / "meminfo", "MemAvailable")) lower(available, *bytes, "MemAvailable");
  for (const Mount& mount : read_mounts(proc / "self/mountinfo")) {
    const auto cgroup = read_own_cgroup(proc / "self/cgroup", mount.version_2);
    if (cgroup) apply_hierarchy(available, root_, mount, *cgroup);
  }
  apply_address_space(available, proc / "self/statm");
  return available;
}

MemoryLimits::HugePages MemoryLimits::huge_pages() const {
  const auto meminfo = root_ / "proc/meminfo";
  HugePages pages;
  pages.page_bytes = read_field(meminfo, "Hugepagesize").value_or(0);
  const std::uint64_t free = read_field(meminfo, "HugePages_Free").value_or(0);
  const std::uint64_t reserved = read_field(meminfo, "HugePages_Rsvd").value_or(0);
  pages.free_bytes = (free - std::min(free, reserved)) * pages.page_bytes;
  return pages;
}

}  // namespace cairn::staging
