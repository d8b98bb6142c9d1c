#include <signal.h>
#include <unistd.h>

#include <algorithm>
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
#include "format/manifest.hpp"
#include "support/catch.hpp"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

const Names checkpoint_files = {"manifest.json", "rank-00000-of-00001.json", "rank-00000-of-00001.safetensors"};

StateDict load(const fs::path& path) {
  return CheckpointReader().load(path).get();
}

bool is_whole(const fs::path& path) {
  return names_in(path) == checkpoint_files && checkpoint::verify_checkpoint(path).whole();
}

std::int64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::int64_t kib = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> kib;
  }
  return kib;
}

std::size_t descriptors_of(pid_t pid) {
  return names_in("/proc/" + std::to_string(pid) + "/fd").size();
}

}  // namespace

TEST_CASE("SEED 1, 20, 21: successive saves make their directories and land each with its own content") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  std::unique_ptr<Checkpointer> checkpointer;
  if (is_synchronous) {
    checkpointer = make_sync_checkpointer(place.config());
  } else {
    checkpointer = make_async_checkpointer(place.config());
  }
  UniformState model(std::int64_t{3} << 20);
  for (std::int64_t step = 1; step <= 4; ++step) {
    model.fill(step);
    const Saving saving = checkpointer->save(place.run("a/b/step-" + std::to_string(step)), model.state());
    saving.staged().get();
    CHECK((saving.progress().phase == SavePhase::writing || saving.progress().phase == SavePhase::committed));
  }
  checkpointer->close().get();
  model.fill(0);
  for (std::int64_t step = 1; step <= 4; ++step) {
    const fs::path path = place.run("a/b/step-" + std::to_string(step));
    CHECK(is_whole(path));
    CheckpointReader().load_into(path, model.state()).get();
    CHECK(model.step() == step);
    CHECK(model.is_uniform());
  }
  CHECK(names_in(place.run("a/b")) == Names{"step-1", "step-2", "step-3", "step-4"});
}

TEST_CASE("SEED 7: a synchronous save is on disk, and its futures ready, when it returns") {
  Workplace place;
  const auto checkpointer = make_sync_checkpointer(place.config());
  const StateDict state = rich_state();
  const Saving saving = checkpointer->save(place.run("a"), state);
  CHECK(saving.staged().ready());
  CHECK(saving.committed().ready());
  saving.get();
  CHECK(is_whole(place.run("a")));
  CHECK(load(place.run("a")) == state);
  CHECK(saving.progress().phase == SavePhase::committed);
  CHECK(saving.progress().bytes_written == saving.progress().bytes_total);
  CHECK(saving.progress().bytes_total == fs::file_size(place.run("a") / "rank-00000-of-00001.safetensors"));
}

TEST_CASE("SEED 3, 26: without hook and barrier the builders give working checkpointers") {
  Workplace place;
  const StateDict state = rich_state();
  {
    const auto checkpointer = make_async_checkpointer();
    CHECK(checkpointer->process().alive());
    CHECK(checkpointer->process().worker_pid() > 0);
    checkpointer->save(place.run("async"), state).get();
    CHECK(checkpointer->load(place.run("async")).get() == state);
    checkpointer->close().get();
    CHECK_FALSE(checkpointer->process().alive());
  }
  {
    const auto checkpointer = make_sync_checkpointer();
    checkpointer->save(place.run("sync"), state).get();
    CHECK(checkpointer->load(place.run("sync")).get() == state);
    checkpointer->close().get();
  }
  CHECK(is_whole(place.run("async")));
  CHECK(is_whole(place.run("sync")));
}

TEST_CASE("SEED 41, 42: sources changed after staging, and later saves, change nothing that was staged before") {
  Workplace place;
  const auto config = place.config();
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(place.file("gate"));
  const auto checkpointer = make_async_checkpointer(config, std::move(parts));
  UniformState model(std::int64_t{9} << 20);
  model.fill(1);
  const Saving first = checkpointer->save(place.run("one"), model.state());
  first.staged().get();
  model.fill(2);  // while the first is not committed: its hook waits
  const Saving second = checkpointer->save(place.run("two"), model.state());
  CHECK_FALSE(first.committed().ready());
  make_file(place.file("gate"));
  second.staged().get();
  model.fill(3);
  checkpointer->close().get();
  for (const std::int64_t step : {1, 2}) {
    CheckpointReader().load_into(place.run(step == 1 ? "one" : "two"), model.state()).get();
    CHECK(model.step() == step);
    CHECK(model.is_uniform());
  }
}

