#include <algorithm>
#include <cairn/reader.hpp>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;

namespace {

/// One checkpoint of rich_state(), and loads into other targets.
class Loaded {
 public:
  Loaded() { write_checkpoint(dir_ / "a", state); }

  LoadReport into(StateDict& target, const LoadOptions& options = LoadOptions()) {
    return reader_.load_into(dir_ / "a", target, options).get();
  }

  const StateDict state = rich_state();

 private:
  TempDir dir_;
  CheckpointReader reader_;
};

LoadOptions not_strict() {
  return LoadOptions().strict(false);
}

}  // namespace

TEST_CASE("SEED 11: a target selects what is loaded, at every level of nesting") {
  Loaded loaded;
  StateDict target;
  target["model"]["bias"] = blank_like(loaded.state.find("model.bias")->tensor());
  target["step"] = 0;
  const LoadReport report = loaded.into(target);
  CHECK(target.size() == 2);
  CHECK(target.at("model").as<StateDict>().size() == 1);
  CHECK(*target.find("model.bias") == *loaded.state.find("model.bias"));
  CHECK(target.at("step").as<std::int64_t>() == 1200);
  CHECK(report.missing_keys.empty());
  const std::vector<std::string>& unexpected = report.unexpected_keys;
  CHECK(std::count(unexpected.begin(), unexpected.end(), "model.weight") == 1);
  CHECK(std::count(unexpected.begin(), unexpected.end(), "model[\"layers.0.dotted\"]") == 1);
  CHECK(std::count(unexpected.begin(), unexpected.end(), "lr") == 1);
}

TEST_CASE("SEED 11: an empty target means the whole subtree") {
  Loaded loaded;
  SECTION("the outermost") {
    StateDict target;
    const LoadReport report = loaded.into(target);
    CHECK(target == loaded.state);
    CHECK(report.unexpected_keys.empty());
  }
  SECTION("an empty StateDict, or null, inside") {
    StateDict target;
    target["model"] = StateDict();
    target["blob"] = nullptr;
    loaded.into(target);
    CHECK(target.size() == 2);
    CHECK(target.at("model") == loaded.state.at("model"));
    CHECK(target.at("blob") == loaded.state.at("blob"));
  }
  SECTION("with keys") {
    StateDict target;
    LoadOptions options;
    options.keys({"model.bias"});
    loaded.into(target, options);
    CHECK(target.size() == 1);
    CHECK(target.at("model").as<StateDict>().size() == 1);
    CHECK(*target.find("model.bias") == *loaded.state.find("model.bias"));
  }
}

TEST_CASE("SEED 12: tensor targets are filled in place") {
  Loaded loaded;
  std::vector<float> weight(300 * 1000, -1.0f);
  StateDict target;
  target["model"]["weight"] = tensor(weight.data(), std::vector<std::int64_t>{300, 1000});
  const Value* const before = target.find("model.weight");
  loaded.into(target);
  CHECK(target.find("model.weight") == before);
  CHECK(target.find("model.weight")->tensor().data() == weight.data());
  for (std::size_t at = 0; at < weight.size(); ++at) {
    if (weight[at] != static_cast<float>(at)) FAIL("element " << at << " is " << weight[at]);
  }
}

TEST_CASE("SEED 12: strided targets are filled where their elements are") {
  Loaded loaded;
  // Column-major memory, and a border that must stay.
  std::vector<float> memory(301 * 1001, -1.0f);
  StateDict target;
  target["model"]["weight"] =
      tensor(memory.data() + 1, std::vector<std::int64_t>{300, 1000}).strided(std::vector<std::int64_t>{1, 301});
  loaded.into(target);
  CHECK(*target.find("model.weight") == *loaded.state.find("model.weight"));
  CHECK(memory[0] == -1.0f);
  for (std::size_t column = 1; column < 1000; ++column)
    CHECK(memory[column * 301] == -1.0f);
}

