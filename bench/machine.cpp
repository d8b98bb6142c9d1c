#include "machine.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "cairn/error.hpp"
#include "cairn/version.hpp"

namespace cairn::bench {
namespace fs = std::filesystem;
namespace {

/// The value of `key` in a file of lines "key   : value"; empty where there is none.
std::string value_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::uint64_t kibibytes_of(const std::string& key) {
  const std::string value = value_of("/proc/meminfo", key);
  return value.empty() ? 0 : std::stoull(value);
}

unsigned processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  return static_cast<unsigned>(CPU_COUNT(&set));
}

struct Mount {
  std::string type;
  std::string source;
};

/// The file system that holds `directory`, by its device number.
Mount mount_of(const fs::path& directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) throw Error::from_errno(errno, "stat " + directory.string());
  const std::string device = fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev));
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    std::string id, parent, number, word;
    words >> id >> parent >> number;
    if (number != device) continue;
    while (words >> word && word != "-") {
    }
    Mount mount;
    words >> mount.type >> mount.source;
    return mount;
  }
  return {"unknown", device};
}

}  // namespace

Machine describe_machine(const fs::path& directory) {
  utsname kernel{};
  ::uname(&kernel);
  const Mount mount = mount_of(directory);
  Machine machine;
  machine.emplace_back("cairn", version());
  machine.emplace_back("cores", std::to_string(processors()));
  machine.emplace_back("memory", fmt::format("{:.1f} GiB", static_cast<double>(kibibytes_of("MemTotal")) / (1 << 20)));
  machine.emplace_back("kernel", kernel.release);
  machine.emplace_back("cpu", value_of("/proc/cpuinfo", "model name"));
  machine.emplace_back("file_system", mount.type + " on " + mount.source);
  machine.emplace_back("huge_pages",
                       fmt::format("{} free, of {} kB; transparent: {}; of shared memory: {}",
                                   value_of("/proc/meminfo", "HugePages_Free"), kibibytes_of("Hugepagesize"),
                                   first_line("/sys/kernel/mm/transparent_hugepage/enabled"),
                                   first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled")));
  machine.emplace_back("load", first_line("/proc/loadavg"));
  return machine;
}

void require_room(const fs::path& directory, std::uint64_t memory_bytes, std::uint64_t disk_bytes) {
  const Mount mount = mount_of(directory);
  if (mount.type == "tmpfs" || mount.type == "ramfs") {
    throw Error(Errc::bad_argument, "measure in " + directory.string() + ", which is memory (" + mount.type +
                                        "): name a directory on a disk with --dir");
  }
  const std::uint64_t available = kibibytes_of("MemAvailable") << 10;
  if (available < memory_bytes) {
    throw Error(Errc::too_little_memory, fmt::format("measure: {} bytes are needed, {} are available; a smaller --size "
                                                     "needs less",
                                                     memory_bytes, available));
  }
  struct statvfs space{};
  if (::statvfs(directory.c_str(), &space) != 0) throw Error::from_errno(errno, "statvfs " + directory.string());
  const std::uint64_t free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  if (free < disk_bytes) {
    throw Error::from_errno(
        ENOSPC, fmt::format("measure in {}: {} bytes are needed, {} are free", directory.string(), disk_bytes, free));
  }
}

}  // namespace cairn::bench