TEST_CASE("SEED 43, 44: strided views, views of the same bytes, empty tensors, scalars and bytes come back") {
  Workplace place;
  std::vector<float> memory(24);
  for (std::size_t at = 0; at < memory.size(); ++at)
    memory[at] = static_cast<float>(at);
  StateDict state;
  state["whole"] = tensor(memory.data(), {4, 6});
  state["again"] = tensor(memory.data(), {4, 6});
  state["columns"] = tensor(memory.data(), {6, 4}).strided({1, 6});
  state["some"] = tensor(memory.data() + 1, {2, 3}).strided({12, 2});
  state["empty"]["0"] = Tensor::empty(DType::f32, {0});
  state["empty"]["00"] = Tensor::empty(DType::bf16, {0, 0});
  state["empty"]["000"] = Tensor::empty(DType::i64, {0, 0, 0});
  state["scalar"] = counted<double>({}, 2.5);
  state["fp4"] = Tensor::empty(DType::f4, {4, 2});
  std::fill_n(static_cast<std::uint8_t*>(state["fp4"].as<Tensor>().mutable_data()), 4, std::uint8_t{0x5a});
  state["flag"] = counted<bool>({2});
  state["blob"] = Bytes(3, std::byte{1});
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("a"), state).get();
  const StateDict loaded = load(place.run("a"));
  CHECK(loaded == state);
  // Two leaves that view the same bytes in the same way are stored once, and are one again.
  CHECK(loaded.at("whole").tensor().data() == loaded.at("again").tensor().data());
}

TEST_CASE("states without tensors, and an empty one, are saved and come back") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  StateDict scalars;
  scalars["step"] = 7;
  scalars["nested"]["list"] = List{1, "two", nullptr};
  checkpointer->save(place.run("scalars"), scalars).get();
  checkpointer->save(place.run("nothing"), StateDict()).get();
  checkpointer->save(place.run("tensors"), rich_state()).get();
  checkpointer->save(place.run("scalars again"), scalars).get();
  CHECK(load(place.run("scalars")) == scalars);
  CHECK(load(place.run("nothing")) == StateDict());
  CHECK(load(place.run("scalars again")) == scalars);
  CHECK(is_whole(place.run("nothing")));
}

TEST_CASE("two thousand tensors come back") {
  Workplace place;
  StateDict state;
  for (int at = 0; at < 2000; ++at)
    state["layer " + std::to_string(at % 40)][std::to_string(at)] = counted<std::int32_t>({at % 7, 3}, at);
  const auto checkpointer = make_async_checkpointer(place.config());
  checkpointer->save(place.run("a"), state).get();
  CHECK(load(place.run("a")) == state);
}

TEST_CASE("a state larger than staging_bytes_max streams through, and is the same") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  CheckpointerConfig config = place.config();
  config.staging.staging_bytes_max = std::uint64_t{8} << 20;
  std::unique_ptr<Checkpointer> checkpointer;
  if (is_synchronous) {
    checkpointer = make_sync_checkpointer(config);
  } else {
    checkpointer = make_async_checkpointer(config);
  }
  StateDict state;
  state["large"] = counted<std::int64_t>({(std::int64_t{30} << 20) / 8 + 5});
  state["small"] = rich_state();
  for (const char* const name : {"first", "second"}) {
    checkpointer->save(place.run(name), state).get();
    CHECK(is_whole(place.run(name)));
    CHECK(load(place.run(name)) == state);
  }
}

TEST_CASE("SEED 48: after the third, saves grow neither memory nor descriptors nor threads") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.max_in_flight = 2;
  const auto checkpointer = make_async_checkpointer(config);
  UniformState model(std::int64_t{8} << 20);
  const auto save = [&](std::int64_t step) {
    model.fill(step);
    checkpointer->save(place.run("step-" + std::to_string(step % 3)), model.state(), SaveOptions().step(step)).get();
  };
  for (std::int64_t step = 1; step <= 3; ++step)
    save(step);
  const std::int64_t memory = resident_kib();
  const std::size_t descriptors = descriptors_of(::getpid());
  const std::size_t descriptors_of_worker = descriptors_of(checkpointer->process().worker_pid());
  const int threads = thread_count();
  for (std::int64_t step = 4; step <= 40; ++step)
    save(step);
  CHECK(descriptors_of(::getpid()) == descriptors);
  CHECK(descriptors_of(checkpointer->process().worker_pid()) == descriptors_of_worker);
  CHECK(thread_count() == threads);
  CHECK(resident_kib() < memory + 8 * 1024);  // less than one of the 37 states
}

TEST_CASE("making and closing checkpointers again and again leaves no process, descriptor or thread") {
  Workplace place;
  const auto threads = thread_count();  // a sanitizer has one of its own
  std::size_t descriptors = 0;
  for (int round = 0; round < 5; ++round) {
    {
      const auto checkpointer = make_async_checkpointer(place.config());
      checkpointer->save(place.run("a"), rich_state()).get();
      if (round % 2 == 0) checkpointer->close().get();
    }
    CHECK(eventually([&] { return thread_count() == threads; }));
    if (round == 0) descriptors = descriptors_of(::getpid());
    CHECK(descriptors_of(::getpid()) == descriptors);
  }
  CHECK(place.leftovers() == Names());
}

