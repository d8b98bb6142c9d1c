#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>
#include <utility>

#include "cairn/error.hpp"
#include "core/slot.hpp"
#include "support/catch.hpp"

using cairn::Error;
using cairn::SharedSlots;
using cairn::SlotState;

TEST_CASE("slots start free, and there are between one and sixteen") {
  CHECK_THROWS_AS(SharedSlots::create(0), Error);
  CHECK_THROWS_AS(SharedSlots::create(SharedSlots::slots_max + 1), Error);
  const SharedSlots slots = SharedSlots::create(SharedSlots::slots_max);
  REQUIRE(slots.size() == SharedSlots::slots_max);
  for (unsigned slot = 0; slot < slots.size(); ++slot) {
    CHECK(slots.header(slot).state == SlotState::free);
    CHECK(slots.header(slot).generation == 0);
    CHECK(slots.data_fd(slot, false) >= 0);
    slots.header(slot).generation = slot + 100;
  }
  for (unsigned slot = 0; slot < slots.size(); ++slot)
    CHECK(slots.header(slot).generation == slot + 100);
}

TEST_CASE("a request is read as it was written last, and digests stand beside it") {
  const SharedSlots slots = SharedSlots::create(2);
  slots.write_request(0, std::string(100001, 'x'));
  slots.write_request(1, "other");
  CHECK(slots.read_request(0) == std::string(100001, 'x'));
  slots.write_request(0, "short");
  CHECK(slots.read_request(0) == "short");

  const std::string first(32, 'a');
  const std::string third(16, 'c');
  slots.write_digests(0, 0, first.data(), first.size());
  slots.write_digests(0, 2, third.data(), third.size());
  std::string read(48, '\0');
  slots.read_digests(0, read.data(), read.size());
  CHECK(read == first + third);
  CHECK(slots.read_request(0) == "short");
  CHECK(slots.read_request(1) == "other");
  CHECK_THROWS_AS(slots.read_digests(1, read.data(), read.size()), Error);
}

TEST_CASE("a duplicate is the same memory by descriptors of its own") {
  const SharedSlots slots = SharedSlots::create(2);
  const SharedSlots copy = slots.duplicate();
  REQUIRE(copy.size() == 2);
  const std::vector<int> own = slots.descriptors();
  const std::set<int> taken(own.begin(), own.end());
  for (const int fd : copy.descriptors()) {
    if (fd < 0) continue;
    CHECK(taken.count(fd) == 0);
  }
  slots.header(1).generation = 42;
  slots.write_request(1, "from the other");
  CHECK(copy.header(1).generation == 42);
  CHECK(copy.read_request(1) == "from the other");
}

TEST_CASE("a duplicate takes no standard stream's number, also where those are free") {
  const SharedSlots slots = SharedSlots::create(1);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      ::close(fd);
    const SharedSlots copy = slots.duplicate();
    int code = 0;
    for (const int fd : copy.descriptors())
      if (fd >= 0 && fd <= STDERR_FILENO) code = 1;
    ::_exit(code);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("another process adopts the slots by the numbers of its descriptors") {
  SharedSlots slots = SharedSlots::create(1);
  slots.write_request(0, "to the child");
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 1;
    try {
      const SharedSlots inherited = SharedSlots::adopt(slots.descriptors());
      inherited.header(0).written_bytes = 77;
      code = inherited.read_request(0) == "to the child" ? 0 : 2;
    } catch (...) {
      code = 3;
    }
    ::_exit(code);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(slots.header(0).written_bytes == 77);
}

TEST_CASE("a wrong number of descriptors is refused") {
  for (const std::size_t count : {0U, 1U, 3U, 5U, 1U + 3U * (SharedSlots::slots_max + 1)})
    CHECK_THROWS_AS(SharedSlots::adopt(std::vector<int>(count, -1)), Error);
  CHECK_THROWS_AS(SharedSlots::adopt(std::vector<int>(4, -1)), Error);
}
