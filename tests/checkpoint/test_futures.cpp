#include <fcntl.h>
#include <unistd.h>

#include <cairn/cairn.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/test_hooks.hpp"
#include "checkpoint/support/uniform_state.hpp"
#include "checkpoint/support/workplace.hpp"
#include "checkpoint/verify.hpp"
#include "support/catch.hpp"

// What comes through the futures of a save, and what becomes of it where nobody looks at them.

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// Standard error goes to a file while this lives.
class StderrTo {
 public:
  explicit StderrTo(const fs::path& file) : before_(::dup(STDERR_FILENO)) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    ::dup2(fd, STDERR_FILENO);
    ::close(fd);
  }
  ~StderrTo() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
  }

 private:
  const int before_;
};

CheckpointerParts with_hook(std::shared_ptr<WriterHook> hook) {
  CheckpointerParts parts;
  parts.commit_hook = std::move(hook);
  return parts;
}

}  // namespace

TEST_CASE("SEED 24: a state that cannot be saved fails both futures, naming the key; nothing is written") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  struct Row {
    const char* what;
    std::string key;
  };
  for (const Row& row :
       {Row{"NUL", std::string("a\0b", 3)}, Row{"invalid UTF-8", "a\xff"}, Row{"reserved", "__metadata__"}}) {
    INFO(row.what);
    StateDict state;
    state["fine"] = counted<float>({4});
    state[row.key] = counted<float>({4});
    const Saving saving = checkpointer->save(place.run("a"), state);
    const Error staged = error_of([&] { saving.staged().get(); });
    const Error committed = error_of([&] { saving.get(); });
    CHECK(staged.code() == Errc::bad_argument);
    CHECK(committed.code() == Errc::bad_argument);
    CHECK(saving.progress().phase == SavePhase::failed);
  }
  CHECK(place.names() == Names());
  checkpointer->save(place.run("b"), rich_state()).get();
  CHECK(checkpoint::verify_checkpoint(place.run("b")).whole());
}

TEST_CASE("an empty path and a path without a name are bad arguments") {
  Workplace place;
  const auto checkpointer = make_sync_checkpointer(place.config());
  CHECK(error_of([&] { checkpointer->save("", rich_state()).get(); }).code() == Errc::bad_argument);
  CHECK(error_of([&] { checkpointer->save("/", rich_state()).get(); }).code() == Errc::bad_argument);
}

TEST_CASE("SEED 6: a save after close() completes with closed; a second close does nothing") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->close().get();
  checkpointer->close().get();
  const Saving saving = checkpointer->save(place.run("a"), rich_state());
  CHECK(error_of([&] { saving.staged().get(); }).code() == Errc::closed);
  CHECK(error_of([&] { saving.get(); }).code() == Errc::closed);
  CHECK(place.names() == Names());
}

TEST_CASE("eight saves wait for a slot; one more completes with busy, and the others go on") {
  Workplace place;
  const fs::path gate = place.file("gate");
  const auto checkpointer = make_async_checkpointer(place.config(), with_hook(std::make_shared<GateHook>(gate)));
  const StateDict state = rich_state();
  std::vector<Saving> savings;
  for (int save = 0; save < 9; ++save)
    savings.push_back(checkpointer->save(place.run("step-" + std::to_string(save)), state));
  const Saving refused = checkpointer->save(place.run("refused"), state);
  CHECK(refused.committed().ready());
  CHECK(error_of([&] { refused.staged().get(); }).code() == Errc::busy);
  CHECK(error_of([&] { refused.get(); }).code() == Errc::busy);
  CHECK_FALSE(savings.back().staged().ready());
  CHECK(savings.back().progress().phase == SavePhase::waiting);
  make_file(gate);
  for (const Saving& saving : savings)
    saving.get();
  CHECK(place.names().size() == 9);
  checkpointer->save(place.run("later"), state).get();
}

TEST_CASE(
    "SEED 22, 23: a failure that nobody awaits goes to on_error at once and to close() once; the next save works") {
  Workplace place;
  std::ofstream(place.run("file")) << "somebody's";
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("file"), rich_state());
  REQUIRE(place.errors().wait_for(1));
  CHECK(place.errors().all().front().code() == std::errc::file_exists);
  checkpointer->save(place.run("next"), rich_state()).get();
  CHECK(checkpoint::verify_checkpoint(place.run("next")).whole());
  const Error closing = error_of([&] { checkpointer->close().get(); });
  CHECK(closing.code() == std::errc::file_exists);
  CHECK(contains(closing.what(), "file"));
  checkpointer->close().get();
  CHECK(place.errors().all().size() == 1);
}

