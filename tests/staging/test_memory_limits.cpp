#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "staging/fake_machine.hpp"
#include "staging/memory_limits.hpp"
#include "support/catch.hpp"

namespace {

using cairn::staging::MemoryLimits;
using cairn::test::FakeMachine;

constexpr std::uint64_t MiB = 1 << 20;

}  // namespace

TEST_CASE("memory limits: without cgroups it is MemAvailable") {
  FakeMachine machine;
  machine.available(512 * MiB);
  REQUIRE(machine.look().bytes == 512 * MiB);
  REQUIRE(machine.look().limited_by == "MemAvailable");
}

TEST_CASE("memory limits: what cannot be read limits nothing") {
  const FakeMachine machine;
  REQUIRE(machine.look().bytes == UINT64_MAX);
}

TEST_CASE("memory limits: version 2, the tightest cgroup on the way to the root counts") {
  FakeMachine machine;
  machine.available(4096 * MiB);
  machine.version_2("/jobs/trainer");
  machine.limit_2("/jobs/trainer", "max", 50 * MiB);
  machine.limit_2("/jobs", std::to_string(300 * MiB), 100 * MiB);
  REQUIRE(machine.look().bytes == 200 * MiB);
  REQUIRE(machine.look().limited_by == "memory.max of /sys/fs/cgroup/jobs");

  SECTION("the process's own is tighter") {
    machine.limit_2("/jobs/trainer", std::to_string(70 * MiB), 50 * MiB);
    REQUIRE(machine.look().bytes == 20 * MiB);
    REQUIRE(machine.look().limited_by == "memory.max of /sys/fs/cgroup/jobs/trainer");
  }
  SECTION("cold page cache counts as free") {
    machine.limit_2("/jobs", std::to_string(300 * MiB), 290 * MiB, 80 * MiB);
    REQUIRE(machine.look().bytes == 90 * MiB);
  }
  SECTION("usage beyond the limit leaves nothing") {
    machine.limit_2("/jobs", std::to_string(300 * MiB), 301 * MiB);
    REQUIRE(machine.look().bytes == 0);
  }
  SECTION("MemAvailable is tighter") {
    machine.available(10 * MiB);
    REQUIRE(machine.look().limited_by == "MemAvailable");
  }
}

TEST_CASE("memory limits: version 2, inside a container whose own cgroup is the mount point") {
  FakeMachine machine;
  machine.available(4096 * MiB);
  machine.limit_2("", std::to_string(100 * MiB), 40 * MiB);
  SECTION("a cgroup namespace") {
    machine.version_2("/");
  }
  SECTION("the host's path") {
    machine.version_2("/docker/abc", "/docker/abc");
  }
  SECTION("a path from above the namespace") {
    machine.version_2("/../other");
  }
  SECTION("a path that does not fit the mount") {
    machine.version_2("/other", "/docker/abc");
  }
  REQUIRE(machine.look().bytes == 60 * MiB);
  REQUIRE(machine.look().limited_by == "memory.max of /sys/fs/cgroup");
}

TEST_CASE("memory limits: version 1, with the hierarchy's cold page cache") {
  FakeMachine machine;
  machine.available(4096 * MiB);
  machine.version_1("/slurm/job_7/step_0");
  machine.limit_1("", 9223372036854771712U, 3000 * MiB);
  machine.limit_1("/slurm", 9223372036854771712U, 2000 * MiB);
  machine.limit_1("/slurm/job_7", 1000 * MiB, 900 * MiB, 300 * MiB);
  machine.limit_1("/slurm/job_7/step_0", 900 * MiB, 100 * MiB);
  REQUIRE(machine.look().bytes == 400 * MiB);
  REQUIRE(machine.look().limited_by == "memory.limit_in_bytes of /sys/fs/cgroup/memory/slurm/job_7");

  SECTION("a container's own cgroup at the mount point") {
    machine.version_1("/docker/abc/inner", "/docker/abc");
    machine.limit_1("/inner", 500 * MiB, 495 * MiB);
    REQUIRE(machine.look().bytes == 5 * MiB);
    REQUIRE(machine.look().limited_by == "memory.limit_in_bytes of /sys/fs/cgroup/memory/inner");
  }
}

TEST_CASE("memory limits: the address space counts where it is limited") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
  const rlim_t limit = rlim_t{1} << 47;  // more than any process has here, sanitizers' shadows included
  if (before.rlim_max != RLIM_INFINITY && before.rlim_max < limit) CAIRN_SKIP("RLIMIT_AS is set already");
  FakeMachine machine;
  machine.available(4096 * MiB);
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  machine.write("proc/self/statm", std::to_string(limit / page - 100) + " 1 1 1 0 1 0\n");
  rlimit low = before;
  low.rlim_cur = limit;
  REQUIRE(::setrlimit(RLIMIT_AS, &low) == 0);
  const cairn::staging::AvailableMemory available = machine.look();
  REQUIRE(::setrlimit(RLIMIT_AS, &before) == 0);
  REQUIRE(available.bytes == 100 * page);
  REQUIRE(available.limited_by == "RLIMIT_AS");
}

TEST_CASE("memory limits: huge pages that are reserved are not free") {
  FakeMachine machine;
  machine.write(
      "proc/meminfo",
      "HugePages_Total:      64\nHugePages_Free:       20\nHugePages_Rsvd:        5\nHugePages_Surp:        0\n"
      "Hugepagesize:       2048 kB\n");
  REQUIRE(machine.limits().huge_pages().page_bytes == 2 * MiB);
  REQUIRE(machine.limits().huge_pages().free_bytes == 30 * MiB);
  REQUIRE(FakeMachine().limits().huge_pages().free_bytes == 0);
}

TEST_CASE("memory limits: this machine has some") {
  const cairn::staging::AvailableMemory available = MemoryLimits().available();
  INFO(available.limited_by);
  REQUIRE(available.bytes > 0);
  REQUIRE(available.bytes < UINT64_MAX);
}
