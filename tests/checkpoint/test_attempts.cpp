#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cairn/cairn.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/attempt.hpp"
#include "checkpoint/support/states.hpp"
#include "checkpoint/support/test_hooks.hpp"
#include "checkpoint/support/uniform_state.hpp"
#include "checkpoint/support/workplace.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "checkpoint/verify.hpp"
#include "support/catch.hpp"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Names = std::vector<std::string>;
using checkpoint::Attempt;
using checkpoint::AttemptLock;
using checkpoint::WriterIdentity;

/// The identity of a process that was killed and reaped.
WriterIdentity dead_trainer() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const WriterIdentity identity = WriterIdentity::of_process(child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return identity;
}

Attempt attempt_at(const fs::path& path) {
  const std::string id = checkpoint::make_attempt_id();
  return Attempt{checkpoint::partial_path(path, id), path, id};
}

/// Forks a trainer that does `work` and exits with what it gives; waits for its end.
template <class Work>
int in_trainer(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = work();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "trainer: %s\n", error.what());
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

CheckpointerParts with_hook(std::shared_ptr<WriterHook> hook) {
  CheckpointerParts parts;
  parts.commit_hook = std::move(hook);
  return parts;
}

}  // namespace

TEST_CASE("the name of a partial directory is path and attempt, and no other name is taken for one") {
  const std::string id = checkpoint::make_attempt_id();
  CHECK(id.size() == 32);
  CHECK(id != checkpoint::make_attempt_id());
  const auto parsed = checkpoint::parse_partial_path(checkpoint::partial_path("/a/b.partial-x/step-1", id));
  REQUIRE(parsed);
  CHECK(parsed->path == "/a/b.partial-x/step-1");
  CHECK(parsed->id == id);
  for (const char* const name : {"a", "a.partial-", "a.partial-123", "a.partial-ABCDEFABCDEFABCDEFABCDEFABCDEFAB",
                                 ".partial-0123456789abcdef0123456789abcdef0"})
    CHECK_FALSE(checkpoint::parse_partial_path(name));
}

TEST_CASE("the text of an identity gives it back; the process it names runs while it runs") {
  const WriterIdentity own = WriterIdentity::of_process(::getpid());
  const WriterIdentity parsed = WriterIdentity::parse(own.text());
  CHECK(parsed.text() == own.text());
  CHECK(parsed.trainer_runs());
  CHECK_FALSE(dead_trainer().trainer_runs());
  WriterIdentity elsewhere = own;
  elsewhere.boot_id = "another machine's";
  CHECK_FALSE(elsewhere.trainer_runs());
  WriterIdentity recycled = own;
  ++recycled.trainer_start;
  CHECK_FALSE(recycled.trainer_runs());
  CHECK_FALSE(WriterIdentity::parse("nonsense").trainer_runs());
}

TEST_CASE("a lock is had once; a remover and a maker agree on who has the directory") {
  Workplace place;
  const Attempt attempt = attempt_at(place.run("a"));
  const WriterIdentity own = WriterIdentity::of_process(::getpid());
  {
    const AttemptLock lock = AttemptLock::create(attempt, own);
    CHECK(checkpoint::live_writer(attempt));
    CHECK_FALSE(AttemptLock::take_over(attempt));
  }
  CHECK_FALSE(checkpoint::live_writer(attempt));
  {
    const auto taken = AttemptLock::take_over(attempt);
    REQUIRE(taken);
    fs::remove_all(attempt.directory);
    CHECK_FALSE(AttemptLock::take_over(attempt));
    const AttemptLock again = AttemptLock::create(attempt, own);  // another directory of that name, another lock
    CHECK(checkpoint::live_writer(attempt));
  }
}

