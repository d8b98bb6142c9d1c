#include <limits>
#include <string>

#include "cairn/error.hpp"
#include "format/json.hpp"
#include "support/catch.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::format::Json;
using cairn::format::parse_json;

namespace {

bool refused(std::string_view text, unsigned depth_max = 10) {
  try {
    parse_json(text, depth_max, "file");
  } catch (const Error& error) {
    return error.code() == Errc::damaged && error.context().starts_with("file: ");
  }
  return false;
}

}  // namespace

TEST_CASE("json: numbers keep their exact value") {
  const Json json = parse_json("[18446744073709551615, -9223372036854775808, 9223372036854775807, 1.5]", 1, "file");
  const auto& array = json.array("file");
  CHECK(array[0].uint64("file") == std::numeric_limits<std::uint64_t>::max());
  CHECK_FALSE(array[0].is_int64());
  CHECK(array[1].int64("file") == std::numeric_limits<std::int64_t>::min());
  CHECK(array[2].int64("file") == std::numeric_limits<std::int64_t>::max());
  CHECK_THROWS_AS(array[1].uint64("file"), Error);
  CHECK_THROWS_AS(array[3].int64("file"), Error);
}

TEST_CASE("json: members keep their order and come once") {
  const Json json = parse_json(R"({"b":1,"a":{"b":2},"":null})", 2, "file");
  CHECK(json.object("file")[0].first == "b");
  CHECK(json.member("a", "file").member("b", "file").int64("file") == 2);
  CHECK(json.member("", "file").is_null());
  CHECK(json.find("c") == nullptr);
  CHECK_THROWS_AS(json.member("c", "file"), Error);
  CHECK(refused(R"({"a":1,"a":1})"));
  CHECK(refused(R"({"a":1,"\u0061":1})"));
}

TEST_CASE("json: what is not JSON is refused") {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\"}", "nul", "[1] 2", "\xEF\xBB\xBF{}", "\"\xFF\"", "\"\\ud800\"",
                           "[1e999]", "'a'", "{\"a\":1,}", "// c\n1"}) {
    INFO(text);
    CHECK(refused(text));
  }
}

TEST_CASE("json: nesting is bounded, however deep the text") {
  CHECK(refused("[[[]]]", 2));
  CHECK_FALSE(refused("[[[]]]", 3));
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int level = 0; level < 100'000; ++level)
      deep += open;
    CHECK(refused(deep, 1000));
  }
}

TEST_CASE("json: strings are escaped so that a parser gives them back") {
  std::string all;
  for (int byte = 0; byte < 128; ++byte)
    all += static_cast<char>(byte);
  all += "äöü €𝄞";
  std::string text;
  cairn::format::append_json_string(text, all);
  CHECK(parse_json(text, 0, "file").string("file") == all);
}

TEST_CASE("json: UTF-8 is told from what only looks like it") {
  using cairn::format::is_utf8;
  for (const char* text : {"", "ascii", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    CHECK(is_utf8(text));
  for (const char* text :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2g", "\xE0\x9F\xBF", "\xE0\xA0", "\xE0\xA0g", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xF0\x90\x80"})
    CHECK_FALSE(is_utf8(text));
}
