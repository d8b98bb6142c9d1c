#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include "core/slot.hpp"
#include "support/catch.hpp"
#include "support/process_test.hpp"
#include "support/seed.hpp"

using cairn::CheckpointerParts;
using cairn::CheckpointProcess;
using cairn::Commit;
using cairn::Errc;
using cairn::Saving;
using cairn::Task;
using cairn::test::becomes;
using cairn::test::Failure;
using cairn::test::failure_of;
using cairn::test::Gate;
using cairn::test::GateHook;
using cairn::test::leftovers_in;
using cairn::test::Model;
using cairn::test::ProcessTest;
using cairn::test::Shared;

namespace {

/// Kills the worker and waits for the next one.
void kill_worker(CheckpointProcess& process) {
  const pid_t before = process.worker_pid();
  REQUIRE(::kill(before, SIGKILL) == 0);
  REQUIRE(becomes([&] { return process.worker_pid() != before && process.worker_pid() != 0; }));
}

/// The first time it writes half a file, as if it were in the middle of it, and waits.
class HalfWriter final : public cairn::CheckpointWriter {
 public:
  HalfWriter(const cairn::WriterParts& parts, std::atomic<int>* writes, Gate* gate)
      : CheckpointWriter(parts.config, parts.rank, parts.barrier, parts.hook), writes_(writes), gate_(gate) {}

  Task<> write(cairn::WriteJob& job) override {
    if (writes_->fetch_add(1) == 0) {
      std::ofstream(job.commit().partial_path / "rank-00000-of-00001.safetensors") << std::string(50000000, 'x');
      gate_->pass();
    }
    co_await CheckpointWriter::write(job);
  }

 private:
  std::atomic<int>* writes_;
  Gate* gate_;
};

/// Ends its process in the way the save's metadata asks for.
class DyingHook final : public cairn::WriterHook {
 public:
  explicit DyingHook(std::atomic<int>* deaths) : deaths_(deaths) {}

  Task<> pre_commit(Commit commit) override {
    const std::string how = commit.metadata["die"];
    if (!how.empty()) ++*deaths_;
    if (how == "signal") ::raise(SIGKILL);
    if (how == "exit") ::_exit(5);
    if (how == "once" && *deaths_ == 1) ::raise(SIGKILL);
    co_return;
  }

 private:
  std::atomic<int>* deaths_;
};

}  // namespace

TEST_CASE("SEED 33: a worker killed while idle is replaced") {
  ProcessTest t;
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  Model model(300000, 1);
  process.write(t.path("a"), model.state()).get();
  kill_worker(process);
  process.write(t.path("b"), model.state()).get();
  CHECK(model.is_in(t.path("b")));
  REQUIRE(::kill(process.worker_pid(), SIGKILL) == 0);  // and the next save does not wait for the next one
  process.write(t.path("c"), model.state()).get();
  CHECK(model.is_in(t.path("c")));
  CHECK(process.pid() == supervisor);
  process.close().get();
  CHECK(t.await_all_gone().empty());
  CHECK(t.reported().empty());
}