TEST_CASE("latest_checkpoint waits for the writer of a dead trainer, bounded, and names it") {
  Workplace place;
  write_checkpoint(place.run("step-1"), rich_state(), 1);
  const Attempt attempt = attempt_at(place.run("step-2"));
  const WriterIdentity dead = dead_trainer();
  std::optional<AttemptLock> lock = AttemptLock::create(attempt, dead);
  const Error error = error_of([&] { latest_checkpoint(place.runs(), 20ms); });
  CHECK(error.code() == Errc::timed_out);
  CHECK(contains(error.what(), attempt.directory.string()));
  CHECK(contains(error.what(), std::to_string(dead.trainer_pid)));

  // It commits while it is waited for.
  std::thread writer([&] {
    std::this_thread::sleep_for(20ms);
    write_checkpoint(attempt.directory, rich_state(), 2);
    fs::rename(attempt.directory, attempt.path);
    lock.reset();
  });
  const auto latest = latest_checkpoint(place.runs(), 60s);
  writer.join();
  CHECK(latest == place.run("step-2"));
}

TEST_CASE("latest_checkpoint does not wait for a living trainer's writer") {
  Workplace place;
  write_checkpoint(place.run("step-1"), rich_state(), 1);
  const AttemptLock lock = AttemptLock::create(attempt_at(place.run("step-2")), WriterIdentity::of_process(::getpid()));
  CHECK(latest_checkpoint(place.runs(), 0ms) == place.run("step-1"));
}

TEST_CASE("a save waits for the writer of a dead trainer, bounded, and names it; then it goes on") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  CheckpointerConfig config = place.config();
  config.writer.live_writer_timeout = 20ms;
  const Attempt attempt = attempt_at(place.run("step-2"));
  const WriterIdentity dead = dead_trainer();
  std::unique_ptr<Checkpointer> checkpointer;
  if (is_synchronous) {
    checkpointer = make_sync_checkpointer(config);
  } else {
    checkpointer = make_async_checkpointer(config);
  }
  {
    const AttemptLock lock = AttemptLock::create(attempt, dead);
    const Error error = error_of([&] { checkpointer->save(place.run("step-3"), rich_state()).get(); });
    CHECK(error.code() == Errc::timed_out);
    CHECK(contains(error.what(), attempt.directory.string()));
    CHECK(place.names() == Names{attempt.directory.filename().string()});
  }
  checkpointer->save(place.run("step-3"), rich_state()).get();
  CHECK(place.names() == Names{"step-3"});
}

TEST_CASE("a staged save is committed by the executor after the trainer's death, and waited for") {
  Workplace place;
  const fs::path gate = place.file("gate");
  UniformState model(std::int64_t{9} << 20);
  model.fill(7);
  const int code = in_trainer([&] {
    const auto checkpointer =
        make_async_checkpointer(place.config(), with_hook(std::make_shared<GateHook>(gate))).release();
    checkpointer->save(place.run("step-7"), model.state(), SaveOptions().step(7)).staged().get();
    return 7;  // dies with everything as it is
  });
  CHECK(code == 7);
  CHECK(error_of([&] { latest_checkpoint(place.runs(), 20ms); }).code() == Errc::timed_out);
  make_file(gate);
  CHECK(latest_checkpoint(place.runs(), 60s) == place.run("step-7"));
  CHECK(checkpoint::verify_checkpoint(place.run("step-7")).whole());
  CheckpointReader().load_into(place.run("step-7"), model.state()).get();
  CHECK(model.is_uniform());
  CHECK(place.leftovers() == Names());
}

TEST_CASE("what failed after the trainer's death is told to on_error by the next save, once, and removed") {
  Workplace place;
  const fs::path gate = place.file("gate");
  class GateThenFail final : public WriterHook {
   public:
    explicit GateThenFail(fs::path file) : gate_(std::move(file)) {}
    Task<> pre_commit(Commit) override {
      co_await file_is_there(gate_);
      throw Error::from_errno(ENOSPC, "hook");
    }

   private:
    fs::path gate_;
  };
  const int code = in_trainer([&] {
    const auto checkpointer =
        make_async_checkpointer(place.config(), with_hook(std::make_shared<GateThenFail>(gate))).release();
    checkpointer->save(place.run("step-7"), rich_state()).staged().get();
    return 7;
  });
  CHECK(code == 7);
  make_file(gate);
  CHECK_FALSE(latest_checkpoint(place.runs(), 60s));
  REQUIRE(place.names().size() == 1);
  CHECK(fs::exists(place.run(place.names().front()) / checkpoint::error_file_name));

  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("step-8"), rich_state()).get();
  REQUIRE(place.errors().wait_for(1));
  checkpointer->save(place.run("step-9"), rich_state()).get();
  checkpointer->close().get();
  REQUIRE(place.errors().all().size() == 1);
  const std::string told = place.errors().all().front().what();
  CHECK(contains(told, "step-7"));
  CHECK(contains(told, "No space left on device"));
  CHECK(place.names() == Names{"step-8", "step-9"});
}

