// Not a test: a test program of every outcome, run by test_support.py to see what is reported. Hidden cases ([.]) run
// only when they are named.

#include <cstdlib>
#include <new>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

// Not inlined: the compiler would see what is wrong here, and say so.
[[gnu::noinline]] void destroy(cairn::test::Tracked& object) {
  object.~Tracked();
}

}  // namespace

TEST_CASE("passes") {
  CHECK(1 + 1 == 2);
}

TEST_CASE("skips # with a mark") {
  REQUIRE(true);
  CAIRN_SKIP("no such device");
}

TEST_CASE("fails in a section", "[.]") {
  INFO("two\nlines");
  const int answer = 41;
  SECTION("good") {
    CHECK(answer == 41);
  }
  SECTION("bad") {
    CHECK(answer == 42);
  }
}

TEST_CASE("throws", "[.]") {
  throw std::runtime_error("boom");
}

TEST_CASE("fails and skips", "[.]") {
  CHECK(false);
  CAIRN_SKIP("too late");
}

TEST_CASE("exits", "[.]") {
  std::exit(0);
}

TEST_CASE("crashes", "[.]") {
  std::abort();
}

TEST_CASE("destroys twice", "[.]") {
  using cairn::test::Tracked;
  alignas(Tracked) unsigned char storage[sizeof(Tracked)];
  auto* object = new (storage) Tracked(1);
  destroy(*object);
  destroy(*object);
}
