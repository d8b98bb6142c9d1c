#include <string>
#include <vector>

#include "cairn/state.hpp"
#include "format/key_path.hpp"
#include "support/catch.hpp"

using cairn::List;
using cairn::StateDict;
using cairn::Value;

TEST_CASE("key path: keys and indices are written so that they can be read again") {
  const auto path = [](std::vector<std::string> keys) {
    std::string text;
    for (const std::string& key : keys)
      cairn::format::append_key(text, key);
    return text;
  };
  CHECK(path({"a", "b"}) == "a.b");
  CHECK(path({"layers.0.weight"}) == "[\"layers.0.weight\"]");
  CHECK(path({"a", "b.c", "d"}) == "a[\"b.c\"].d");
  CHECK(path({""}) == "[\"\"]");
  CHECK(path({"a\"b\\c"}) == "[\"a\\\"b\\\\c\"]");
  std::string text = "a";
  cairn::format::append_index(text, 12);
  CHECK(text == "a[12]");
}

TEST_CASE("key path: find follows keys and indices") {
  StateDict state;
  state["a"]["b"] = List(StateDict(), 2);
  state["a"]["b"][0]["c"] = 3;
  CHECK(state.find("a.b[0].c")->as<std::int64_t>() == 3);
  CHECK(state.find("a.b[1]")->as<std::int64_t>() == 2);
  CHECK(state.find("a.b")->is<List>());
  CHECK(state.find("a") == &state["a"]);
  const StateDict& constant = state;
  CHECK(constant.find("a.b[0].c") == state.find("a.b[0].c"));
  for (const char* path : {"", "b", "a.", "a.b.c", "a.b[2]", "a.b[-1]", "a.b[0", "a.b[]", "a.b[0]c", "a.b[0].d", ".a",
                           "a..b", "a.b[00000000000000000000000000001]x", "a.b[99999999999999999999999999]", "[0]"}) {
    INFO(path);
    CHECK(state.find(path) == nullptr);
  }
  *state.find("a.b[1]") = "changed";
  CHECK(state["a"]["b"][1].as<std::string>() == "changed");
}

TEST_CASE("key path: keys that hold special characters, quoted and bare") {
  StateDict state;
  state["layers.0.weight"] = 1;
  state["layers"]["0"]["bias"] = 2;
  state["a[0]"] = 3;
  state["q\"uote\\"] = 4;
  state["model"]["x.y"]["z"] = 5;
  CHECK(state.find("[\"layers.0.weight\"]")->as<std::int64_t>() == 1);
  CHECK(state.find("layers.0.weight")->as<std::int64_t>() == 1);
  CHECK(state.find("layers.0.bias")->as<std::int64_t>() == 2);
  CHECK(state.find("a[0]")->as<std::int64_t>() == 3);
  CHECK(state.find("[\"q\\\"uote\\\\\"]")->as<std::int64_t>() == 4);
  CHECK(state.find("q\"uote\\")->as<std::int64_t>() == 4);
  CHECK(state.find("model[\"x.y\"].z")->as<std::int64_t>() == 5);
  CHECK(state.find("model.x.y.z")->as<std::int64_t>() == 5);
  CHECK(state.find("model[\"x.y\"") == nullptr);
}

TEST_CASE("key path: the longest bare key that fits comes first, shorter ones where it leads nowhere") {
  StateDict state;
  state["a.b"] = 1;
  state["a"]["b"] = 2;
  state["a"]["b.c"] = 3;
  CHECK(state.find("a.b")->as<std::int64_t>() == 1);
  CHECK(state.find("a.b.c")->as<std::int64_t>() == 3);
  CHECK(state.find("a[\"b\"]")->as<std::int64_t>() == 2);
}

TEST_CASE("key path: empty keys work") {
  StateDict state;
  state[""][""] = 1;
  state["a"][""]["b"] = 2;
  CHECK(state.find("") == &state[""]);
  CHECK(state.find("[\"\"][\"\"]")->as<std::int64_t>() == 1);
  CHECK(state.find(".")->as<std::int64_t>() == 1);
  CHECK(state.find("a..b")->as<std::int64_t>() == 2);
  CHECK(state.find("a[\"\"].b")->as<std::int64_t>() == 2);
}

TEST_CASE("key path: a long path into a deep tree does not need a deep stack") {
  StateDict state;
  Value* value = &state["a"];
  std::string path = "a";
  for (int depth = 0; depth < 3000; ++depth) {
    value = &(*value)["a"];
    path += ".a";
  }
  CHECK(state.find(path) == value);
  CHECK(state.find(path + ".a") == nullptr);
}
