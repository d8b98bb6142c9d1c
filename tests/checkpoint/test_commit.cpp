#include <sys/stat.h>
#include <unistd.h>

#include <cairn/cairn.hpp>
#include <filesystem>
#include <fstream>
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
using Names = std::vector<std::string>;

StateDict numbered(std::int64_t number) {
  StateDict state;
  state["number"] = number;
  state["tensor"] = counted<std::int64_t>({1000}, number);
  return state;
}

bool holds(const fs::path& path, std::int64_t number) {
  return checkpoint::verify_checkpoint(path).whole() && CheckpointReader().load(path).get() == numbered(number);
}

/// Writes down which checkpoints there are before and after each commit.
class ListingHook final : public WriterHook {
 public:
  explicit ListingHook(fs::path file) : file_(std::move(file)) {}
  Task<> pre_commit(Commit commit) override {
    list("pre", commit);
    co_return;
  }
  Task<> post_commit(Commit commit) override {
    list("post", commit);
    co_return;
  }

 private:
  void list(const char* which, const Commit& commit) {
    std::ofstream out(file_, std::ios::app);
    out << which;
    for (const fs::path& each : list_checkpoints(commit.path.parent_path()))
      out << ' ' << each.filename().string();
    out << '\n';
  }
  const fs::path file_;
};

}  // namespace

TEST_CASE("a checkpoint that is there is replaced whole, and nothing is left of it") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  std::unique_ptr<Checkpointer> checkpointer;
  if (is_synchronous) {
    checkpointer = make_sync_checkpointer(place.config());
  } else {
    checkpointer = make_async_checkpointer(place.config());
  }
  for (std::int64_t number = 1; number <= 3; ++number) {
    checkpointer->save(place.run("a"), numbered(number)).get();
    CHECK(holds(place.run("a"), number));
    CHECK(place.names() == Names{"a"});
    CHECK(place.leftovers() == Names());
  }
}

TEST_CASE("a replacement that fails leaves the old checkpoint as it was") {
  Workplace place;
  write_checkpoint(place.run("a"), numbered(1));
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<FailingHook>(FailingHook::When::before);
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  CHECK(error_of([&] { checkpointer->save(place.run("a"), numbered(2)).get(); }).code() == std::errc::io_error);
  CHECK(holds(place.run("a"), 1));
  CHECK(place.names() == Names{"a"});
}

TEST_CASE("an empty directory is taken") {
  Workplace place;
  fs::create_directory(place.run("a"));
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("a"), numbered(1)).get();
  CHECK(holds(place.run("a"), 1));
  CHECK(place.leftovers() == Names());
}

TEST_CASE("a file, a directory of somebody else's and a dangling link are refused and untouched") {
  Workplace place;
  write_text(place.run("file"), "mine");
  fs::create_directory(place.run("foreign"));
  write_text(place.run("foreign") / "thesis.tex", "mine");
  fs::create_symlink("nowhere", place.run("link"));
  const auto checkpointer = make_async_checkpointer(place.config());
  CHECK(error_of([&] { checkpointer->save(place.run("file"), numbered(1)).get(); }).code() == std::errc::file_exists);
  CHECK(error_of([&] { checkpointer->save(place.run("foreign"), numbered(1)).get(); }).code() ==
        Errc::not_a_checkpoint);
  CHECK(error_of([&] { checkpointer->save(place.run("link"), numbered(1)).get(); }).code() == std::errc::file_exists);
  CHECK(read_text(place.run("file")) == "mine");
  CHECK(names_in(place.run("foreign")) == Names{"thesis.tex"});
  CHECK(fs::read_symlink(place.run("link")) == "nowhere");
  CHECK(place.names() == Names{"file", "foreign", "link"});
}

TEST_CASE("a parent that is a file is an error that names it") {
  Workplace place;
  write_text(place.run("file"), "mine");
  const auto checkpointer = make_async_checkpointer(place.config());
  const Error error = error_of([&] { checkpointer->save(place.run("file/a"), numbered(1)).get(); });
  CHECK((error.code() == std::errc::not_a_directory || error.code() == std::errc::file_exists));
  CHECK(contains(error.what(), place.run("file").string()));
}

