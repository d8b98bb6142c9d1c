#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "core/slot.hpp"
#include "support/catch.hpp"
#include "support/process_test.hpp"

using cairn::CheckpointerParts;
using cairn::CheckpointProcess;
using cairn::Saving;
using cairn::test::becomes;
using cairn::test::Gate;
using cairn::test::GateHook;
using cairn::test::leftovers_in;
using cairn::test::Model;
using cairn::test::ProcessTest;
using cairn::test::Shared;

namespace {

/// What a trainer tells the test before it is killed.
struct Trainer {
  std::atomic<pid_t> supervisor{0};
  std::atomic<pid_t> worker{0};
  Gate ready;
  Gate never_opened;
};

/// Runs `body` in a process of its own, which then waits for its end.
pid_t start_trainer(Trainer* told, const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  try {
    body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trainer: %s\n", error.what());
  }
  told->ready.pass();
  ::_exit(1);
}

void kill_trainer(pid_t trainer) {
  REQUIRE(::kill(trainer, SIGKILL) == 0);
  REQUIRE(::waitpid(trainer, nullptr, 0) == trainer);
}

}  // namespace

TEST_CASE("what a killed trainer had staged is written and committed, and the process exits") {
  ProcessTest t;
  const Shared<Trainer> told;
  const Shared<Gate> commits;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(commits.get());
  t.config.max_in_flight = 2;
  Model first(300000, 1);
  Model second(300000, 2);
  const pid_t trainer = start_trainer(told.get(), [&] {
    CheckpointProcess process(t.config, parts);
    told->supervisor = process.pid();
    const Saving a = process.write(t.path("a"), first.state());
    const Saving b = process.write(t.path("b"), second.state());
    a.staged().get();
    b.staged().get();
    told->ready.pass();
  });
  REQUIRE(told->ready.was_reached());
  REQUIRE(commits->was_reached());  // a is about to be committed, b is waiting
  kill_trainer(trainer);
  CHECK_FALSE(std::filesystem::exists(t.path("a")));
  commits->open(2);
  const std::vector<pid_t> left = t.await_all_gone();
  CHECK(std::count(left.begin(), left.end(), told->supervisor) == 1);
  CHECK(first.is_in(t.path("a")));
  CHECK(second.is_in(t.path("b")));
  CHECK(leftovers_in(t.dir.path()).empty());
}

TEST_CASE("what a killed trainer had not staged is given up, and an error file says so") {
  ProcessTest t;
  const Shared<Trainer> told;
  Model model(8000000, 1);
  t.config.staging.staging_bytes_max = 2 * cairn::slot_block_bytes;
  const pid_t trainer = start_trainer(told.get(), [&] {
    CheckpointProcess process(t.config, CheckpointerParts());
    told->worker = process.worker_pid();
    told->supervisor = process.pid();
    ::kill(process.worker_pid(), SIGSTOP);
    const Saving saving = process.write(t.path("a"), model.state());
    if (!becomes([&] { return saving.progress().bytes_staged >= 2 * cairn::slot_block_bytes; })) ::_exit(2);
    told->ready.pass();
  });
  REQUIRE(told->ready.was_reached());
  kill_trainer(trainer);
  REQUIRE(::kill(told->worker, SIGCONT) == 0);
  const std::vector<pid_t> left = t.await_all_gone();
  CHECK(std::count(left.begin(), left.end(), told->supervisor) == 1);
  CHECK_FALSE(std::filesystem::exists(t.path("a")));

  // The next checkpointer on that folder works, and takes away what is left.
  t.config.staging.staging_bytes_max = 0;
  CheckpointProcess process(t.config, CheckpointerParts());
  process.write(t.path("a"), model.state()).get();
  CHECK(model.is_in(t.path("a")));
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  t.await_all_gone();
}

TEST_CASE("a socket that leaked into another child of a killed trainer does not keep the process") {
  ProcessTest t;
  const Shared<Trainer> told;
  const Shared<std::atomic<pid_t>> holder;
  Model model(300000, 1);
  const pid_t trainer = start_trainer(told.get(), [&] {
    CheckpointProcess process(t.config, CheckpointerParts());
    told->supervisor = process.pid();
    process.write(t.path("a"), model.state()).get();
    const pid_t child = ::fork();
    if (child == 0) {
      told->never_opened.pass();
      ::_exit(0);
    }
    *holder.get() = child;
    told->ready.pass();
  });
  REQUIRE(told->ready.was_reached());
  REQUIRE(told->never_opened.was_reached());
  kill_trainer(trainer);
  CHECK(::waitpid(told->supervisor, nullptr, 0) == told->supervisor);
  CHECK(::kill(*holder.get(), 0) == 0);  // and it is still there
  ::kill(*holder.get(), SIGKILL);
  t.await_all_gone();
  CHECK(model.is_in(t.path("a")));
}

TEST_CASE("a worker that dies after its trainer is replaced, and what was staged is committed") {
  ProcessTest t;
  const Shared<Trainer> told;
  const Shared<Gate> commits;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(commits.get());
  Model model(300000, 1);
  const pid_t trainer = start_trainer(told.get(), [&] {
    CheckpointProcess process(t.config, parts);
    told->worker = process.worker_pid();
    process.write(t.path("a"), model.state()).staged().get();
    told->ready.pass();
  });
  REQUIRE(told->ready.was_reached());
  REQUIRE(commits->was_reached());
  kill_trainer(trainer);
  REQUIRE(::kill(told->worker, SIGKILL) == 0);
  REQUIRE(commits->was_reached());  // by the next one
  commits->open();
  t.await_all_gone();
  CHECK(model.is_in(t.path("a")));
  CHECK(leftovers_in(t.dir.path()).empty());
}

TEST_CASE("the next checkpointer waits for what a dead trainer's process is still writing") {
  ProcessTest t;
  const Shared<Trainer> told;
  const Shared<Gate> commits;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(commits.get());
  Model old(300000, 1);
  const pid_t trainer = start_trainer(told.get(), [&] {
    CheckpointProcess process(t.config, parts);
    process.write(t.path("step-1"), old.state()).staged().get();
    told->ready.pass();
  });
  REQUIRE(told->ready.was_reached());
  REQUIRE(commits->was_reached());
  kill_trainer(trainer);

  CheckpointProcess process(t.config, CheckpointerParts());
  Model next(300000, 2);
  const Saving saving = process.write(t.path("step-2"), next.state());
  CHECK_FALSE(saving.committed().wait_for(std::chrono::milliseconds(300)));
  commits->open();
  saving.get();
  CHECK(old.is_in(t.path("step-1")));
  CHECK(next.is_in(t.path("step-2")));
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  t.await_all_gone();
}
