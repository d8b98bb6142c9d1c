#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "staging/memory_limits.hpp"
#include "support/temp_dir.hpp"

namespace cairn::test {

/// A machine made of files: what MemoryLimits reads, under a folder of its own.
class FakeMachine {
 public:
  void write(const std::string& path, const std::string& content) {
    const std::filesystem::path file = folder_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }

  void available(std::uint64_t bytes, std::uint64_t huge_pages_free = 0) {
    write("proc/meminfo",
          "MemTotal:       99999999 kB\nMemFree:            1 kB\nMemAvailable:   " + std::to_string(bytes / 1024) +
              " kB\nHugePages_Total:      99\nHugePages_Free:       " + std::to_string(huge_pages_free) +
              "\nHugePages_Rsvd:        0\nHugepagesize:       2048 kB\n");
  }

  void version_2(const std::string& cgroup, const std::string& mount_root = "/") {
    write("proc/self/cgroup", "0::" + cgroup + "\n");
    write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/vda rw\n30 22 0:26 " + mount_root +
                                     " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  void version_1(const std::string& cgroup, const std::string& mount_root = "/") {
    write("proc/self/cgroup", "9:cpu,cpuacct:/elsewhere\n4:memory:" + cgroup + "\n0::/\n");
    write("proc/self/mountinfo", "31 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n37 22 0:30 " +
                                     mount_root + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }

  void limit_2(const std::string& folder, const std::string& limit, std::uint64_t usage, std::uint64_t inactive = 0) {
    write("sys/fs/cgroup" + folder + "/memory.max", limit + "\n");
    write("sys/fs/cgroup" + folder + "/memory.current", std::to_string(usage) + "\n");
    write("sys/fs/cgroup" + folder + "/memory.stat",
          "anon 4096\nfile 99999\ninactive_file " + std::to_string(inactive) + "\nactive_file 5\n");
  }

  void limit_1(const std::string& folder, std::uint64_t limit, std::uint64_t usage, std::uint64_t inactive = 0) {
    write("sys/fs/cgroup/memory" + folder + "/memory.limit_in_bytes", std::to_string(limit) + "\n");
    write("sys/fs/cgroup/memory" + folder + "/memory.usage_in_bytes", std::to_string(usage) + "\n");
    write("sys/fs/cgroup/memory" + folder + "/memory.stat",
          "cache 1\ninactive_file 7\ntotal_inactive_file " + std::to_string(inactive) + "\n");
  }

  staging::AvailableMemory look() const { return limits().available(); }
  staging::MemoryLimits limits() const { return staging::MemoryLimits(folder_.path()); }

 private:
  TempDir folder_;
};

}  // namespace cairn::test
