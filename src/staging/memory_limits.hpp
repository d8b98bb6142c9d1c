#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace cairn::staging {

/// How much memory this process may still take, and which limit says so.
struct AvailableMemory {
  std::uint64_t bytes = 0;
  std::string limited_by;  ///< for error texts: "MemAvailable", "memory.max of /sys/fs/cgroup/job", "RLIMIT_AS", ...
};

/// Reads what the machine, the cgroups that enclose the process and its own resource limits leave it.
///
/// The least of: MemAvailable; for every cgroup from the process's own up to the root of its hierarchy, v1 and v2, the
/// limit less the usage, where file pages that are not in active use (inactive_file) count as free, since the kernel
/// drops them before it kills anybody; RLIMIT_AS less the address space in use. What cannot be read limits nothing.
class MemoryLimits {
 public:
  /// `root` stands before every path that is read: tests give a folder with a tree of their own.
  MemoryLimits() : MemoryLimits(std::filesystem::path("/")) {}
  explicit MemoryLimits(std::filesystem::path root) : root_(std::move(root)) {}

  AvailableMemory available() const;

  /// Huge pages of the default size that nobody has taken or reserved.
  struct HugePages {
    std::uint64_t page_bytes = 0;
    std::uint64_t free_bytes = 0;
  };
  HugePages huge_pages() const;

 private:
  std::filesystem::path root_;
};

}  // namespace cairn::staging
