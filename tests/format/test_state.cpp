#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/state.hpp"
#include "support/catch.hpp"

using cairn::Bytes;
using cairn::Errc;
using cairn::Error;
using cairn::Kind;
using cairn::List;
using cairn::StateDict;
using cairn::Tensor;
using cairn::TensorView;
using cairn::Value;

namespace {

// The error's context where the code is `expected`, else what happened instead.
template <class Function>
std::string context_of(Errc expected, Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code() == expected ? error.context() : "other code: " + std::string(error.what());
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

enum class Enum { a };

}  // namespace

TEST_CASE("value: every kind is stored as it is, and nothing as bool by accident") {
  CHECK(Value().kind() == Kind::null);
  CHECK(Value(nullptr).kind() == Kind::null);
  CHECK(Value(true).kind() == Kind::boolean);
  CHECK(Value("text").kind() == Kind::string);
  CHECK(Value(std::string_view("text")).as<std::string>() == "text");
  CHECK(Value(std::string("a\0b", 3)).as<std::string>().size() == 3);
  CHECK(Value('c').as<std::int64_t>() == 'c');
  CHECK(Value(std::int8_t{-3}).as<std::int64_t>() == -3);
  CHECK(Value(7U).as<std::int64_t>() == 7);
  CHECK(Value(std::size_t{7}).as<std::int64_t>() == 7);
  CHECK(Value(7LL).as<std::int64_t>() == 7);
  CHECK(Value(std::numeric_limits<std::int64_t>::min()).as<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
  CHECK(Value(std::uint64_t{1} << 63).as<std::uint64_t>() == std::uint64_t{1} << 63);
  CHECK(Value((std::uint64_t{1} << 63) - 1).kind() == Kind::int64);
  CHECK(Value(1.5F).as<double>() == 1.5);
  CHECK(Value(Bytes(3)).as<Bytes>().size() == 3);
  CHECK(Value(List()).kind() == Kind::list);
  CHECK(Value(StateDict()).kind() == Kind::dict);
  char buffer[] = "mutable";
  char* pointer = buffer;
  CHECK(Value(pointer).as<std::string>() == "mutable");
}

TEST_CASE("value: what must not compile does not") {
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Value, int*>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Value, const void*>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Value, float*>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Value, Enum>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<Value, bool>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<Value, std::int64_t>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<Value, std::string>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<Value>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<StateDict>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<List>);
}

TEST_CASE("value: as<T>() is a reference to exactly that kind, and names the path otherwise") {
  StateDict state;
  state["a"]["b"] = List(1, 2.5, "three");
  state["a"]["x.y"] = true;
  state["a"]["b"][0].as<std::int64_t>() += 41;
  CHECK(state["a"]["b"][0].as<std::int64_t>() == 42);

  const auto mismatch = [](auto function) { return context_of(Errc::kind_mismatch, function); };
  CHECK(mismatch([&] { state["a"]["b"][1].as<std::int64_t>(); }) == "a.b[1] holds double, not int64");
  CHECK(mismatch([&] { state["a"]["b"][2].as<Bytes>(); }) == "a.b[2] holds string, not Bytes");
  CHECK(mismatch([&] { state["a"]["x.y"].tensor(); }) == "a[\"x.y\"] holds bool, not tensor");
  CHECK(mismatch([&] { state["a"].as<List>(); }) == "a holds StateDict, not List");
  CHECK(mismatch([&] { state["a"]["b"]["c"] = 1; }) == "a.b holds List, not StateDict");
  CHECK(mismatch([&] { state["a"][0] = 1; }) == "a holds StateDict, not List");
  CHECK(mismatch([&] { Value(1).as<double>(); }) == "value holds int64, not double");
  CHECK(context_of(Errc::missing_keys, [&] { state["a"]["b"][3]; }) == "a.b[3] of a list with 3 items");
  CHECK(has(context_of(Errc::missing_keys, [&] { state["a"]["b"][-1]; }), "a.b["));
}

TEST_CASE("value: paths stay right when trees are moved, copied and assigned through references") {
  StateDict state;
  state["a"]["b"]["c"] = 1;
  StateDict moved = std::move(state);
  StateDict outer;
  outer["deep"] = std::move(moved);
  const auto path = [&](Value& value) { return context_of(Errc::kind_mismatch, [&] { value.as<bool>(); }); };
  CHECK(path(outer["deep"]["a"]["b"]["c"]) == "deep.a.b.c holds int64, not bool");
  StateDict copy = outer;
  copy["deep"]["a"].as<StateDict>() = StateDict();
  copy["deep"]["a"]["new"] = 1;
  CHECK(path(copy["deep"]["a"]["new"]) == "deep.a.new holds int64, not bool");
  StateDict taken = std::move(copy["deep"].as<StateDict>());
  CHECK(path(taken["a"]["new"]) == "a.new holds int64, not bool");
  copy["deep"]["again"] = 1;
  CHECK(path(copy["deep"]["again"]) == "deep.again holds int64, not bool");
}

TEST_CASE("value: tensors, owned or not") {
  std::vector<float> data(4);
  StateDict state;
  state["view"] = cairn::tensor(data.data(), {4});
  state["owned"] = Tensor::empty(cairn::DType::f32, {2});
  CHECK(state["view"].is<TensorView>());
  CHECK_FALSE(state["view"].is<Tensor>());
  CHECK(state["owned"].is<TensorView>());
  CHECK(state["owned"].is<Tensor>());
  CHECK(state["view"].tensor().data() == data.data());
  CHECK(state["owned"].tensor().size_bytes() == 8);
  CHECK(state["owned"].as<Tensor>().owner().use_count() == 1);
  CHECK(context_of(Errc::kind_mismatch, [&] { state["view"].as<Tensor>(); }) ==
        "view holds tensor that views memory, not Tensor that owns its memory");
}

TEST_CASE("state: order of insertion, look-up, erase") {
  StateDict state;
  std::vector<std::string> expected;
  for (int index = 0; index < 100; ++index) {
    expected.push_back("key" + std::to_string(index * 7919 % 100));
    state[expected.back()] = index;
  }
  std::vector<std::string> keys;
  for (auto& [key, value] : state) {
    keys.push_back(key);
    value = key;
  }
  CHECK(keys == expected);
  CHECK(state.size() == 100);
  Value& stays = state.at("key1");
  CHECK(state.erase("key50"));
  CHECK_FALSE(state.erase("key50"));
  CHECK_FALSE(state.contains("key50"));
  CHECK(&stays == &state["key1"]);
  state["key50"] = "again";
  const StateDict& constant = state;
  std::string last;
  std::size_t count = 0;
  for (const auto& [key, value] : constant) {
    last = key;
    count += value.is<std::string>();
  }
  CHECK(last == "key50");
  CHECK(count == 100);
  CHECK(context_of(Errc::missing_keys, [&] { constant.at("none"); }) == "none");
  state.clear();
  CHECK(state.empty());
  CHECK(state.begin() == state.end());
}

TEST_CASE("state: operator[] inserts null") {
  StateDict state;
  CHECK(state["new"].is_null());
  CHECK(state.contains("new"));
  CHECK(state[""].is_null());
  CHECK(state.contains(""));
  const StateDict& constant = state;
  CHECK(constant.at("new").is_null());
}

TEST_CASE("state: references stay valid until their key is erased") {
  StateDict state;
  Value& first = state["first"];
  first = List(1);
  Value& item = first[0];
  for (int index = 0; index < 1000; ++index) {
    state[std::to_string(index)] = index;
    first.as<List>().push_back(index);
  }
  StateDict moved = std::move(state);
  CHECK(&moved["first"] == &first);
  CHECK(&moved["first"][0] == &item);
  CHECK(item.as<std::int64_t>() == 1);
}

TEST_CASE("state: assigning from a part of itself, and into one") {
  StateDict state;
  state["a"]["b"]["c"] = 5;
  Value& value = state["a"];
  value = value["b"];
  CHECK(state["a"]["c"].as<std::int64_t>() == 5);
  value = std::move(value["c"]);
  CHECK(state["a"].as<std::int64_t>() == 5);

  StateDict dict;
  dict["x"]["y"]["z"] = 1;
  dict = dict["x"].as<StateDict>();
  CHECK(dict["y"]["z"].as<std::int64_t>() == 1);
  dict = std::move(dict["y"].as<StateDict>());
  CHECK(dict["z"].as<std::int64_t>() == 1);

  dict["self"] = dict;
  CHECK(dict["self"].as<StateDict>().size() == 1);
  Value tree;
  tree["inner"]["leaf"] = 1;
  tree["inner"]["copy"] = std::move(tree);  // would be a ring that nobody owns
  CHECK(tree["inner"]["copy"]["inner"]["leaf"].as<std::int64_t>() == 1);
  tree["inner"].as<StateDict>() = std::move(tree.as<StateDict>());
  CHECK(tree["inner"]["inner"]["leaf"].as<std::int64_t>() == 1);
  Value same(7);
  Value& alias = same;
  same = std::move(alias);
  CHECK(same.as<std::int64_t>() == 7);
}

TEST_CASE("state: copies are deep, moved-from containers are empty") {
  StateDict state;
  state["list"] = List(1, List(2, 3), StateDict());
  state["list"][2]["k"] = "v";
  StateDict copy = state;
  CHECK(copy == state);
  copy["list"][1][0] = 9;
  CHECK_FALSE(copy == state);
  CHECK(state["list"][1][0].as<std::int64_t>() == 2);
  const StateDict moved = std::move(copy);
  CHECK(moved.size() == 1);
  copy["usable"] = 1;
  CHECK(copy.size() == 1);
}

TEST_CASE("list: List{a} means one thing on every compiler") {
  const List one{1};
  CHECK(one.size() == 1);
  const List several{1, "two", 3.0, nullptr};
  CHECK(several.size() == 4);
  const List copy{several};
  CHECK(copy == several);
  const Value value(several);
  CHECK(List{value}.size() == 1);
  List nested{several, several};
  CHECK(nested.size() == 2);
  CHECK(nested[1][1].as<std::string>() == "two");
  nested.erase(0);
  CHECK(nested.size() == 1);
  CHECK(context_of(Errc::missing_keys, [&] { nested.erase(1); }) == "[1] of a list with 1 items");
  std::size_t count = 0;
  for (const Value& item : several)
    count += item.is_null();
  CHECK(count == 1);
  nested.clear();
  CHECK(nested.empty());
}

TEST_CASE("state: equality is deep, order apart; tensors by content") {
  std::vector<float> left_data{1, 2};
  std::vector<float> right_data{1, 2};
  StateDict left;
  left["t"] = cairn::tensor(left_data.data(), {2});
  left["s"] = "x";
  StateDict right;
  right["s"] = "x";
  right["t"] = cairn::tensor(right_data.data(), {2});
  CHECK(left == right);
  right_data[1] = 3;
  CHECK_FALSE(left == right);
  CHECK(StateDict() == StateDict());
  StateDict emptied;
  emptied["x"];
  emptied.erase("x");
  CHECK(emptied == StateDict());
  CHECK_FALSE(Value(1) == Value(true));
  CHECK_FALSE(Value(1) == Value(1.0));
  CHECK_FALSE(Value("a") == Value(Bytes{std::byte{'a'}}));
  CHECK(Value(1) == 1);
}

TEST_CASE("state: a tree deeper than the stack is copied, compared and destroyed") {
  // From the inside out: each assignment looks at what is around its target.
  Value tree;
  Value* const innermost = &(tree["x"] = 1);
  for (int depth = 0; depth < 100'000; ++depth) {
    Value around;
    if (depth % 2 == 0)
      around["x"] = std::move(tree);
    else
      around = List(std::move(tree));
    tree = std::move(around);
  }
  StateDict state;
  state["tree"] = std::move(tree);
  StateDict copy = state;
  CHECK(copy == state);
  *innermost = 2;
  CHECK_FALSE(copy == state);
  Value moved = std::move(copy["tree"]);
  copy = state;
  moved = 0;
}