TEST_CASE("a failure that somebody waits for is neither told to on_error nor thrown by close()") {
  Workplace place;
  const fs::path gate = place.file("gate");
  // Held, so that it fails only after somebody waits.
  class GateThenFail final : public WriterHook {
   public:
    explicit GateThenFail(fs::path file) : gate_(std::move(file)) {}
    Task<> pre_commit(Commit) override {
      co_await file_is_there(gate_);
      throw Error::from_errno(EIO, "hook");
    }

   private:
    fs::path gate_;
  };
  const auto checkpointer = make_async_checkpointer(place.config(), with_hook(std::make_shared<GateThenFail>(gate)));
  const auto wait_and_open = [](Saving saving, fs::path file) -> Task<> {
    Future<> committed = saving.committed();
    Scope scope;
    const auto wait = [](Future<> future) -> Task<> { co_await future; };
    scope.spawn(wait(committed));
    make_file(file);
    co_await scope.join();
  };
  const Saving saving = checkpointer->save(place.run("a"), rich_state());
  CHECK(error_of([&] { run(wait_and_open(saving, gate)); }).code() == std::errc::io_error);
  checkpointer->close().get();
  CHECK(place.errors().all().empty());
  CHECK(place.names() == Names());
}

TEST_CASE("without on_error an unobserved failure is one line on standard error") {
  Workplace place;
  std::ofstream(place.run("file")) << "somebody's";
  CheckpointerConfig config = place.config();
  config.on_error = nullptr;
  const fs::path captured = place.file("stderr");
  {
    const StderrTo capture(captured);
    const auto checkpointer = make_async_checkpointer(config);
    checkpointer->save(place.run("file"), rich_state());
    CHECK(eventually([&] { return !lines_of(captured).empty(); }));
    CHECK(error_of([&] { checkpointer->close().get(); }).code() == std::errc::file_exists);
  }
  const std::vector<std::string> lines = lines_of(captured);
  REQUIRE(lines.size() == 1);
  CHECK(contains(lines.front(), "cairn: save " + place.run("file").string()));
}

TEST_CASE("more failures than close() can keep: those that were looked at do not hide one that was not") {
  Workplace place;
  const auto checkpointer = make_sync_checkpointer(place.config());
  StateDict bad;
  bad["__metadata__"] = 1;
  for (int save = 0; save < 100; ++save)
    CHECK(error_of([&] { checkpointer->save(place.run("a"), bad).get(); }).code() == Errc::bad_argument);
  checkpointer->save("", rich_state());
  const Error closing = error_of([&] { checkpointer->close().get(); });
  CHECK(contains(closing.what(), "empty path"));
}

TEST_CASE("a stop before the save ends it with cancelled and leaves nothing") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  std::unique_ptr<Checkpointer> checkpointer;
  if (is_synchronous) {
    checkpointer = make_sync_checkpointer(place.config());
  } else {
    checkpointer = make_async_checkpointer(place.config());
  }
  std::stop_source stop;
  stop.request_stop();
  const Saving saving = checkpointer->save(place.run("a"), rich_state(), SaveOptions().stop_token(stop.get_token()));
  CHECK(error_of([&] { saving.get(); }).code() == Errc::cancelled);
  CHECK(error_of([&] { saving.staged().get(); }).code() == Errc::cancelled);
  CHECK(place.names() == Names());
  checkpointer->save(place.run("b"), rich_state()).get();
  CHECK(place.names() == Names{"b"});
}

TEST_CASE("a stop while a save is staged ends it with cancelled and leaves nothing") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.max_in_flight = 2;
  config.staging.staging_bytes_max = std::uint64_t{16} << 20;
  const fs::path gate = place.file("gate");
  const auto checkpointer = make_async_checkpointer(config, with_hook(std::make_shared<GateHook>(gate)));
  const Saving first = checkpointer->save(place.run("first"), rich_state());
  // It cannot be staged as a whole before the first one, at whose hook the executor waits, is done.
  UniformState large(std::int64_t{20} << 20);
  std::stop_source stop;
  const Saving saving = checkpointer->save(place.run("a"), large.state(), SaveOptions().stop_token(stop.get_token()));
  REQUIRE(eventually([&] { return saving.progress().bytes_staged >= std::uint64_t{8} << 20; }));
  CHECK_FALSE(saving.staged().ready());
  stop.request_stop();
  make_file(gate);
  CHECK(error_of([&] { saving.staged().get(); }).code() == Errc::cancelled);
  CHECK(error_of([&] { saving.get(); }).code() == Errc::cancelled);
  first.get();
  CHECK(place.names() == Names{"first"});
  checkpointer->save(place.run("b"), large.state()).get();
  CHECK(place.names() == Names{"b", "first"});
}

TEST_CASE("a stop after staging, before the commit, ends the save with cancelled and leaves nothing") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.max_in_flight = 3;
  const fs::path gate = place.file("gate");
  const auto checkpointer = make_async_checkpointer(config, with_hook(std::make_shared<GateHook>(gate)));
  const Saving first = checkpointer->save(place.run("first"), rich_state());
  std::stop_source stop;
  const Saving saving = checkpointer->save(place.run("a"), rich_state(), SaveOptions().stop_token(stop.get_token()));
  saving.staged().get();
  stop.request_stop();
  // Its attempt is made after the executor has heard of the stop.
  const Saving last = checkpointer->save(place.run("last"), rich_state());
  last.staged().get();
  make_file(gate);
  CHECK(error_of([&] { saving.get(); }).code() == Errc::cancelled);
  last.get();
  first.get();
  CHECK(place.names() == Names{"first", "last"});
}

