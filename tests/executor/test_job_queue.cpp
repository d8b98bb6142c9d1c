#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "core/yield.hpp"
#include "executor/job_queue.hpp"
#include "executor/mapped_slots.hpp"
#include "support/catch.hpp"
#include "uring/backends.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::Event;
using cairn::Scope;
using cairn::SharedSlots;
using cairn::SlotState;
using cairn::Task;
using cairn::UniqueFd;
using cairn::executor::describe_death;
using cairn::executor::JobQueue;
using cairn::executor::MappedSlots;
using cairn::executor::SlotHandler;
using cairn::executor::SlotJob;

namespace {

using Log = std::vector<std::string>;

std::string numbered(const char* what, unsigned slot) {
  return std::string(what) + " " + std::to_string(slot);
}

/// Waits in a gate where a test made one, and fails what it is told to.
class FakeHandler final : public SlotHandler {
 public:
  explicit FakeHandler(Log& log) : log_(log) {}

  Task<> begin(SlotJob& job) override {
    log_.push_back(numbered("begin", job.slot()));
    active_in_begin = job.header().active != 0;
    inherited = job.inherited_lock.get();
    if (job.hold) co_await job.hold(1000 + static_cast<int>(job.slot()));
    co_await pass(begin_gates, job.slot());
    if (fail_begin.count(job.slot()) != 0) throw Error(Errc::busy, "begin");
  }
  Task<> write(SlotJob& job) override {
    log_.push_back(numbered("write", job.slot()));
    active_in_write = job.header().active != 0;
    co_await pass(write_gates, job.slot());
    if (job.unattended) log_.push_back(numbered("unattended", job.slot()));
    if (job.stop.stop_requested()) throw Error(Errc::cancelled, "write");
    if (fail_write.count(job.slot()) != 0) throw std::runtime_error("disk on fire");
    log_.push_back(numbered("wrote", job.slot()));
  }
  Task<> abandon(SlotJob& job) override {
    log_.push_back(numbered("abandon", job.slot()));
    co_return;
  }

  std::map<unsigned, Event> begin_gates;
  std::map<unsigned, Event> write_gates;
  std::map<unsigned, bool> fail_begin;
  std::map<unsigned, bool> fail_write;
  bool active_in_begin = false;
  bool active_in_write = false;
  int inherited = -1;

 private:
  static Task<> pass(std::map<unsigned, Event>& gates, unsigned slot) {
    const auto gate = gates.find(slot);
    if (gate != gates.end()) co_await gate->second.wait();
  }

  Log& log_;
};

class FakeListener final : public JobQueue::Listener {
 public:
  explicit FakeListener(Log& log) : log_(log) {}

  void begun(unsigned slot, std::uint64_t generation, const Error* error) override {
    note("begun", slot, generation, error);
  }
  void written(unsigned slot, std::uint64_t) override { log_.push_back(numbered("written", slot)); }
  void outcome(unsigned slot, std::uint64_t generation, const Error* error) override {
    note("outcome", slot, generation, error);
  }
  Task<> hold(unsigned slot, std::uint64_t, int fd) override {
    log_.push_back(numbered("hold", slot) + " fd " + std::to_string(fd));
    co_return;
  }
  void release(unsigned slot) override { log_.push_back(numbered("release", slot)); }

  std::vector<Error> errors;

 private:
  void note(const char* what, unsigned slot, std::uint64_t generation, const Error* error) {
    log_.push_back(numbered(what, slot) + "." + std::to_string(generation) + (error != nullptr ? " failed" : ""));
    if (error != nullptr) errors.push_back(*error);
  }

  Log& log_;
};

struct Fixture {
  Fixture() {
    for (unsigned slot = 0; slot < slots.size(); ++slot) {
      slots.write_request(slot, numbered("request", slot));
      slots.header(slot).state = SlotState::ready;
    }
  }

  /// Everything that can run has run.
  static Task<> settle() {
    for (int turn = 0; turn < 50; ++turn)
      co_await cairn::yield();
  }

  std::size_t position(const std::string& entry) const {
    for (std::size_t at = 0; at < log.size(); ++at)
      if (log[at] == entry) return at;
    return log.size();
  }
  bool has(const std::string& entry) const { return position(entry) < log.size(); }
  bool in_order(const std::string& first, const std::string& second) const {
    return has(second) && position(first) < position(second);
  }

  Log log;
  SharedSlots slots = SharedSlots::create(3);
  cairn::test::IoLoop on{cairn::uring::Backend::threads};
  MappedSlots mapped{slots, *on.io};
  FakeHandler handler{log};
  FakeListener listener{log};
  JobQueue queue{slots, mapped, handler, listener};
};

Task<> three_in_order(Fixture& f) {
  Scope running;
  running.spawn(f.queue.run());
  f.handler.write_gates[2];
  for (const unsigned slot : {2U, 0U, 1U})
    f.queue.begin(slot, 7);
  co_await Fixture::settle();
  // The second and third have their attempts while the first is being written.
  CHECK(f.has("begun 0.7"));
  CHECK(f.has("begun 1.7"));
  CHECK(f.has("write 2"));
  CHECK_FALSE(f.has("write 0"));
  CHECK(f.slots.header(2).active == 1);
  CHECK(f.slots.header(0).active == 0);
  f.handler.write_gates[2].set();
  f.queue.close();
  co_await running.join();
}

Task<> twice(Fixture& f) {
  Scope running;
  running.spawn(f.queue.run());
  f.handler.write_gates[0];
  f.queue.begin(0, 7);
  f.queue.begin(0, 7);
  co_await Fixture::settle();
  f.queue.begin(0, 7);
  f.handler.write_gates[0].set();
  f.queue.close();
  co_await running.join();
}

Task<> all_at_once(Fixture& f) {
  f.queue.begin(0, 7);
  f.queue.begin(1, 8);
  f.queue.begin(2, 9);
  f.queue.close();
  co_await f.queue.run();
}

Task<> abandon_first(Fixture& f) {
  Scope running;
  running.spawn(f.queue.run());
  f.handler.write_gates[0];
  f.queue.begin(0, 7);
  f.queue.begin(1, 7);
  co_await Fixture::settle();
  f.queue.abandon(0, 6);  // another save: not this one
  f.queue.abandon(2, 7);  // nothing there
  f.queue.abandon(0, 7);
  f.handler.write_gates[0].set();
  f.queue.close();
  co_await running.join();
}

Task<> leave_in_the_middle(Fixture& f) {
  Scope running;
  running.spawn(f.queue.run());
  f.slots.header(1).state = SlotState::staging;
  f.handler.write_gates[0];
  f.queue.begin(0, 7);
  f.queue.begin(1, 7);
  co_await Fixture::settle();
  f.queue.unattend();
  f.slots.header(2).state = SlotState::staging;
  f.queue.begin(2, 7);
  f.handler.write_gates[0].set();
  f.queue.close();
  co_await running.join();
}

Task<> one_inherited(Fixture& f, int fd) {
  f.queue.begin(0, 7, UniqueFd(fd));
  f.queue.close();
  co_await f.queue.run();
}

}  // namespace