TEST_CASE("SEED 33: a worker killed while the state is staged is replaced, and the save completes") {
  ProcessTest t;
  for (const bool streams : {false, true}) {
    INFO("streams " << streams);
    t.config.staging.staging_bytes_max = streams ? 2 * cairn::slot_block_bytes : 0;
    CheckpointProcess process(t.config, CheckpointerParts());
    Model model(8000000, streams ? 1.0F : 2.0F);
    const pid_t first = process.worker_pid();
    REQUIRE(::kill(first, SIGSTOP) == 0);  // so that it is alive and does nothing all through the staging
    const Saving saving = process.write(t.path("a"), model.state());
    const std::uint64_t staged = streams ? 2 * cairn::slot_block_bytes : 32000000;
    REQUIRE(becomes([&] { return saving.progress().bytes_staged >= staged; }));
    CHECK_FALSE(saving.staged().ready());
    kill_worker(process);
    saving.get();
    CHECK(process.worker_pid() != first);
    CHECK(model.is_in(t.path("a")));
    process.close().get();
    CHECK(leftovers_in(t.dir.path()).empty());
  }
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 33: a worker killed while it writes is replaced, and the write done again from shared memory") {
  ProcessTest t;
  const Shared<Gate> gate;
  const Shared<std::atomic<int>> writes;
  CheckpointerParts parts;
  parts.checkpoint_writer_init_fn = [gate = gate.get(), writes = writes.get()](const cairn::WriterParts& with) {
    return std::make_unique<HalfWriter>(with, writes, gate);
  };
  CheckpointProcess process(t.config, parts);
  Model model(8000000, 1);
  const Saving saving = process.write(t.path("a"), model.state());
  REQUIRE(gate->was_reached());
  saving.staged().get();
  Model saved = model;
  model.fill(500);  // it is not staged again
  kill_worker(process);
  saving.get();
  CHECK(*writes.get() == 2);
  CHECK(saved.is_in(t.path("a")));
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 33: a worker killed in the middle of a stream is replaced, wherever it was") {
  ProcessTest t;
  t.config.staging.staging_bytes_max = 2 * cairn::slot_block_bytes;
  CheckpointProcess process(t.config, CheckpointerParts());
  std::mt19937_64 random(cairn::test::seed());
  for (int round = 0; round < 4; ++round) {
    Model model(12000000, static_cast<float>(round));
    const Saving saving = process.write(t.path("a"), model.state());
    const std::uint64_t killed_at = random() % 48000000;
    REQUIRE(becomes([&] { return saving.committed().ready() || saving.progress().bytes_written >= killed_at; }));
    kill_worker(process);
    INFO("killed at " << killed_at);
    saving.get();
    CHECK(model.is_in(t.path("a")));
  }
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 33: a worker killed before or after the rename of a commit is replaced, and the commit finished") {
  ProcessTest t;
  for (const bool is_after : {false, true}) {
    for (const bool replaces : {false, true}) {
      INFO((is_after ? "after" : "before") << " the rename, replacing " << replaces);
      const Shared<Gate> gate;
      CheckpointerParts parts;
      parts.commit_hook = std::make_shared<GateHook>(is_after ? nullptr : gate.get(), is_after ? gate.get() : nullptr);
      CheckpointProcess process(t.config, parts);
      const std::string name = is_after ? "after" : "before";
      CHECK(std::filesystem::exists(t.path(name)) == replaces);
      Model model(300000, replaces ? 1.0F : 2.0F);
      const Saving saving = process.write(t.path(name), model.state());
      REQUIRE(gate->was_reached());
      saving.staged().get();
      Model saved = model;
      model.fill(700);
      kill_worker(process);
      CHECK_FALSE(saving.committed().ready());
      gate->open();
      saving.get();
      CHECK(saved.is_in(t.path(name)));
      process.close().get();
      CHECK(leftovers_in(t.dir.path()).empty());
    }
  }
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("a save at which three workers die fails with how they died, and the next one works") {
  ProcessTest t;
  const Shared<std::atomic<int>> deaths;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<DyingHook>(deaths.get());
  CheckpointProcess process(t.config, parts);
  const pid_t supervisor = process.pid();
  Model model(300000, 1);
  const auto save = [&](const char* how) {
    return process.write(t.path(how), model.state(), cairn::SaveOptions().metadata("die", how));
  };

  const Failure by_signal = failure_of([&] { save("signal").get(); });
  CHECK(by_signal.code == Errc::executor_died);
  CHECK(by_signal.says("Checkpoint process terminated unexpectedly"));
  CHECK(by_signal.says("signal 9 (Killed)"));
  CHECK(*deaths.get() == 3);

  *deaths.get() = 0;
  const Failure by_exit = failure_of([&] { save("exit").get(); });
  CHECK(by_exit.code == Errc::executor_died);
  CHECK(by_exit.says("exit code 5"));
  CHECK(*deaths.get() == 3);

  *deaths.get() = 0;
  save("once").get();
  CHECK(*deaths.get() == 2);
  CHECK(model.is_in(t.path("once")));
  process.write(t.path("none"), model.state()).get();
  CHECK(process.pid() == supervisor);
  process.close().get();
  CHECK_FALSE(std::filesystem::exists(t.path("signal")));
  CHECK_FALSE(std::filesystem::exists(t.path("exit")));
  CHECK(leftovers_in(t.dir.path()).empty());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("saves in several slots all land, whenever workers die") {
  ProcessTest t;
  t.config.max_in_flight = 3;
  CheckpointProcess process(t.config, CheckpointerParts());
  std::mt19937_64 random(cairn::test::seed());
  std::deque<Model> models;
  std::deque<Saving> savings;
  for (int round = 0; round < 8; ++round) {
    models.emplace_back(1500000, static_cast<float>(round));
    savings.push_back(process.write(t.path("step-" + std::to_string(round)), models.back().state()));
    if (round % 2 == 0) continue;
    const std::uint64_t killed_at = random() % 6000000;
    REQUIRE(becomes(
        [&] { return savings.back().committed().ready() || savings.back().progress().bytes_written >= killed_at; }));
    kill_worker(process);
  }
  for (std::size_t at = 0; at < savings.size(); ++at) {
    INFO("save " << at);
    savings[at].get();
    CHECK(models[at].is_in(t.path("step-" + std::to_string(at))));
  }
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("with the supervisor killed the worker finishes its save, and the next save starts another process") {
  ProcessTest t;
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  const pid_t worker = process.worker_pid();
  Model model(3000000, 1);
  REQUIRE(::kill(worker, SIGSTOP) == 0);
  const Saving saving = process.write(t.path("a"), model.state());
  REQUIRE(becomes([&] { return saving.progress().bytes_staged >= 12000000; }));
  REQUIRE(::kill(supervisor, SIGKILL) == 0);
  REQUIRE(becomes([&] { return !process.alive(); }));
  REQUIRE(::kill(worker, SIGCONT) == 0);
  const Failure failure = failure_of([&] { saving.get(); });
  if (failure.what.empty()) {
    CHECK(model.is_in(t.path("a")));
  } else {
    CHECK(failure.code == Errc::executor_died);
  }
  Model next(3000000, 2);
  process.write(t.path("a"), next.state()).get();
  CHECK(next.is_in(t.path("a")));
  CHECK(process.pid() != supervisor);
  CHECK(process.alive());
  const auto executable = std::filesystem::read_symlink("/proc/" + std::to_string(process.pid()) + "/exe");
  CHECK(executable.filename() == "cairn-executor");
  process.close().get();
  CHECK(leftovers_in(t.dir.path()).empty());
  const std::vector<pid_t> left = t.await_all_gone();
  CHECK((left.empty() || left == std::vector<pid_t>(1, worker)));  // an orphan is not ours to reap, but the test's
}

TEST_CASE("with supervisor and worker killed the save fails, and the next one works") {
  ProcessTest t;
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  const pid_t worker = process.worker_pid();
  Model model(300000, 1);
  REQUIRE(::kill(worker, SIGSTOP) == 0);
  const Saving saving = process.write(t.path("a"), model.state());
  REQUIRE(::kill(supervisor, SIGKILL) == 0);
  REQUIRE(::kill(worker, SIGKILL) == 0);
  const Failure failure = failure_of([&] { saving.get(); });
  CHECK(failure.code == Errc::executor_died);
  process.write(t.path("b"), model.state()).get();
  CHECK(model.is_in(t.path("b")));
  process.close().get();
  t.await_all_gone();
}

TEST_CASE("with the supervisor killed, closures are a clear error that says both ways out") {
  ProcessTest t;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [] {};
  CheckpointProcess process(t.config, parts);
  Model model(1000, 1);
  process.write(t.path("a"), model.state()).get();
  REQUIRE(::kill(process.pid(), SIGKILL) == 0);
  REQUIRE(becomes([&] { return !process.alive(); }));
  for (int round = 0; round < 2; ++round) {
    const Failure failure = failure_of([&] { process.write(t.path("b"), model.state()).get(); });
    CHECK(failure.code == Errc::unsafe_fork);
    CHECK(failure.says("subprocess_init_fn"));
    CHECK(failure.says("before"));
    CHECK(failure.says("executor_main"));
  }
  CHECK(failure_of([&] { process.close().get(); }).what == "");
  t.await_all_gone();
}
