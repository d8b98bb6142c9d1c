#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "cairn/error.hpp"
#include "file_bytes.hpp"
#include "format/json.hpp"
#include "format/tree.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using cairn::Bytes;
using cairn::Errc;
using cairn::Error;
using cairn::Kind;
using cairn::List;
using cairn::StateDict;
using cairn::Tensor;
using cairn::Value;
using cairn::test::file_of;
using cairn::test::file_with;
using cairn::test::load;

namespace {

std::string file_with_tree(const std::string& tree, const std::string& version = "1") {
  std::string json = "{\"__metadata__\":{\"cairn.format_version\":\"" + version + "\",\"cairn.tree\":";
  cairn::format::append_json_string(json, tree);
  return file_with(json +
                       "},\"t\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                       "\"f\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[4,6]}}",
                   6);
}

bool refused(const std::string& file) {
  try {
    load(file);
  } catch (const Error& error) {
    return error.code() == Errc::damaged && error.context().find("test file") != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("SEED 8, 37: every kind and the nesting come back as they were") {
  std::vector<float> data{1, 2, 3, 4, 5, 6};
  StateDict state;
  state["model"]["w"] = cairn::tensor(data.data(), {2, 3});
  state["model"]["scalar"] = cairn::tensor(data.data() + 1, {});
  state["null"];
  state["bool"] = false;
  state["int"] = std::numeric_limits<std::int64_t>::min();
  state["uint"] = std::numeric_limits<std::uint64_t>::max();
  state["string"] = std::string("nul \0, \" and ü", 15);
  state["not utf-8"] = std::string("\xFF\x00\x80", 3);
  state["bytes"] = Bytes{std::byte{0}, std::byte{255}};
  state["no bytes"] = Bytes();
  state["list"] = List(1, List(), List(nullptr, 2.5, "x"), StateDict(), Bytes(2));
  state["empty"] = StateDict();
  state[""][""] = "empty keys";
  state["\x01 \" \\ . [0] ü"] = true;
  const StateDict loaded = load(file_of(state));
  CHECK(loaded == state);
  CHECK(loaded.at("null").is_null());
  CHECK(loaded.at("uint").kind() == Kind::uint64);
  CHECK(loaded.at("list")[4].is<Bytes>());
  std::string order;
  for (const auto& [key, value] : loaded)
    order += key.substr(0, 1);
  CHECK(order == std::string("mnbiusnbnle\0\x01", 11) + "\x01");
}

TEST_CASE("tree: a small uint64 stays one") {
  StateDict state;
  state["u"] = std::numeric_limits<std::uint64_t>::max();
  state["u"].as<std::uint64_t>() = 5;
  CHECK(load(file_of(state)).at("u").as<std::uint64_t>() == 5);
}

TEST_CASE("tree: doubles come back bit for bit") {
  std::mt19937_64 random(cairn::test::seed());
  std::vector<std::uint64_t> patterns = {0,
                                         std::uint64_t{1} << 63,  // -0.0
                                         1,                       // the smallest denormal
                                         0x7FF0000000000000,      // infinities
                                         0xFFF0000000000000,
                                         0x7FF8000000000000,  // NaNs, quiet and signalling, with payloads
                                         0xFFF8DEADBEEF0001,
                                         0x7FF0000000000001,
                                         std::bit_cast<std::uint64_t>(3e-4)};
  for (int round = 0; round < 200; ++round)
    patterns.push_back(random());
  StateDict state;
  state["list"] = List();
  for (const std::uint64_t bits : patterns)
    state["list"].as<List>().push_back(std::bit_cast<double>(bits));
  const StateDict loaded = load(file_of(state));
  for (std::size_t index = 0; index < patterns.size(); ++index) {
    INFO(patterns[index]);
    CHECK(std::bit_cast<std::uint64_t>(loaded.at("list")[index].as<double>()) == patterns[index]);
  }
}

TEST_CASE("tree: a file that cairn did not write is flat") {
  const StateDict loaded = load(file_with(
      "{\"a.b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"__metadata__\":{\"format\":\"pt\"}}", 2));
  CHECK(loaded.size() == 1);
  CHECK(loaded.at("a.b").is<Tensor>());
}

TEST_CASE("tree: lies are refused") {
  const std::string good = R"({"x":["tensor","f"],"y":["bytes","t"]})";
  CHECK_FALSE(refused(file_with_tree(good)));
  CHECK(refused(file_with_tree(good, "2")));
  const std::vector<std::string> lies = {
      "",
      "[]",
      "1",
      "[\"list\"]",
      "{",
      good + "x",
      R"({"x":["tensor","f"]})",                                       // leaves t out
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["tensor","q"]})",  // names what is not there
      R"({"x":["bytes","f"],"y":["bytes","t"]})",                      // bytes that are F16
      R"({"x":["tensor","f"],"y":["bytes","t"],"x":1})",               // a key twice
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":[]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":[1]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["what",1]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["tensor"]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["tensor",1]})",
      R"({"x":["tensor","f","f"],"y":["bytes","t"]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":1.5})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":9223372036854775808})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["u64",-1]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["f64",1.5]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["f64","7ff"]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["f64","7ff000000000000g"]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["string","abc"]})",
      R"({"x":["tensor","f"],"y":["bytes","t"],"z":["string","zz"]})",
  };
  for (const std::string& lie : lies) {
    INFO(lie);
    CHECK(refused(file_with_tree(lie)));
  }
}

TEST_CASE("tree: nesting is bounded when it is read") {
  const auto nested = [](int levels) {
    std::string text = R"({"x":["tensor","f"],"y":["bytes","t"],"z":)";
    for (int level = 0; level < levels; ++level)
      text += "[\"list\",";
    text += "null";
    return text + std::string(static_cast<std::size_t>(levels), ']') + "}";
  };
  CHECK_FALSE(refused(file_with_tree(nested(999))));
  CHECK(refused(file_with_tree(nested(1001))));
  CHECK(refused(file_with_tree(nested(100'000))));
  std::string open = "{\"a\":";
  std::string deep;
  for (int level = 0; level < 100'000; ++level)
    deep += open;
  CHECK(refused(file_with_tree(deep)));
}

TEST_CASE("tree and header: whatever the bytes, the answer is a state or damaged") {
  std::mt19937_64 random(cairn::test::seed());
  std::vector<float> data{1, 2, 3, 4};
  StateDict state;
  state["a"]["w"] = cairn::tensor(data.data(), {2, 2});
  state["b"] = List(1, 2.5, "x", Bytes(3), nullptr, true);
  state["t"] = cairn::tensor(data.data(), {4});
  const std::string file = file_of(state);
  const std::size_t json_end = file.rfind('}', file.find("   ")) + 1;
  int damaged = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string changed = file;
    for (std::uint64_t change = random() % 4 + 1; change > 0; --change) {
      const std::size_t at = random() % json_end;
      switch (random() % 4) {
        case 0:
          changed[at] = static_cast<char>(random());
          break;
        case 1:
          changed[at] = "{}[]\",:0-9e\\"[random() % 12];
          break;
        case 2:
          std::swap(changed[at], changed[random() % json_end]);
          break;
        default:
          changed.resize(std::max<std::size_t>(at, changed.size() - random() % 64));
      }
      if (changed.size() < json_end) break;
    }
    try {
      load(changed);
    } catch (const Error& error) {
      CHECK(error.code() == Errc::damaged);
      ++damaged;
    }
  }
  CHECK(damaged > 1000);
}