TEST_CASE("a save that is stopped while it waits for a slot holds up nobody, before it or behind it") {
  Workplace place;
  const fs::path gate = place.file("gate");
  const auto checkpointer = make_async_checkpointer(place.config(), with_hook(std::make_shared<GateHook>(gate)));
  std::stop_source stop;
  const Saving first = checkpointer->save(place.run("1"), rich_state());
  const Saving second = checkpointer->save(place.run("2"), rich_state());
  const Saving third = checkpointer->save(place.run("3"), rich_state(), SaveOptions().stop_token(stop.get_token()));
  const Saving fourth = checkpointer->save(place.run("4"), rich_state());
  stop.request_stop();
  CHECK(error_of([&] { third.get(); }).code() == Errc::cancelled);
  make_file(gate);
  for (const Saving& saving : {first, second, fourth})
    REQUIRE(saving.committed().wait_for(std::chrono::seconds(60)));
  CHECK(place.names() == Names{"1", "2", "4"});
}

TEST_CASE("a stop after the commit has no effect") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  std::stop_source stop;
  const Saving saving = checkpointer->save(place.run("a"), rich_state(), SaveOptions().stop_token(stop.get_token()));
  saving.get();
  stop.request_stop();
  saving.get();
  checkpointer->close().get();
  CHECK(place.names() == Names{"a"});
}

TEST_CASE("two saves in flight commit in the order of the calls") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.max_in_flight = 2;
  const fs::path record = place.file("record");
  const auto checkpointer = make_async_checkpointer(config, with_hook(std::make_shared<RecordingHook>(record)));
  UniformState large(std::int64_t{24} << 20);
  Names expected;
  std::vector<Saving> savings;
  for (int round = 0; round < 3; ++round) {
    const std::string number = std::to_string(round);
    savings.push_back(checkpointer->save(place.run("large-" + number), large.state()));
    savings.push_back(checkpointer->save(place.run("small-" + number), rich_state()));
    expected.insert(expected.end(), {"large-" + number, "small-" + number});
  }
  savings.back().get();
  for (const Saving& saving : savings)
    CHECK(saving.committed().ready());
  Names committed;
  for (const std::string& line : lines_of(record)) {
    if (line.starts_with("post ")) committed.push_back(line.substr(5, line.find(' ', 5) - 5));
  }
  CHECK(committed == expected);
}

TEST_CASE("SEED 32: a process takes a future of a state, and its failure is the save's") {
  Workplace place;
  CheckpointProcess process(place.config(), CheckpointerParts());
  Promise<StateDict> promise;
  const Saving saving = process.write(place.run("a"), promise.future());
  CHECK_FALSE(saving.staged().ready());
  const StateDict state = rich_state();
  promise.set_value(state);
  saving.get();
  CHECK(CheckpointReader().load(place.run("a")).get() == state);
  const auto failure = std::make_exception_ptr(Error(Errc::shape_mismatch, "make a state"));
  const Saving failed = process.write(place.run("b"), failed_future<StateDict>(failure));
  CHECK(error_of([&] { failed.staged().get(); }).code() == Errc::shape_mismatch);
  CHECK(error_of([&] { failed.get(); }).code() == Errc::shape_mismatch);
  process.close().get();
  CHECK(place.names() == Names{"a"});
}

TEST_CASE("a state that is never made holds up neither a stop nor the destructor") {
  Workplace place;
  Promise<StateDict> promise;
  std::stop_source stop;
  Saving dropped;
  {
    CheckpointProcess process(place.config(), CheckpointerParts());
    const Saving stopped = process.write(place.run("a"), promise.future(), SaveOptions().stop_token(stop.get_token()));
    dropped = process.write(place.run("b"), promise.future());
    stop.request_stop();
    CHECK(error_of([&] { stopped.get(); }).code() == Errc::cancelled);
    CHECK_FALSE(dropped.staged().ready());
  }
  CHECK(dropped.staged().ready());
  CHECK_THROWS_AS(dropped.get(), Error);
  promise.set_value(rich_state());
  CHECK(place.names() == Names());
}

TEST_CASE("a hook that never completes: the save times out naming file and offset, and close() is bounded") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.writer.write_stall_timeout = std::chrono::milliseconds(200);
  config.process.subprocess_shutdown_timeout = std::chrono::milliseconds(200);
  const auto checkpointer =
      make_async_checkpointer(config, with_hook(std::make_shared<GateHook>(place.file("never opened"))));
  const Saving saving = checkpointer->save(place.run("a"), rich_state());
  const Error error = error_of([&] { saving.get(); });
  CHECK(error.code() == Errc::timed_out);
  CHECK(contains(error.what(), "rank-00000-of-00001.safetensors at " + std::to_string(saving.progress().bytes_total)));
  checkpointer->close().wait_for(std::chrono::seconds(60));
  CHECK(checkpointer->close().ready());
  CHECK_FALSE(fs::exists(place.run("a")));
}

}  // namespace cairn::test
