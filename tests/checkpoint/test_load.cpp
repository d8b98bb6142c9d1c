#include <cairn/reader.hpp>
#include <cairn/run.hpp>
#include <cairn/task.hpp>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;

TEST_CASE("SEED 8: a full load gives an equal tree") {
  const IoBackend backend = GENERATE(IoBackend::automatic, IoBackend::threads);
  const bool direct = GENERATE(true, false);
  TempDir dir;
  const StateDict state = rich_state();
  write_checkpoint(dir / "a", state);

  CheckpointReader reader(backend, direct);
  const StateDict loaded = reader.load(dir / "a").get();
  CHECK(loaded == state);
  std::vector<std::string> keys;
  for (const auto& [key, value] : loaded)
    keys.push_back(key);
  std::vector<std::string> expected;
  for (const auto& [key, value] : state)
    expected.push_back(key);
  CHECK(keys == expected);
  CHECK(loaded.at("model").kind() == Kind::dict);
  CHECK(loaded.at("large").as<std::uint64_t>() == std::uint64_t{1} << 63);
}

TEST_CASE("SEED 8: a load into an equal tree has no missing and no unexpected keys") {
  TempDir dir;
  const StateDict state = rich_state();
  write_checkpoint(dir / "a", state);
  StateDict target = rich_state();
  CheckpointReader reader;
  const LoadReport report = reader.load_into(dir / "a", target).get();
  CHECK(report.missing_keys.empty());
  CHECK(report.unexpected_keys.empty());
  CHECK(target == state);
}

TEST_CASE("SEED 9: a path that is not there is ENOENT and named") {
  TempDir dir;
  CheckpointReader reader;
  const Error error = error_of([&] { reader.load(dir / "absent").get(); });
  CHECK(error.code() == std::errc::no_such_file_or_directory);
  CHECK(contains(error.what(), (dir / "absent").string()));
  StateDict target;
  const Error into = error_of([&] { reader.load_into(dir / "absent", target).get(); });
  CHECK(into.code() == std::errc::no_such_file_or_directory);
}

TEST_CASE("A directory without a manifest, and a file that is no safetensors file, are no checkpoints") {
  TempDir dir;
  std::filesystem::create_directory(dir / "empty");
  write_text(dir / "file", "something");
  CheckpointReader reader;
  const Error directory = error_of([&] { reader.load(dir / "empty").get(); });
  CHECK(directory.code() == Errc::not_a_checkpoint);
  CHECK(contains(directory.what(), (dir / "empty").string()));
  CHECK(error_of([&] { reader.load(dir / "file").get(); }).code() == Errc::not_a_checkpoint);
}

TEST_CASE("SEED 10: map_location names the device of what is loaded") {
  TempDir dir;
  write_checkpoint(dir / "a", rich_state());
  CheckpointReader reader;
  const StateDict loaded = reader.load(dir / "a", LoadOptions().map_location(Device::host())).get();
  CHECK(loaded.find("model.weight")->tensor().device() == Device::host());
  const Error error = error_of([&] { reader.load(dir / "a", LoadOptions().map_location(Device::cuda(0))).get(); });
  CHECK(error.code() == Errc::bad_argument);
  CHECK(contains(error.what(), "cuda:0"));
}

TEST_CASE("SEED 11: keys select subtrees at every level of nesting") {
  TempDir dir;
  const StateDict state = rich_state();
  write_checkpoint(dir / "a", state);
  CheckpointReader reader;
  LoadOptions options;
  options.keys({"model.bias", "model.blocks[2]", "step", "model[\"layers.0.dotted\"]", "blob"});
  const StateDict loaded = reader.load(dir / "a", options).get();

  CHECK(loaded.size() == 3);
  CHECK(loaded.at("step") == state.at("step"));
  CHECK(loaded.at("blob") == state.at("blob"));
  CHECK(loaded.at("model").as<StateDict>().size() == 3);
  CHECK(*loaded.find("model.bias") == *state.find("model.bias"));
  CHECK(*loaded.find("model.layers.0.dotted") == *state.find("model.layers.0.dotted"));
  CHECK(*loaded.find("model.blocks[2]") == *state.find("model.blocks[2]"));
  CHECK(loaded.find("model.blocks[0]")->is_null());
}

TEST_CASE("SEED 11: a key that names a subtree means all of it") {
  TempDir dir;
  const StateDict state = rich_state();
  write_checkpoint(dir / "a", state);
  CheckpointReader reader;
  LoadOptions options;
  options.keys({"model", "model.bias"});
  const StateDict loaded = reader.load(dir / "a", options).get();
  CHECK(loaded.size() == 1);
  CHECK(loaded.at("model") == state.at("model"));
}

TEST_CASE("Keys that the checkpoint does not hold are an error, or left out when not strict") {
  TempDir dir;
  write_checkpoint(dir / "a", rich_state());
  CheckpointReader reader;
  LoadOptions options;
  options.keys({"step", "model.absent", "gone"});
  const Error error = error_of([&] { reader.load(dir / "a", options).get(); });
  CHECK(error.code() == Errc::missing_keys);
  CHECK(contains(error.what(), "model.absent, gone"));
  const StateDict loaded = reader.load(dir / "a", options.strict(false)).get();
  CHECK(loaded.size() == 1);
  CHECK(loaded.contains("step"));
}

