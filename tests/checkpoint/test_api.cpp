#include <cairn/cairn.hpp>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/test_hooks.hpp"
#include "checkpoint/support/workplace.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

// Every call of the public face, awaited as users write it. g++ 12 destroys temporaries twice in some co_await
// expressions; Tracked, which is in the frames and in the arguments here, and the sanitizers would see it.

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

/// A state whose tensor's memory is kept alive by a Tracked.
StateDict tracked_state(int value) {
  auto memory = std::make_shared<std::pair<Tracked, std::vector<float>>>(Tracked(value), std::vector<float>(100));
  std::fill(memory->second.begin(), memory->second.end(), static_cast<float>(value));
  const TensorView view = tensor(memory->second.data(), {10, 10});
  StateDict state;
  state["tensor"] = Tensor::adopt(view, memory);
  state["value"] = value;
  return state;
}

float element_of(const StateDict& state) {
  return static_cast<const float*>(state.at("tensor").tensor().data())[99];
}

Task<int> save_in_every_way(Checkpointer& checkpointer, fs::path runs) {
  const Tracked witness(1);
  const StateDict state = tracked_state(3);
  std::stop_source stop;

  co_await checkpointer.save(runs / "plain", state);
  co_await checkpointer.save(runs / "temporary", tracked_state(4));
  co_await checkpointer.save(runs / "options", state, SaveOptions().step(7).metadata("loss", "2.31"));
  co_await checkpointer.save((runs / "string").string(), state,
                             SaveOptions().step(8).keep_last(50).stop_token(stop.get_token()));
  co_await checkpointer.save(runs / "staged", state).staged();
  co_await checkpointer.save(runs / "committed", state).committed();

  auto saving = checkpointer.save(runs / "named", state);
  co_await saving.staged();
  co_await saving.staged();
  co_await saving;
  co_await saving.committed();

  std::map<std::string, std::string> metadata;
  metadata["a"] = "b";
  co_await checkpointer.save(runs / "map", state, SaveOptions().metadata(metadata).metadata("c", "d"));
  const SaveProgress progress = saving.progress();
  co_return witness.value() + (progress.phase == SavePhase::committed ? 1 : 0);
}

Task<int> load_in_every_way(Checkpointer& checkpointer, fs::path runs) {
  const Tracked witness(1);
  const StateDict whole = co_await checkpointer.load(runs / "plain");
  CHECK(whole == tracked_state(3));
  const StateDict temporary = co_await checkpointer.load(runs / "temporary");
  CHECK(temporary == tracked_state(4));

  std::vector<std::string> keys(1, "value");
  const StateDict part =
      co_await checkpointer.load(runs / "plain", LoadOptions().keys(keys).verify(false).map_location(Device::host()));
  CHECK(part.size() == 1);

  StateDict target = tracked_state(0);
  const LoadReport report = co_await checkpointer.load_into(runs / "plain", target);
  CHECK(report.missing_keys.empty());
  CHECK(element_of(target) == 3.0f);
  target["more"] = nullptr;
  const LoadReport loose = co_await checkpointer.load_into(runs / "temporary", target, LoadOptions().strict(false));
  CHECK(element_of(target) == 4.0f);
  CHECK(loose.missing_keys == std::vector<std::string>{"more"});
  co_return witness.value();
}

Task<int> errors_come_through(Checkpointer& checkpointer, fs::path runs) {
  const Tracked witness(1);
  int caught = 0;
  try {
    co_await checkpointer.load(runs / "absent");
  } catch (const Error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) ++caught;
  }
  try {
    co_await checkpointer.save("", tracked_state(1), SaveOptions().metadata("a", "b"));
  } catch (const Error& error) {
    if (error.code() == Errc::bad_argument) ++caught;
  }
  StateDict bad = tracked_state(1);
  bad["__metadata__"] = 1;
  try {
    co_await checkpointer.save(runs / "bad", bad).staged();
  } catch (const Error& error) {
    if (error.code() == Errc::bad_argument) ++caught;
  }
  co_await checkpointer.close();
  co_return caught* witness.value();
}

Task<int> use_everything(Checkpointer& checkpointer, fs::path runs) {
  int sum = co_await save_in_every_way(checkpointer, runs);
  sum += co_await load_in_every_way(checkpointer, runs);
  sum += co_await errors_come_through(checkpointer, runs);
  co_return sum;
}

Task<> standalone(fs::path runs) {
  CheckpointReader reader;
  const StateDict whole = co_await reader.load(runs / "plain");
  StateDict target = tracked_state(0);
  co_await reader.load_into(runs / "plain", target, LoadOptions().verify(true));
  CHECK(target == whole);
  DefaultStager stager;
  const StateDict staged = co_await stager.stage(whole);
  CHECK(staged == whole);
}

Foreign await_saving(Saving saving, std::promise<std::thread::id> done) {
  co_await saving;
  done.set_value(std::this_thread::get_id());
}

Foreign await_load(Future<StateDict> loading, std::promise<float> done) {
  const StateDict state = co_await loading;
  done.set_value(element_of(state));
}

