#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cairn/error.hpp"
#include "file_bytes.hpp"
#include "format/plan.hpp"
#include "support/catch.hpp"

using cairn::Bytes;
using cairn::Device;
using cairn::DType;
using cairn::Errc;
using cairn::Error;
using cairn::List;
using cairn::StateDict;
using cairn::Tensor;
using cairn::Value;
using cairn::format::Header;
using cairn::format::Plan;
using cairn::format::take;
using cairn::format::take_if_matches;
using cairn::test::file_of;
using cairn::test::header_of;
using cairn::test::load;

namespace {

std::string refusal(const StateDict& state) {
  try {
    file_of(state);
  } catch (const Error& error) {
    return error.code() == Errc::bad_argument ? error.context() : "other code: " + std::string(error.what());
  }
  return "accepted";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& entry : header_of(file_of(state)).entries)
    names.push_back(entry.name);
  return names;
}

}  // namespace

TEST_CASE("plan: tensors lie by falling alignment and then name, aligned, the data on a page") {
  std::vector<double> memory(64);
  void* data = memory.data();
  StateDict state;
  state["z"] = cairn::tensor(data, DType::u8, {3});
  state["a"] = cairn::tensor(data, DType::f4, {6});
  state["h"] = cairn::tensor(data, DType::bf16, {5});
  state["m"]["y"] = cairn::tensor(data, DType::f32, {3});
  state["m"]["x"] = cairn::tensor(data, DType::i32, {1});
  state["d"] = cairn::tensor(data, DType::f64, {2});
  state["c"] = cairn::tensor(data, DType::c64, {1});
  const std::string file = file_of(state);
  const Header header = header_of(file);
  CHECK(header.header_bytes % 4096 == 0);
  CHECK(names_of(state) == std::vector<std::string>{"c", "d", "m.x", "m.y", "h", "a", "z"});
  for (const auto& entry : header.entries)
    CHECK(entry.begin % cairn::alignment_bytes(entry.dtype) == 0);
  CHECK(load(file) == state);
}

TEST_CASE("plan: names are the path, unique where paths collide") {
  float number = 0;
  const auto leaf = [&](std::int64_t length) { return cairn::tensor(&number, {length}).strided({0}); };
  StateDict state;
  state["a.b"] = leaf(1);
  state["a"]["b"] = leaf(2);
  state["a"]["b#2"] = leaf(3);
  state["l"] = List(leaf(4), StateDict());
  state["l"][1]["0"] = leaf(5);
  state["l.1"]["0"] = leaf(6);
  state[""] = leaf(7);
  auto names = names_of(state);
  std::ranges::sort(names);
  CHECK(names == std::vector<std::string>{"", "a.b", "a.b#2", "a.b#2#2", "l.0", "l.1.0", "l.1.0#2"});
  CHECK(load(file_of(state)) == state);
}

TEST_CASE("SEED 43: leaves that view the same bytes in the same way are stored once, and share again when loaded") {
  std::vector<float> data{1, 2, 3, 4, 5, 6};
  StateDict state;
  state["one"] = cairn::tensor(data.data(), {2, 3});
  state["same"] = cairn::tensor(data.data(), {2, 3}).strided({3, 1});
  state["list"] = List(cairn::tensor(data.data(), {2, 3}));
  state["other shape"] = cairn::tensor(data.data(), {6});
  state["other strides"] = cairn::tensor(data.data(), {2, 3}).strided({1, 2});
  state["other type"] = cairn::tensor(static_cast<void*>(data.data()), DType::i32, {2, 3});
  state["other place"] = cairn::tensor(data.data() + 1, {5});
  const std::string file = file_of(state);
  CHECK(header_of(file).entries.size() == 5);
  StateDict loaded = load(file);
  CHECK(loaded == state);
  CHECK(loaded["one"].tensor().data() == loaded["same"].tensor().data());
  CHECK(loaded["one"].tensor().data() == loaded["list"][0].tensor().data());
  CHECK(loaded["one"].tensor().data() != loaded["other shape"].tensor().data());
}

TEST_CASE("SEED 43: offsets and non-contiguous slices keep their content") {
  std::vector<std::int32_t> data(24);
  for (std::size_t index = 0; index < data.size(); ++index)
    data[index] = static_cast<std::int32_t>(index);
  StateDict state;
  state["columns"] = cairn::tensor(data.data() + 1, {4, 3}).strided({6, 2});
  state["reversed"] = cairn::tensor(data.data() + 23, {24}).strided({-1});
  state["broadcast"] = cairn::tensor(data.data() + 5, {3, 2}).strided({0, 1});
  const StateDict loaded = load(file_of(state));
  CHECK(loaded == state);
  CHECK(loaded.at("columns").tensor().is_contiguous());
}

