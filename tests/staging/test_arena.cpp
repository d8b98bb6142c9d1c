#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "cairn/error.hpp"
#include "core/slot.hpp"
#include "staging/arena.hpp"
#include "staging/fake_machine.hpp"
#include "support/catch.hpp"

namespace {

using cairn::Errc;
using cairn::SharedSlots;
using cairn::slot_block_bytes;
using cairn::SlotHeader;
using cairn::StagingConfig;
using cairn::staging::Arena;
using cairn::staging::SlotMemory;
using cairn::test::FakeMachine;

constexpr std::uint64_t MiB = 1 << 20;

StagingConfig bounded(std::uint64_t staging_bytes_max) {
  StagingConfig config;
  config.staging_bytes_max = staging_bytes_max;
  return config;
}

std::uint64_t allocated_bytes(const SharedSlots& slots, unsigned slot, bool huge = false) {
  struct stat status{};
  REQUIRE(::fstat(slots.data_fd(slot, huge), &status) == 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

void populate_all(SlotMemory& memory) {
  for (std::uint64_t block = 0; block < memory.blocks(); ++block)
    memory.populate(block);
}

/// The text of the error, which must have this code.
template <class Call>
std::string error_text(Errc code, const Call& call) {
  try {
    call();
  } catch (const cairn::Error& error) {
    REQUIRE(error.code() == code);
    return error.what();
  }
  FAIL("no error");
  return {};
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("arena: a window holds the whole image, in whole blocks") {
  const SharedSlots slots = SharedSlots::create(1);
  Arena arena(slots, StagingConfig());
  REQUIRE(arena.prepare(0, 1).capacity_bytes() == slot_block_bytes);
  REQUIRE(arena.prepare(0, slot_block_bytes).capacity_bytes() == slot_block_bytes);
  REQUIRE(arena.prepare(0, slot_block_bytes + 1).capacity_bytes() == 2 * slot_block_bytes);
  REQUIRE(slots.header(0).capacity_bytes == 2 * slot_block_bytes);
  REQUIRE(allocated_bytes(slots, 0) == 0);
}

TEST_CASE("arena: a window is kept while it is large enough, and grows with its pages when it is not") {
  const SharedSlots slots = SharedSlots::create(2);
  Arena arena(slots, StagingConfig());
  SlotMemory* const first = &arena.prepare(0, 10 * MiB);
  populate_all(*first);
  first->data()[0] = std::byte{42};
  REQUIRE(slots.header(0).populated == 0);
  REQUIRE(&arena.prepare(0, 12 * MiB) == first);
  REQUIRE(&arena.prepare(0, 1) == first);
  REQUIRE(slots.header(0).populated == 1);
  REQUIRE(slots.header(0).capacity_bytes == 12 * MiB);

  const SlotMemory& larger = arena.prepare(0, 20 * MiB);
  REQUIRE(larger.capacity_bytes() == 20 * MiB);
  REQUIRE(larger.data()[0] == std::byte{42});
  REQUIRE(slots.header(0).populated == 0);
  REQUIRE(allocated_bytes(slots, 0) == 12 * MiB);
  REQUIRE(allocated_bytes(slots, 1) == 0);
}

TEST_CASE("arena: staging_bytes_max is shared among the slots") {
  const SharedSlots slots = SharedSlots::create(2);
  Arena arena(slots, bounded(27 * MiB));
  REQUIRE(arena.prepare(0, 1000 * MiB).capacity_bytes() == 12 * MiB);
  REQUIRE(arena.prepare(1, 5 * MiB).capacity_bytes() == 8 * MiB);
  REQUIRE(arena.prepare(1, 13 * MiB).capacity_bytes() == 12 * MiB);
}

TEST_CASE("arena: less than two blocks for a slot is refused with both numbers") {
  const SharedSlots slots = SharedSlots::create(2);
  const std::string text = error_text(Errc::bad_argument, [&] { const Arena arena(slots, bounded(16 * MiB - 1)); });
  has(text, std::to_string(16 * MiB - 1));
  has(text, std::to_string(16 * MiB));
  const Arena enough(slots, bounded(16 * MiB));
}

TEST_CASE("arena: too little memory is an error with both numbers, before a page is taken") {
  FakeMachine machine;
  machine.available(10 * MiB);
  const SharedSlots slots = SharedSlots::create(1);
  Arena arena(slots, StagingConfig(), machine.limits());
  const std::string text = error_text(Errc::too_little_memory, [&] { arena.prepare(0, 11 * MiB); });
  has(text, std::to_string(12 * MiB));
  has(text, std::to_string(10 * MiB));
  has(text, "MemAvailable");
  REQUIRE(allocated_bytes(slots, 0) == 0);

  SECTION("a smaller image goes through afterwards") {
    REQUIRE(arena.prepare(0, 8 * MiB).capacity_bytes() == 8 * MiB);
  }
  SECTION("a cgroup is named") {
    machine.available(1000 * MiB);
    machine.version_2("/job");
    machine.limit_2("/job", std::to_string(100 * MiB), 91 * MiB);
    has(error_text(Errc::too_little_memory, [&] { arena.prepare(0, 11 * MiB); }), "memory.max of /sys/fs/cgroup/job");
  }
  SECTION("only missing pages count") {
    populate_all(arena.prepare(0, 8 * MiB));
    machine.available(4 * MiB);
    REQUIRE(arena.prepare(0, 12 * MiB).capacity_bytes() == 12 * MiB);
  }
  SECTION("the window from before stays when a larger one is refused") {
    SlotMemory* const before = &arena.prepare(0, 8 * MiB);
    populate_all(*before);
    machine.available(3 * MiB);
    REQUIRE_THROWS_AS(arena.prepare(0, 12 * MiB), cairn::Error);
    REQUIRE(&arena.prepare(0, 8 * MiB) == before);
  }
  SECTION("pages that a window of this size never got are asked for again") {
    arena.prepare(0, 8 * MiB);
    machine.available(7 * MiB);
    REQUIRE_THROWS_AS(arena.prepare(0, 8 * MiB), cairn::Error);
  }
}

TEST_CASE("arena: pages that another slot is about to take are not available") {
  FakeMachine machine;
  machine.available(20 * MiB);
  const SharedSlots slots = SharedSlots::create(2);
  Arena arena(slots, StagingConfig(), machine.limits());
  SlotMemory& first = arena.prepare(0, 12 * MiB);
  has(error_text(Errc::too_little_memory, [&] { arena.prepare(1, 12 * MiB); }), "other slots");
  populate_all(first);
  machine.available(12 * MiB);
  REQUIRE(arena.prepare(1, 12 * MiB).capacity_bytes() == 12 * MiB);
}

TEST_CASE("arena: huge pages that are promised but not there are done without") {
  FakeMachine machine;
  machine.available(1000 * MiB, 1000000);  // 2 TB of them
  const SharedSlots slots = SharedSlots::create(1);
  Arena arena(slots, StagingConfig(), machine.limits());
  SlotMemory& memory = arena.prepare(0, 900 * MiB);
  if (memory.huge()) CAIRN_SKIP("this machine has that many free huge pages");
  REQUIRE(slots.header(0).huge == 0);
  memory.populate(0);
  REQUIRE(allocated_bytes(slots, 0) == slot_block_bytes);
}

TEST_CASE("arena: huge pages are taken where enough of them are free") {
  const auto pages = cairn::staging::MemoryLimits().huge_pages();
  const SharedSlots slots = SharedSlots::create(1);
  if (pages.free_bytes < 16 * MiB || pages.page_bytes != 2 * MiB || slots.data_fd(0, true) < 0) {
    CAIRN_SKIP("no 16 MiB of huge pages of 2 MiB are free");
  }
  Arena arena(slots, StagingConfig());
  SlotMemory& memory = arena.prepare(0, 7 * MiB);
  REQUIRE(memory.huge());
  REQUIRE(slots.header(0).huge == 1);
  populate_all(memory);
  REQUIRE(allocated_bytes(slots, 0, true) == 8 * MiB);
  memory.data()[0] = std::byte{42};
  const SlotMemory& larger = arena.prepare(0, 16 * MiB);
  REQUIRE(larger.huge());
  REQUIRE(larger.data()[0] == std::byte{42});
  const SlotMemory& ordinary = arena.prepare(0, pages.free_bytes + 16 * MiB);
  REQUIRE_FALSE(ordinary.huge());
  REQUIRE(allocated_bytes(slots, 0, true) == 0);
  REQUIRE(slots.header(0).huge == 0);
}

TEST_CASE("arena: a limit on file sizes is an error, where the kernel would send SIGXFSZ") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const SharedSlots slots = SharedSlots::create(1);
  Arena arena(slots, StagingConfig());
  rlimit low = before;
  low.rlim_cur = 10 * MiB;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  std::error_code code;
  try {
    arena.prepare(0, 11 * MiB);
  } catch (const cairn::Error& error) {
    code = error.code();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  REQUIRE(code == std::error_code(EFBIG, std::system_category()));
}