TEST_CASE("nothing of the user's that is named like a save under way is taken or removed") {
  Workplace place;
  const auto checkpointer = make_sync_checkpointer(place.config());
  CHECK(error_of([&] { checkpointer->save(place.run("best.replaced"), rich_state()).get(); }).code() ==
        Errc::bad_argument);
  fs::create_directory(place.run("best.replaced"));
  std::ofstream(place.run("best.replaced") / "notes.txt") << "mine";
  checkpointer->save(place.run("best"), rich_state()).get();
  checkpointer->save(place.run("best"), rich_state()).get();
  CHECK(fs::exists(place.run("best.replaced") / "notes.txt"));
}

TEST_CASE("metadata and step stand in the manifest; a relative path is made absolute at the call") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  const fs::path before = fs::current_path();
  fs::current_path(place.runs());
  const Saving saving = checkpointer->save(
      "relative/", rich_state(), SaveOptions().step(12).metadata("loss", "2.31").metadata({{"a", "b"}, {"c", "d"}}));
  fs::current_path(before);
  saving.get();
  std::ifstream in(place.run("relative") / "manifest.json");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const format::Manifest manifest = format::parse_manifest(text, "manifest.json");
  CHECK(manifest.step == 12);
  CHECK(manifest.metadata == std::map<std::string, std::string>{{"a", "b"}, {"c", "d"}, {"loss", "2.31"}});
  CHECK(manifest.world_size == 1);
  CHECK(manifest.files.size() == 2);
}

TEST_CASE("SEED 51: an unknown barrier type is an error that lists the known ones, and so is none for two ranks") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.barrier.barrier_type = "smoke signals";
  const Error unknown = error_of([&] { make_async_checkpointer(config); });
  CHECK(unknown.code() == Errc::bad_argument);
  CHECK(contains(unknown.what(), "smoke signals"));
  CHECK(contains(unknown.what(), "known:"));
  CHECK(error_of([&] { make_sync_checkpointer(config); }).code() == Errc::bad_argument);

  CheckpointerParts parts;
  parts.rank_info = RankInfo{1, 2};
  CHECK(error_of([&] { make_async_checkpointer(place.config(), parts); }).code() == Errc::bad_argument);
  CHECK(error_of([&] { make_sync_checkpointer(place.config(), parts); }).code() == Errc::bad_argument);
}

TEST_CASE("SEED 51: no barrier type means none") {
  Workplace place;
  CheckpointerConfig config = place.config();
  config.barrier.barrier_type = GENERATE(std::string(), std::string("none"));
  const auto checkpointer = make_async_checkpointer(config);
  checkpointer->save(place.run("a"), rich_state()).get();
  CHECK(is_whole(place.run("a")));
}

TEST_CASE("SEED 33: a worker killed in the middle of a save is replaced, and the save is whole") {
  Workplace place;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(place.file("gate"));
  const auto checkpointer = make_async_checkpointer(place.config(), std::move(parts));
  UniformState model(std::int64_t{9} << 20);
  model.fill(4);
  const Saving saving = checkpointer->save(place.run("a"), model.state());
  REQUIRE(eventually([&] { return fs::exists(GateHook::reached(place.file("gate"))); }));
  const pid_t worker = checkpointer->process().worker_pid();
  REQUIRE(::kill(worker, SIGKILL) == 0);
  make_file(place.file("gate"));
  saving.get();
  CHECK(checkpointer->process().worker_pid() != worker);
  CHECK(is_whole(place.run("a")));
  CHECK(place.leftovers() == Names());
  checkpointer->save(place.run("b"), model.state()).get();
  CHECK(is_whole(place.run("b")));
}

TEST_CASE("the supervisor and its worker killed: the save fails, and the next one has new ones") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  UniformState model(std::int64_t{9} << 20);
  checkpointer->save(place.run("a"), model.state()).get();
  const pid_t supervisor = checkpointer->process().pid();
  REQUIRE(::kill(-supervisor, SIGKILL) == 0);
  // It may be given to the dead process, whose death is not seen yet, or to the next one.
  const Saving between = checkpointer->save(place.run("b"), model.state());
  try {
    between.get();
    CHECK(is_whole(place.run("b")));
  } catch (const Error& error) {
    CHECK(error.code() == Errc::executor_died);
  }
  checkpointer->save(place.run("c"), model.state()).get();
  CHECK(is_whole(place.run("c")));
  CHECK(checkpointer->process().pid() != supervisor);
  checkpointer->close().get();
  CHECK(place.leftovers() == Names());
}

}  // namespace cairn::test