TEST_CASE("SEED 44: zero sizes and scalars are kept") {
  float number = 3;
  StateDict state;
  state["0"] = cairn::tensor(static_cast<float*>(nullptr), {0});
  state["00"] = cairn::tensor(static_cast<float*>(nullptr), {0, 0});
  state["000"] = cairn::tensor(&number, {0, 5, 0});
  state["scalar"] = cairn::tensor(&number, {});
  state["one"] = cairn::tensor(&number, {1});
  const StateDict loaded = load(file_of(state));
  CHECK(loaded == state);
  CHECK(loaded.at("000").tensor().shape()[1] == 5);
  CHECK(loaded.at("scalar").tensor().shape().empty());
  CHECK(load(file_of(StateDict())) == StateDict());
}

TEST_CASE("SEED 13: every dtype keeps itself") {
  std::vector<std::uint64_t> memory(8, 0x0123456789ABCDEF);
  StateDict state;
  for (unsigned index = 0; index < cairn::dtype_count; ++index) {
    const auto dtype = static_cast<DType>(index);
    state[cairn::to_string(dtype)] = cairn::tensor(static_cast<void*>(memory.data()), dtype, {2, 4});
  }
  CHECK(load(file_of(state)) == state);
}

TEST_CASE("plan: what cannot be saved is refused, naming the key") {
  float number = 0;
  StateDict state;
  SECTION("NUL in a key") {
    state["a"][std::string_view("b\0c", 3)] = 1;
    CHECK(has(refusal(state), "save a.b"));
  }
  SECTION("a key that is not UTF-8") {
    state["a"] = List(StateDict());
    state["a"][0]["\xFF"] = 1;
    CHECK(has(refusal(state), "save a[0].\xFF"));
  }
  SECTION("__metadata__ at the top") {
    state["__metadata__"] = 1;
    CHECK(has(refusal(state), "save __metadata__"));
  }
  SECTION("a tensor without memory") {
    state["a"] = cairn::tensor(static_cast<float*>(nullptr), {3});
    CHECK(has(refusal(state), "save a: a tensor without memory"));
  }
  SECTION("a tensor of a device") {
    state["a"] = cairn::tensor(&number, {1}).on(Device::cuda(0));
    CHECK(has(refusal(state), "save a: a tensor on cuda:0"));
  }
  SECTION("a header that is too long, by a string") {
    state["small"] = 1;
    state["a"]["large"] = std::string(100'000'000, 'x');
    CHECK(has(refusal(state), "save a.large: the header"));
  }
  SECTION("a header that is too long, by a key") {
    state[std::string(50'000'000, 'k')] = cairn::tensor(&number, {});
    CHECK(has(refusal(state), "kkkk: the header"));
  }
  SECTION("nesting that is too deep") {
    Value* value = &state["x"];
    for (unsigned level = 2; level < cairn::nesting_depth_max; ++level)
      value = &(*value)["x"];
    *value = List(1);  // the last level there may be
    CHECK(load(file_of(state)) == state);
    (*value)[0] = StateDict();
    CHECK(has(refusal(state), "nested deeper than 1000 levels"));
  }
}

TEST_CASE("plan: __metadata__ below the top is an ordinary key") {
  StateDict state;
  state["a"]["__metadata__"] = 1;
  CHECK(load(file_of(state)) == state);
}

TEST_CASE("plan: is reused for other values, other memory and other scalars") {
  std::vector<float> data(8);
  std::vector<float> elsewhere{9, 8, 7, 6, 5, 4, 3, 2};
  StateDict state;
  state["a"] = cairn::tensor(data.data(), {4});
  state["b"] = cairn::tensor(data.data() + 4, {4});
  state["list"] = List(1, "x", Bytes(4));
  const auto plan = Plan::make(state);
  CHECK(plan->matches(state));
  state["list"][0] = 2.5;
  state["list"][1] = nullptr;
  state["list"][2].as<Bytes>()[1] = std::byte{7};
  state["a"] = cairn::tensor(elsewhere.data(), {4});
  CHECK(plan->matches(state));
  CHECK(load(file_of(take(plan, state))) == state);
}

