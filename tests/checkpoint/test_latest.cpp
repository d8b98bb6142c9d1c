#include <unistd.h>

#include <cairn/reader.hpp>

#include "checkpoint/attempt.hpp"
#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;
namespace fs = std::filesystem;

namespace {

StateDict small_state() {
  StateDict state;
  state["x"] = counted<float>({3});
  return state;
}

}  // namespace

TEST_CASE("A directory that does not exist, or holds no checkpoint, has no latest one") {
  TempDir dir;
  CHECK_FALSE(latest_checkpoint(dir / "absent"));
  CHECK(list_checkpoints(dir / "absent").empty());
  CHECK(list_entries(dir / "absent").empty());
  CHECK_FALSE(latest_checkpoint(dir.path()));
  fs::create_directory(dir / "step-1");
  write_text(dir / "step-2", "a file");
  CHECK_FALSE(latest_checkpoint(dir.path()));
  CHECK(list_entries(dir.path()).empty());
}

TEST_CASE("The latest checkpoint has the highest step, whatever the names and the clock say") {
  TempDir dir;
  write_checkpoint(dir / "z-900", small_state(), 10);
  write_checkpoint(dir / "a-1", small_state(), 30);
  write_checkpoint(dir / "b-2", small_state(), 20);
  write_checkpoint(dir / "step-5000", small_state());
  fs::last_write_time(dir / "z-900", fs::file_time_type::clock::now() + std::chrono::hours(1));
  CHECK(latest_checkpoint(dir.path()) == dir / "a-1");
  CHECK(list_checkpoints(dir.path()) ==
        std::vector<fs::path>{dir / "a-1", dir / "b-2", dir / "z-900", dir / "step-5000"});
}

TEST_CASE("Without steps the highest number at the end of the name is the latest") {
  TempDir dir;
  for (const char* name : {"step-9", "step-100", "step-20", "final"})
    write_checkpoint(dir / name, small_state());
  CHECK(latest_checkpoint(dir.path()) == dir / "step-100");
  CHECK(list_checkpoints(dir.path()) ==
        std::vector<fs::path>{dir / "step-100", dir / "step-20", dir / "step-9", dir / "final"});
}

TEST_CASE("What was replaced counts under its name as long as nothing stands there") {
  TempDir dir;
  write_checkpoint(dir / "step-1", small_state());
  write_checkpoint(dir / "step-2.replaced", small_state());
  CHECK(latest_checkpoint(dir.path()) == dir / "step-2");
  write_checkpoint(dir / "step-2", small_state());
  CHECK(list_checkpoints(dir.path()) == std::vector<fs::path>{dir / "step-2", dir / "step-1"});
}

TEST_CASE("Attempts and directories with a damaged manifest are listed, but are no checkpoints") {
  TempDir dir;
  write_checkpoint(dir / "step-1", small_state(), 1);
  write_checkpoint(dir / "step-2", small_state(), 2);
  flip_byte(dir / "step-2" / "manifest.json", 20);
  const std::string id(32, 'a');
  const checkpoint::Attempt attempt{checkpoint::partial_path(dir / "step-3", id), dir / "step-3", id};
  auto lock =
      std::make_optional(checkpoint::AttemptLock::create(attempt, checkpoint::WriterIdentity::of_process(::getpid())));
  write_text(attempt.directory / "data", std::string(1000, 'x'));

  CHECK(latest_checkpoint(dir.path()) == dir / "step-1");
  std::vector<CheckpointEntry> entries = list_entries(dir.path());
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].path == dir / "step-1");
  CHECK(entries[0].committed);
  CHECK(entries[0].step == 1);
  CHECK(entries[0].world_size == 1);
  CHECK(entries[0].size_bytes > 4096);
  CHECK_FALSE(entries[0].created.empty());
  CHECK(entries[1].path == dir / "step-2");
  CHECK_FALSE(entries[1].committed);
  CHECK(contains(entries[1].damage, "manifest.json"));
  CHECK(entries[2].path == attempt.directory);
  CHECK_FALSE(entries[2].committed);
  CHECK(entries[2].live);
  CHECK(entries[2].damage.empty());
  CHECK(entries[2].size_bytes >= 1000);
  lock.reset();
  entries = list_entries(dir.path());
  CHECK_FALSE(entries[2].live);
}

namespace {

/// The lock of an attempt whose trainer is dead.
checkpoint::AttemptLock orphan(const fs::path& path) {
  const std::string id(32, 'b');
  checkpoint::WriterIdentity identity = checkpoint::WriterIdentity::of_process(::getpid());
  identity.trainer_start += 1;  // another process had this number
  return checkpoint::AttemptLock::create(checkpoint::Attempt{checkpoint::partial_path(path, id), path, id}, identity);
}

}  // namespace

TEST_CASE("latest_checkpoint waits for executors of dead trainers, and names them when it gives up") {
  TempDir dir;
  write_checkpoint(dir / "step-1", small_state());
  const auto lock = orphan(dir / "step-2");
  const Error error = error_of([&] { latest_checkpoint(dir.path(), std::chrono::milliseconds(20)); });
  CHECK(error.code() == Errc::timed_out);
  CHECK(contains(error.what(), "step-2"));
}

TEST_CASE("A load waits for the executor that is writing its path, and for no other") {
  TempDir dir;
  write_checkpoint(dir / "step-1", small_state());
  auto lock = std::make_optional(orphan(dir / "step-2"));
  CheckpointReader reader;
  CHECK(reader.load(dir / "step-1").get() == small_state());

  const Future<StateDict> waiting = reader.load(dir / "step-2");
  // A load that was asked for later and is done shows that the first one had its chance.
  CHECK(reader.load(dir / "step-1").get() == small_state());
  CHECK_FALSE(waiting.ready());
  write_checkpoint(dir / "step-2", small_state());
  lock.reset();
  CHECK(waiting.get() == small_state());
}

TEST_CASE("A load that waits for an executor ends with its reader") {
  TempDir dir;
  const auto lock = orphan(dir / "step-2");
  Future<StateDict> waiting;
  {
    CheckpointReader reader;
    waiting = reader.load(dir / "step-2");
  }
  CHECK(error_of([&] { waiting.get(); }).code() == Errc::closed);
}