TEST_CASE("saves are written one at a time in the order of their begin") {
  Fixture f;
  f.on.run(three_in_order(f));
  CHECK(f.in_order("outcome 2.7", "write 0"));
  CHECK(f.in_order("outcome 0.7", "write 1"));
  CHECK(f.has("outcome 1.7"));
  CHECK(f.handler.active_in_begin);
  CHECK(f.handler.active_in_write);
  CHECK(f.in_order("outcome 2.7", "release 2"));  // the answer is kept before the lock goes
  CHECK(f.in_order("hold 1 fd 1001", "begun 1.7"));
  for (unsigned slot = 0; slot < 3; ++slot)
    CHECK(f.slots.header(slot).active == 0);
}

TEST_CASE("a second begin of the same save does nothing") {
  Fixture f;
  f.on.run(twice(f));
  CHECK(std::count(f.log.begin(), f.log.end(), "begin 0") == 1);
  CHECK(std::count(f.log.begin(), f.log.end(), "outcome 0.7") == 1);
}

TEST_CASE("what was begun before close is written, and run returns") {
  Fixture f;
  f.on.run(all_at_once(f));
  CHECK(f.in_order("outcome 0.7", "outcome 1.8"));
  CHECK(f.in_order("outcome 1.8", "outcome 2.9"));
}

TEST_CASE("a save that cannot begin is answered and holds nothing up") {
  Fixture f;
  f.handler.fail_begin[0] = true;
  f.handler.fail_write[1] = true;
  f.on.run(all_at_once(f));
  CHECK(f.has("begun 0.7 failed"));
  CHECK(f.has("release 0"));
  CHECK_FALSE(f.has("write 0"));
  CHECK(f.has("outcome 1.8 failed"));
  CHECK(f.has("outcome 2.9"));
  REQUIRE(f.listener.errors.size() == 2);
  CHECK(f.listener.errors[0].code() == Errc::busy);
  CHECK(f.listener.errors[1].code() == Errc::writer_failed);
  CHECK(f.listener.errors[1].context() == "disk on fire");
}

TEST_CASE("abandon stops the save it names and no other") {
  Fixture f;
  f.on.run(abandon_first(f));
  CHECK(f.has("outcome 0.7 failed"));
  CHECK(f.has("wrote 1"));
  REQUIRE(f.listener.errors.size() == 1);
  CHECK(f.listener.errors[0].code() == Errc::cancelled);
}

TEST_CASE("without a trainer what is staged is written, and the rest is given up") {
  Fixture f;
  f.on.run(leave_in_the_middle(f));
  CHECK(f.has("wrote 0"));
  CHECK(f.has("unattended 0"));
  CHECK(f.has("outcome 1.7 failed"));
  CHECK(f.has("unattended 1"));
  CHECK(f.has("outcome 2.7 failed"));
  CHECK(f.has("unattended 2"));
}

TEST_CASE("a save at which three workers died is taken away, and not even that when a fourth died of it") {
  for (const unsigned deaths : {JobQueue::deaths_max - 1, JobQueue::deaths_max, JobQueue::deaths_max + 1}) {
    INFO(deaths << " deaths");
    Fixture f;
    f.slots.header(1).deaths = deaths;
    f.slots.header(1).death_status = SIGSEGV;
    f.on.run(all_at_once(f));
    const bool is_failed = deaths >= JobQueue::deaths_max;
    CHECK(f.has("abandon 1") == (deaths == JobQueue::deaths_max));
    CHECK(f.has("begun 1.8 failed") == is_failed);
    CHECK(f.has("outcome 2.9"));
    REQUIRE(f.listener.errors.size() == (is_failed ? 1U : 0U));
    if (!is_failed) continue;
    CHECK(f.listener.errors[0].code() == Errc::executor_died);
    CHECK(f.listener.errors[0].context().find("signal 11") != std::string::npos);
  }
}

TEST_CASE("a lock that outlived a worker reaches the handler") {
  Fixture f;
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  f.on.run(one_inherited(f, fd));
  CHECK(f.handler.inherited == fd);
  CHECK(::fcntl(fd, F_GETFD) == -1);  // and is closed with the job
}

TEST_CASE("deaths are told as signals and exit codes") {
  CHECK(describe_death(SIGKILL) == "signal 9 (Killed)");
  CHECK(describe_death(3 << 8) == "exit code 3");
}