TEST_CASE("plan: another structure does not match") {
  std::vector<float> data(8);
  StateDict state;
  state["a"]["x"] = cairn::tensor(data.data(), {2, 2});
  state["a"]["y"] = cairn::tensor(data.data() + 4, {2, 2});
  state["list"] = List(1, Bytes(4));
  const auto plan = Plan::make(state);
  REQUIRE(plan->matches(state));
  SECTION("a key more") {
    state["more"] = 1;
  }
  SECTION("a key less") {
    state["a"].as<StateDict>().erase("y");
  }
  SECTION("another key") {
    state["a"].as<StateDict>().erase("y");
    state["a"]["z"] = cairn::tensor(data.data() + 4, {2, 2});
  }
  SECTION("another order") {
    state["a"].as<StateDict>().erase("x");
    state["a"]["x"] = cairn::tensor(data.data(), {2, 2});
  }
  SECTION("another kind") {
    state["a"]["x"] = 1;
  }
  SECTION("a tensor where a number was") {
    state["list"][0] = cairn::tensor(data.data(), {2, 2});
  }
  SECTION("another shape") {
    state["a"]["x"] = cairn::tensor(data.data(), {4});
  }
  SECTION("another dtype") {
    state["a"]["x"] = cairn::tensor(static_cast<void*>(data.data()), DType::i32, {2, 2});
  }
  SECTION("other strides") {
    state["a"]["x"] = cairn::tensor(data.data(), {2, 2}).strided({1, 2});
  }
  SECTION("another device") {
    state["a"]["x"] = cairn::tensor(data.data(), {2, 2}).on(Device::cuda(0));
  }
  SECTION("no memory") {
    state["a"]["x"] = cairn::tensor(static_cast<float*>(nullptr), {2, 2});
  }
  SECTION("another length of bytes") {
    state["list"][1] = Bytes(5);
  }
  SECTION("a longer list") {
    state["list"].as<List>().push_back(1);
  }
  SECTION("two leaves that have become one") {
    state["a"]["y"] = state["a"]["x"];
  }
  SECTION("empty") {
    state.clear();
  }
  CHECK_FALSE(plan->matches(state));
  CHECK_FALSE(take_if_matches(plan, state).has_value());
  CHECK_THROWS_AS(take(plan, state), Error);
}

TEST_CASE("plan: leaves that were one and have parted do not match") {
  std::vector<float> data(8);
  StateDict state;
  state["a"] = cairn::tensor(data.data(), {4});
  state["b"] = cairn::tensor(data.data(), {4});
  const auto plan = Plan::make(state);
  CHECK(plan->tensors().size() == 1);
  state["b"] = cairn::tensor(data.data() + 4, {4});
  CHECK_FALSE(plan->matches(state));
  state["a"] = state["b"];
  CHECK(plan->matches(state));
}

TEST_CASE("plan: a swap of two tensors' memory matches") {
  std::vector<float> data{1, 2, 3, 4};
  StateDict state;
  state["a"] = cairn::tensor(data.data(), {2});
  state["b"] = cairn::tensor(data.data() + 2, {2});
  const auto plan = Plan::make(state);
  std::swap(state["a"], state["b"]);
  CHECK(plan->matches(state));
  CHECK(load(file_of(take(plan, state))) == state);
}

TEST_CASE("snapshot: keeps everything but viewed memory, so that a temporary state may be saved") {
  std::vector<float> viewed{1, 2};
  auto state = std::make_unique<StateDict>();
  (*state)["view"] = cairn::tensor(viewed.data(), {2});
  (*state)["owned"] = Tensor::empty(DType::u8, {4096});
  std::memset((*state)["owned"].as<Tensor>().mutable_data(), 7, 4096);
  (*state)["bytes"] = Bytes(100, std::byte{3});
  (*state)["string"] = std::string(100, 's');
  const StateDict expected = *state;
  auto snapshot = take(Plan::make(*state), *state);
  state.reset();
  const auto moved = std::move(snapshot);
  CHECK(load(file_of(moved)) == expected);
}

TEST_CASE("image: pieces follow one another from the header to the end") {
  std::vector<float> data(100);
  StateDict state;
  for (std::int64_t index = 0; index < 10; ++index)
    state["t" + std::to_string(index)] = cairn::tensor(data.data() + index, {index});
  const auto image = take(Plan::make(state), state).image();
  std::uint64_t expected = image.header.size();
  for (const auto& piece : image.pieces) {
    CHECK(piece.file_offset == expected);
    CHECK(piece.bytes == piece.source.size_bytes());
    CHECK(piece.bytes > 0);
    expected += piece.bytes;
  }
  CHECK(expected == image.bytes);
  CHECK(image.pieces.size() == 9);
}