TEST_CASE("Nothing is loaded into const memory, nor where elements share memory") {
  Loaded loaded;
  const std::vector<float> fixed(4);
  float one = 0;
  StateDict target;
  SECTION("const") {
    target["model"]["blocks"] = List{tensor(fixed.data(), std::vector<std::int64_t>{4})};
  }
  SECTION("a broadcast") {
    target["model"]["blocks"] = List{tensor(&one, std::vector<std::int64_t>{4}).strided(std::vector<std::int64_t>{0})};
  }
  const Error error = error_of([&] { loaded.into(target); });
  CHECK(error.code() == Errc::bad_argument);
  CHECK(contains(error.what(), "model.blocks[0]"));
  CHECK(one == 0);
}

TEST_CASE("SEED 14: missing keys are listed as paths, a missing subtree under its own key; the target's value stays") {
  Loaded loaded;
  StateDict target;
  target["absent"]["below"] = 1;
  target["model"]["absent"] = 2.5;
  target["model"]["blocks"] = List{nullptr, nullptr, nullptr, "beyond the end"};
  target["model"]["a.b"] = "text";
  target["step"] = 0;
  const LoadReport report = loaded.into(target, not_strict());
  CHECK(report.missing_keys == std::vector<std::string>{"absent", "model.absent", "model.blocks[3]", "model[\"a.b\"]"});
  CHECK(target.find("absent.below")->as<std::int64_t>() == 1);
  CHECK(target.find("model.absent")->as<double>() == 2.5);
  CHECK(target.find("model.blocks[3]")->as<std::string>() == "beyond the end");
  CHECK(target.at("step").as<std::int64_t>() == 1200);
  CHECK(*target.find("model.blocks[2]") == *loaded.state.find("model.blocks[2]"));
}

TEST_CASE("SEED 15: strict with missing keys is an error that names path and keys, before any target is touched") {
  Loaded loaded;
  StateDict target;
  const Tensor bias = blank_like(loaded.state.find("model.bias")->tensor());
  const Tensor untouched = blank_like(bias);
  target["step"] = 5;
  target["model"]["bias"] = bias;
  target["model"]["absent"] = 1;
  target["gone"] = "x";
  const Error error = error_of([&] { loaded.into(target); });
  CHECK(error.code() == Errc::missing_keys);
  CHECK(contains(error.what(), "/a:"));
  CHECK(contains(error.what(), "model.absent, gone"));
  CHECK(target.at("step").as<std::int64_t>() == 5);
  CHECK(bias == untouched);

  CHECK(loaded.into(target, not_strict()).missing_keys.size() == 2);
  CHECK(target.at("step").as<std::int64_t>() == 1200);
  CHECK(Value(bias) == *loaded.state.find("model.bias"));
}

TEST_CASE("SEED 16: another shape or dtype is an error that names both and the key, strict or not") {
  Loaded loaded;
  const bool strict = GENERATE(true, false);
  StateDict target;
  target["step"] = 5;
  Errc expected = Errc::shape_mismatch;
  std::vector<std::string> named;
  SECTION("shape") {
    target["model"]["bias"] = counted<double>({999});
    named = {"model.bias", "[999]", "[1000]"};
  }
  SECTION("the same number of elements in another shape") {
    target["model"]["weight"] = counted<float>({1000, 300});
    named = {"model.weight", "[1000, 300]", "[300, 1000]"};
  }
  SECTION("dtype") {
    target["model"]["bias"] = counted<float>({1000});
    expected = Errc::dtype_mismatch;
    named = {"model.bias", "F32", "F64"};
  }
  SECTION("a dtype of the same size") {
    target["model"]["layers.0.dotted"] = counted<double>({3});
    expected = Errc::dtype_mismatch;
    named = {"model[\"layers.0.dotted\"]", "F64", "I64"};
  }
  const Error error = error_of([&] { loaded.into(target, LoadOptions().strict(strict)); });
  CHECK(error.code() == expected);
  for (const std::string& name : named) {
    INFO(error.what());
    CHECK(contains(error.what(), name));
  }
  CHECK(target.at("step").as<std::int64_t>() == 5);
}

