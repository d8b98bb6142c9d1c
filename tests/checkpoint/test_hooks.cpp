#include "checkpoint/support/test_hooks.hpp"

#include <cairn/cairn.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/workplace.hpp"
#include "checkpoint/verify.hpp"
#include "support/catch.hpp"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

std::unique_ptr<Checkpointer> make(bool is_synchronous, CheckpointerConfig config, std::shared_ptr<WriterHook> hook) {
  CheckpointerParts parts;
  parts.commit_hook = std::move(hook);
  if (is_synchronous) return make_sync_checkpointer(std::move(config), std::move(parts));
  return make_async_checkpointer(std::move(config), std::move(parts));
}

/// Notes every call of the writer's own order around the standard one.
class NotingWriter final : public CheckpointWriter {
 public:
  NotingWriter(const WriterParts& parts, fs::path file)
      : CheckpointWriter(parts.config, parts.rank, parts.barrier, parts.hook), file_(std::move(file)) {}

  Task<> write(WriteJob& job) override {
    note("before " + job.commit().path.filename().string());
    co_await CheckpointWriter::write(job);
    note("after " + job.commit().path.filename().string());
  }

 private:
  void note(const std::string& line) const { std::ofstream(file_, std::ios::app) << line << '\n'; }
  const fs::path file_;
};

}  // namespace

TEST_CASE("SEED 2, 4: data file and sidecar are there before pre_commit, the manifest and the path after it") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  const fs::path record = place.file("record");
  const auto checkpointer = make(is_synchronous, place.config(), std::make_shared<RecordingHook>(record));
  checkpointer->save(place.run("a"), rich_state(), SaveOptions().step(5).metadata("loss", "2.31").metadata("b", "c"))
      .get();
  const std::string files = " rank-00000-of-00001.json rank-00000-of-00001.safetensors";
  const std::string rest = " step:5 b=c loss=2.31 rank:0/1";
  CHECK(lines_of(record) == Names{"pre a partial:" + files + " writer.lock placed:" + rest,
                                  "post a partial: placed: manifest.json" + files + rest});
}

TEST_CASE(
    "SEED 5: a failing pre_commit fails the save: nothing is committed, nothing is left, later steps are skipped") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  const auto checkpointer =
      make(is_synchronous, place.config(), std::make_shared<FailingHook>(FailingHook::When::before));
  const Saving saving = checkpointer->save(place.run("a"), rich_state());
  const Error error = error_of([&] { saving.get(); });
  CHECK(error.code() == std::errc::io_error);
  CHECK(contains(error.what(), "hook before a"));
  saving.staged().get();
  CHECK(place.names() == Names());
  CHECK_FALSE(latest_checkpoint(place.runs()));
}

TEST_CASE("a failing post_commit fails the save's future, and the checkpoint stays") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  const auto checkpointer =
      make(is_synchronous, place.config(), std::make_shared<FailingHook>(FailingHook::When::after));
  CHECK(contains(error_of([&] { checkpointer->save(place.run("a"), rich_state()).get(); }).what(), "hook after a"));
  CHECK(place.names() == Names{"a"});
  CHECK(place.leftovers() == Names());
  CHECK(checkpoint::verify_checkpoint(place.run("a")).whole());
  CHECK(latest_checkpoint(place.runs()) == place.run("a"));
}

TEST_CASE("a hook that throws what is no Error: its text comes as writer_failed") {
  Workplace place;
  class Odd final : public WriterHook {
   public:
    Task<> pre_commit(Commit) override {
      throw std::out_of_range("no such bucket");
      co_return;
    }
  };
  const auto checkpointer = make(false, place.config(), std::make_shared<Odd>());
  const Error error = error_of([&] { checkpointer->save(place.run("a"), rich_state()).get(); });
  CHECK(error.code() == Errc::writer_failed);
  CHECK(contains(error.what(), "no such bucket"));
  CHECK(place.names() == Names());
}

TEST_CASE("a writer of the user's wraps the standard one") {
  Workplace place;
  const fs::path record = place.file("record");
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<RecordingHook>(record);
  parts.checkpoint_writer_init_fn = [record](const WriterParts& of) {
    return std::make_unique<NotingWriter>(of, record);
  };
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  checkpointer->save(place.run("a"), rich_state()).get();
  Names firsts;
  for (const std::string& line : lines_of(record))
    firsts.push_back(line.substr(0, line.find(' ')));
  CHECK(firsts == Names{"before", "pre", "post", "after"});
  CHECK(checkpoint::verify_checkpoint(place.run("a")).whole());
}

TEST_CASE("a writer that commits nothing leaves nothing") {
  Workplace place;
  class Nothing final : public CheckpointWriter {
   public:
    explicit Nothing(const WriterParts& parts) : CheckpointWriter(parts.config, parts.rank) {}
    Task<> write(WriteJob& job) override { co_await job.write_files(); }
  };
  CheckpointerParts parts;
  parts.checkpoint_writer_init_fn = [](const WriterParts& of) { return std::make_unique<Nothing>(of); };
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  checkpointer->save(place.run("a"), rich_state()).get();
  CHECK(place.names() == Names());
}

}  // namespace cairn::test