Foreign await_failure(Future<> future, std::promise<Errc> done) {
  Errc code = Errc::damaged;
  try {
    co_await future;
  } catch (const Error& error) {
    code = static_cast<Errc>(error.code().value());
  }
  done.set_value(code);
}

Foreign destroy_after(Saving saving, std::unique_ptr<Checkpointer> checkpointer, std::promise<void> done) {
  co_await saving;
  checkpointer.reset();
  done.set_value();
}

Foreign close_and_destroy(std::unique_ptr<Checkpointer> checkpointer, std::promise<void> done) {
  co_await checkpointer->close();
  checkpointer.reset();
  done.set_value();
}

std::unique_ptr<Checkpointer> make(bool is_synchronous, CheckpointerConfig config) {
  if (is_synchronous) return make_sync_checkpointer(std::move(config));
  return make_async_checkpointer(std::move(config));
}

}  // namespace

TEST_CASE("every public call may be awaited, and everything in it is destroyed once") {
  Workplace place;
  Tracked::reset();
  {
    const auto checkpointer = make(GENERATE(false, true), place.config());
    CHECK(run(use_everything(*checkpointer, place.runs())) == 2 + 1 + 3);
    run(standalone(place.runs()));
  }
  CHECK(Tracked::constructed() > 10);
  CHECK(Tracked::alive() == 0);
  CHECK(place.names() ==
        std::vector<std::string>{"committed", "map", "named", "options", "plain", "staged", "string", "temporary"});
}

TEST_CASE("a thread without coroutines uses the same calls") {
  Workplace place;
  const auto checkpointer = make(GENERATE(false, true), place.config());
  const StateDict state = tracked_state(5);
  checkpointer->save(place.run("a"), state).staged().get();
  checkpointer->save(place.run("b"), state, SaveOptions().step(1)).get();
  const Saving saving = checkpointer->save(place.run("c"), state);
  std::thread elsewhere([copy = saving] { copy.get(); });
  elsewhere.join();
  CHECK(saving.committed().wait_for(std::chrono::seconds(60)));
  CHECK(checkpointer->load(place.run("b")).get() == state);
  StateDict target = tracked_state(0);
  CHECK(checkpointer->load_into(place.run("c"), target).get().unexpected_keys.empty());
  CHECK(element_of(target) == 5.0f);
  checkpointer->close().get();
}

TEST_CASE("a Saving of nothing is a bad argument") {
  const Saving nothing;
  CHECK(error_of([&] { (void)nothing.staged(); }).code() == Errc::bad_argument);
  CHECK(error_of([&] { (void)nothing.progress(); }).code() == Errc::bad_argument);
}

TEST_CASE("coroutines of a type that cairn has never seen await saves and loads") {
  Workplace place;
  const auto checkpointer = make_async_checkpointer(place.config());
  for (int round = 0; round < 20; ++round) {
    std::promise<std::thread::id> saved;
    auto on_thread = saved.get_future();
    await_saving(checkpointer->save(place.run("a"), tracked_state(round)), std::move(saved));
    on_thread.get();
    std::promise<float> loaded;
    auto element = loaded.get_future();
    await_load(checkpointer->load(place.run("a")), std::move(loaded));
    CHECK(element.get() == static_cast<float>(round));
  }
  checkpointer->close().get();
  std::promise<Errc> failed;
  auto code = failed.get_future();
  await_failure(checkpointer->save(place.run("b"), tracked_state(1)).committed(), std::move(failed));
  CHECK(code.get() == Errc::closed);
}

TEST_CASE("a foreign coroutine may destroy the checkpointer on the callback thread") {
  Workplace place;
  const bool is_synchronous = GENERATE(false, true);
  for (int round = 0; round < 10; ++round) {
    std::promise<void> done;
    auto ended = done.get_future();
    auto checkpointer = make(is_synchronous, place.config());
    if (round % 2 == 0) {
      const Saving saving = checkpointer->save(place.run("a"), tracked_state(round));
      destroy_after(saving, std::move(checkpointer), std::move(done));
    } else {
      checkpointer->save(place.run("a"), tracked_state(round));
      close_and_destroy(std::move(checkpointer), std::move(done));
    }
    ended.get();
    CHECK(CheckpointReader().load(place.run("a")).get() == tracked_state(round));
    CHECK(place.leftovers() == std::vector<std::string>());
  }
}

TEST_CASE("savings and futures may be dropped, and outlive their checkpointer") {
  Workplace place;
  Saving saving;
  Future<StateDict> loading;
  {
    const auto checkpointer = make_async_checkpointer(place.config());
    checkpointer->save(place.run("dropped"), tracked_state(1));
    saving = checkpointer->save(place.run("a"), tracked_state(2));
    loading = checkpointer->load(place.run("dropped"));
    saving.get();
    const Future<> dropped = checkpointer->close();
  }
  saving.get();
  CHECK(saving.progress().phase == SavePhase::committed);
  CHECK(CheckpointReader().load(place.run("dropped")).get() == tracked_state(1));
  CHECK(loading.ready());
}

}  // namespace cairn::test