TEST_CASE("SEED 17: another kind is an error that names both and the key") {
  Loaded loaded;
  const bool strict = GENERATE(true, false);
  StateDict target;
  target["flag"] = false;
  std::string key;
  SECTION("a list in place of a tensor") {
    target["model"]["bias"] = List{1, 2};
    key = "model.bias is List in the target and tensor in the checkpoint";
  }
  SECTION("a tensor in place of a list") {
    target["model"]["blocks"] = counted<float>({3});
    key = "model.blocks is tensor in the target and List in the checkpoint";
  }
  SECTION("a StateDict in place of a scalar") {
    target["step"]["inner"] = 1;
    key = "step is StateDict in the target and int64 in the checkpoint";
  }
  SECTION("a string in place of a number") {
    target["lr"] = "0.1";
    key = "lr is string in the target and double in the checkpoint";
  }
  SECTION("a tensor in place of Bytes") {
    target["blob"] = counted<std::uint8_t>({5000});
    key = "blob is tensor in the target and Bytes in the checkpoint";
  }
  const Error error = error_of([&] { loaded.into(target, LoadOptions().strict(strict)); });
  CHECK(error.code() == Errc::kind_mismatch);
  INFO(error.what());
  CHECK(contains(error.what(), key));
  CHECK(target.at("flag").as<bool>() == false);
}

TEST_CASE("SEED 18: the longer list wins, and an absent item takes the source") {
  Loaded loaded;
  StateDict target;
  SECTION("shorter, and null items") {
    target["model"]["blocks"] = List{nullptr};
    const LoadReport report = loaded.into(target);
    CHECK(report.missing_keys.empty());
    CHECK(target.find("model.blocks")->as<List>() == loaded.state.find("model.blocks")->as<List>());
  }
  SECTION("empty") {
    target["model"]["blocks"] = List();
    loaded.into(target);
    CHECK(target.find("model.blocks")->as<List>() == loaded.state.find("model.blocks")->as<List>());
  }
  SECTION("longer") {
    target["model"]["blocks"] = List{nullptr, "x", nullptr, 4};
    const LoadReport report = loaded.into(target, not_strict());
    CHECK(report.missing_keys == std::vector<std::string>{"model.blocks[3]"});
    CHECK(target.find("model.blocks")->as<List>().size() == 4);
    CHECK(target.find("model.blocks[1]")->as<std::string>() == "between");
    CHECK(target.find("model.blocks[3]")->as<std::int64_t>() == 4);
  }
}

TEST_CASE("An integer may be signed in the target and too large for it in the checkpoint") {
  Loaded loaded;
  StateDict target;
  target["large"] = 0;
  loaded.into(target);
  CHECK(target.at("large").as<std::uint64_t>() == std::uint64_t{1} << 63);
}

TEST_CASE("With keys, the rest of the target is let alone and not missed") {
  Loaded loaded;
  StateDict target;
  target["step"] = 1;
  target["flag"] = false;
  target["own"] = "mine";
  target["model"]["bias"] = blank_like(loaded.state.find("model.bias")->tensor());
  target["model"]["absent"] = 7;
  LoadOptions options;
  options.keys({"step", "model.bias", "lr"});
  const LoadReport report = loaded.into(target, options);
  CHECK(target.at("step").as<std::int64_t>() == 1200);
  CHECK(target.at("flag").as<bool>() == false);
  CHECK(*target.find("model.bias") == *loaded.state.find("model.bias"));
  CHECK(report.missing_keys.empty());
  CHECK(report.unexpected_keys == std::vector<std::string>{"lr"});

  options.keys({"own"});
  CHECK(error_of([&] { loaded.into(target, options); }).code() == Errc::missing_keys);
  CHECK(loaded.into(target, options.strict(false)).missing_keys == std::vector<std::string>{"own"});
}

TEST_CASE("Targets that are one memory under two names are both filled") {
  TempDir dir;
  const Tensor stored = counted<float>({1000});
  StateDict state;
  state["a"] = stored;
  state["b"] = stored;
  write_checkpoint(dir / "a", state);
  const Tensor first = blank_like(stored);
  const Tensor second = blank_like(stored);
  StateDict target;
  target["a"] = first;
  target["b"] = second;
  CheckpointReader reader;
  const LoadReport report = reader.load_into(dir / "a", target).get();
  CHECK(first == stored);
  CHECK(second == stored);
  CHECK(report.unexpected_keys.empty());
}