TEST_CASE("the destructor leaves a staged save to the executor, and nothing of one that is not staged") {
  Workplace place;
  const fs::path gate = place.file("gate");
  CheckpointerConfig config = place.config();
  config.max_in_flight = 2;
  config.staging.staging_bytes_max = std::uint64_t{16} << 20;
  UniformState large(std::int64_t{20} << 20);
  Saving staged;
  Saving unstaged;
  Saving waiting;
  pid_t supervisor = 0;
  {
    const auto checkpointer = make_async_checkpointer(config, with_hook(std::make_shared<GateHook>(gate)));
    supervisor = checkpointer->process().pid();
    staged = checkpointer->save(place.run("step-1"), rich_state());
    staged.staged().get();
    unstaged = checkpointer->save(place.run("step-2"), large.state());
    REQUIRE(eventually([&] { return unstaged.progress().bytes_staged >= std::uint64_t{8} << 20; }));
    waiting = checkpointer->save(place.run("step-3"), rich_state());
  }
  CHECK(error_of([&] { staged.get(); }).code() == Errc::closed);
  CHECK_THROWS_AS(unstaged.staged().get(), Error);
  CHECK_THROWS_AS(waiting.staged().get(), Error);
  CHECK_FALSE(fs::exists(place.run("step-1")));
  make_file(gate);
  CHECK(
      eventually([&] { return ::kill(supervisor, 0) != 0 || ::waitpid(supervisor, nullptr, WNOHANG) == supervisor; }));
  CHECK(place.names() == Names{"step-1"});
  CHECK(place.leftovers() == Names());
  CHECK(checkpoint::verify_checkpoint(place.run("step-1")).whole());
}

TEST_CASE("a trainer that dies while it stages leaves nothing after the next save") {
  Workplace place;
  const fs::path gate = place.file("gate");
  const int code = in_trainer([&] {
    CheckpointerConfig config = place.config();
    config.max_in_flight = 2;
    config.staging.staging_bytes_max = std::uint64_t{16} << 20;
    const auto checkpointer = make_async_checkpointer(config, with_hook(std::make_shared<GateHook>(gate))).release();
    checkpointer->save(place.run("step-1"), rich_state(), SaveOptions().step(1)).staged().get();
    UniformState large(std::int64_t{20} << 20);
    const Saving unstaged = checkpointer->save(place.run("step-2"), large.state(), SaveOptions().step(2));
    const bool is_under_way = eventually([&] { return unstaged.progress().bytes_staged >= std::uint64_t{8} << 20; });
    return is_under_way && !unstaged.staged().ready() ? 7 : 8;
  });
  CHECK(code == 7);
  make_file(gate);
  CHECK(latest_checkpoint(place.runs(), 60s) == place.run("step-1"));
  CHECK(place.names() == Names{"step-1"});
}

TEST_CASE("destroying an idle checkpointer ends its process") {
  Workplace place;
  pid_t supervisor = 0;
  {
    const auto checkpointer = make_async_checkpointer(place.config());
    supervisor = checkpointer->process().pid();
    REQUIRE(::kill(supervisor, 0) == 0);
  }
  CHECK(
      eventually([&] { return ::kill(supervisor, 0) != 0 || ::waitpid(supervisor, nullptr, WNOHANG) == supervisor; }));
}

}  // namespace cairn::test