TEST_CASE(
    "what was moved aside by a save that died between its renames is read there, and put right by the next save") {
  Workplace place;
  const fs::path replaced = place.run("a.replaced");
  SECTION("the path is absent: the old one goes back before it is replaced") {
    write_checkpoint(replaced, numbered(1));
    CHECK(CheckpointReader().load(place.run("a")).get() == numbered(1));
    CheckpointerParts parts;
    parts.commit_hook = std::make_shared<FailingHook>(FailingHook::When::before);
    const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
    CHECK_THROWS_AS(checkpointer->save(place.run("a"), numbered(2)).get(), Error);
    CHECK(holds(place.run("a"), 1));
    CHECK(place.names() == Names{"a"});
  }
  SECTION("the path is absent: a save that works takes its place") {
    write_checkpoint(replaced, numbered(1));
    const auto checkpointer = make_async_checkpointer(place.config());
    checkpointer->save(place.run("a"), numbered(2)).get();
    CHECK(holds(place.run("a"), 2));
    CHECK(place.names() == Names{"a"});
  }
  SECTION("the new one is there: the old one goes") {
    write_checkpoint(replaced, numbered(1));
    write_checkpoint(place.run("a"), numbered(2));
    CHECK(CheckpointReader().load(place.run("a")).get() == numbered(2));
    const auto checkpointer = make_async_checkpointer(place.config());
    checkpointer->save(place.run("a"), numbered(3)).get();
    CHECK(holds(place.run("a"), 3));
    CHECK(place.names() == Names{"a"});
  }
}

TEST_CASE("keep_last deletes older checkpoints after the commit, and never the new one") {
  Workplace place;
  const fs::path record = place.file("record");
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<ListingHook>(record);
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  fs::create_directory(place.run("foreign-99"));
  write_text(place.run("foreign-99") / "notes", "mine");
  const auto save = [&](std::int64_t step, unsigned kept) {
    checkpointer
        ->save(place.run("step-" + std::to_string(step)), numbered(step), SaveOptions().step(step).keep_last(kept))
        .get();
  };
  for (std::int64_t step = 1; step <= 4; ++step)
    save(step, 2);
  CHECK(place.names() == Names{"foreign-99", "step-3", "step-4"});
  // An older step than those that are there: it stays all the same.
  save(2, 1);
  CHECK(place.names() == Names{"foreign-99", "step-2", "step-4"});
  save(5, 0);
  CHECK(place.names() == Names{"foreign-99", "step-5"});
  CHECK(read_text(place.run("foreign-99") / "notes") == "mine");
  CHECK(holds(place.run("step-5"), 5));
  const std::vector<std::string> lines = lines_of(record);
  REQUIRE(lines.size() == 12);
  CHECK(lines[4] == "pre step-2 step-1");
  CHECK(lines[5] == "post step-3 step-2");
  CHECK(lines[10] == "pre step-4 step-2");
  CHECK(lines[11] == "post step-5");
}

TEST_CASE("a failed save deletes nothing, whatever keep_last says") {
  Workplace place;
  write_checkpoint(place.run("step-1"), numbered(1), 1);
  write_checkpoint(place.run("step-2"), numbered(2), 2);
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<FailingHook>(FailingHook::When::before);
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  const Saving saving = checkpointer->save(place.run("step-3"), numbered(3), SaveOptions().step(3).keep_last(1));
  CHECK_THROWS_AS(saving.get(), Error);
  CHECK(place.names() == Names{"step-1", "step-2"});
}

TEST_CASE("leftovers of dead saves go with the next save; what is locked, and what only looks alike, stays") {
  Workplace place;
  const std::string id = checkpoint::make_attempt_id();
  const fs::path dead = checkpoint::partial_path(place.run("step-1"), id);
  fs::create_directory(dead);
  write_text(dead / "rank-00000-of-00001.safetensors", "half");
  const fs::path dead_locked_once = checkpoint::partial_path(place.run("step-2"), checkpoint::make_attempt_id());
  fs::create_directory(dead_locked_once);
  write_text(dead_locked_once / checkpoint::lock_file_name, "trainer_pid 1\n");
  const checkpoint::Attempt live{checkpoint::partial_path(place.run("step-3"), checkpoint::make_attempt_id()),
                                 place.run("step-3"), ""};
  const auto lock = checkpoint::AttemptLock::create(live, checkpoint::WriterIdentity::of_process(::getpid()));
  fs::create_directory(place.run("step-4.partial-mine"));
  write_text(place.run("step-4.partial-mine") / "notes", "mine");

  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("step-5"), numbered(5)).get();
  CHECK(place.names() == Names{live.directory.filename().string(), "step-4.partial-mine", "step-5"});
  CHECK(names_in(live.directory) == Names{checkpoint::lock_file_name});
  CHECK(place.errors().all().empty());
}

TEST_CASE("the executor does not follow links out of what it removes") {
  Workplace place;
  const fs::path outside = place.file("outside");
  fs::create_directory(outside);
  write_text(outside / "precious", "mine");
  const fs::path dead = checkpoint::partial_path(place.run("step-1"), checkpoint::make_attempt_id());
  fs::create_directory(dead);
  fs::create_directory_symlink(outside, dead / "link");
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("step-5"), numbered(5)).get();
  CHECK(place.names() == Names{"step-5"});
  CHECK(read_text(outside / "precious") == "mine");
}

}  // namespace cairn::test