TEST_CASE("SEED 13: every dtype is kept") {
  TempDir dir;
  StateDict state;
  for (unsigned number = 0; number < dtype_count; ++number) {
    const auto dtype = static_cast<DType>(number);
    const Tensor elements = Tensor::empty(dtype, std::vector<std::int64_t>{8});
    for (std::uint64_t at = 0; at < elements.size_bytes(); ++at) {
      static_cast<std::uint8_t*>(elements.mutable_data())[at] = static_cast<std::uint8_t>(number + at);
    }
    state[std::string(to_string(dtype))] = elements;
  }
  write_checkpoint(dir / "a", state);
  CheckpointReader reader;
  const StateDict loaded = reader.load(dir / "a").get();
  CHECK(loaded == state);
  CHECK(loaded.at("BF16").tensor().dtype() == DType::bf16);
}

TEST_CASE("SEED 43, 44: shared, strided, empty and scalar tensors come back with their content") {
  TempDir dir;
  const Tensor base = counted<float>({6, 4});
  float* const elements = static_cast<float*>(base.mutable_data());
  const TensorView transposed =
      tensor(elements, std::vector<std::int64_t>{4, 6}).strided(std::vector<std::int64_t>{1, 4});
  StateDict state;
  state["base"] = base;
  state["again"] = base;
  state["transposed"] = transposed;
  state["empty"] = List{counted<float>({0}), counted<float>({0, 0}), counted<float>({0, 0, 0})};
  state["scalar"] = counted<float>({}, 3.0f);
  write_checkpoint(dir / "a", state);

  CheckpointReader reader;
  const StateDict loaded = reader.load(dir / "a").get();
  CHECK(loaded == state);
  CHECK(loaded.at("base").tensor().data() == loaded.at("again").tensor().data());
}

TEST_CASE("A safetensors file that something else wrote is loaded flat, without digests") {
  TempDir dir;
  std::string header =
      R"({"a.b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"c":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  const float numbers[] = {1.5f, -2.0f};
  file += header + std::string(reinterpret_cast<const char*>(numbers), sizeof(numbers)) + "xyz";
  write_text(dir / "other.safetensors", file);

  CheckpointReader reader;
  const StateDict loaded = reader.load(dir / "other.safetensors").get();
  REQUIRE(loaded.size() == 2);
  CHECK(loaded.at("a.b").tensor() == tensor(numbers, std::vector<std::int64_t>{2}));
  CHECK(static_cast<const char*>(loaded.at("c").tensor().data())[2] == 'z');
}

TEST_CASE("A checkpoint of several ranks is refused, saying so") {
  TempDir dir;
  CheckpointText text(rich_state());
  text.world_size = 4;
  text.write(dir / "a");
  CheckpointReader reader;
  const Error error = error_of([&] { reader.load(dir / "a").get(); });
  CHECK(error.code() == Errc::bad_argument);
  CHECK(contains(error.what(), "4 ranks"));
}

TEST_CASE("What was replaced is read as long as nothing stands in its place") {
  TempDir dir;
  const StateDict state = rich_state();
  write_checkpoint(dir / "a.replaced", state);
  CheckpointReader reader;
  CHECK(reader.load(dir / "a").get() == state);
  StateDict other;
  other["new"] = 1;
  write_checkpoint(dir / "a", other);
  CHECK(reader.load(dir / "a/").get() == other);
}

TEST_CASE("Many loads at once share the buffers") {
  TempDir dir;
  StateDict state;
  state["big"] = counted<std::uint32_t>({5 << 20});
  write_checkpoint(dir / "a", state);
  CheckpointReader reader;
  std::vector<Future<StateDict>> loads;
  for (int load = 0; load < 4; ++load)
    loads.push_back(reader.load(dir / "a"));
  for (const Future<StateDict>& load : loads)
    CHECK(load.get() == state);
}

TEST_CASE("A reader that is destroyed ends its loads with Errc::closed, or after them") {
  TempDir dir;
  StateDict state;
  state["big"] = counted<std::uint32_t>({8 << 20});
  write_checkpoint(dir / "a", state);
  Future<StateDict> load;
  {
    CheckpointReader reader;
    load = reader.load(dir / "a");
  }
  REQUIRE(load.ready());
  try {
    const StateDict loaded = load.get();
    CHECK(loaded == state);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::closed);
  }
}

namespace {

Task<void> load_twice(CheckpointReader& reader, std::filesystem::path path, StateDict& target, bool& equal) {
  LoadOptions options;
  options.strict(false);
  const LoadReport report = co_await reader.load_into(path, target, options);
  const StateDict loaded = co_await reader.load(path, LoadOptions().verify(false));
  equal = loaded == target && report.missing_keys.empty();
}

}  // namespace

TEST_CASE("Loads are awaited in a Task") {
  TempDir dir;
  write_checkpoint(dir / "a", rich_state());
  CheckpointReader reader;
  StateDict target;
  bool equal = false;
  run(load_twice(reader, dir / "a", target, equal));
  CHECK(equal);
}
