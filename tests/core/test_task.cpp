#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cairn/run.hpp"
#include "cairn/task.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::run;
using cairn::Task;
using cairn::test::Tracked;

namespace {

Task<> note(std::vector<std::string>* notes, std::string text) {
  notes->push_back(std::move(text));
  co_return;
}

Task<int> number(int value) {
  co_return value;
}

Task<std::unique_ptr<int>> move_only(int value) {
  co_return std::make_unique<int>(value);
}

Task<int&> reference(int* value) {
  co_return *value;
}

Task<int> failing() {
  throw std::runtime_error("it failed");
  co_return 1;
}

Task<int> depth(int levels) {
  if (levels == 0) co_return 0;
  const int below = co_await depth(levels - 1);
  co_return below + 1;
}

Task<int> failing_at_depth(int levels) {
  if (levels == 0) {
    const int never = co_await failing();
    co_return never;
  }
  const int below = co_await failing_at_depth(levels - 1);
  co_return below;
}

Task<std::int64_t> sum_of(int count) {
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const int value = co_await number(i);
    sum += value;
  }
  co_return sum;
}

Task<Tracked> pass(Tracked value) {
  co_return value;
}

Task<int> pass_through_twice(Tracked value) {
  const Tracked once = co_await pass(value);
  const Tracked twice = co_await pass(once);
  co_return twice.value();
}

// Without the sibling-call optimization g++ makes symmetric transfer an ordinary, nested call.
#if defined(__clang__) || defined(__OPTIMIZE__)
constexpr int long_chain = 100'000;
constexpr int long_loop = 1'000'000;
#else
constexpr int long_chain = 1'000;
constexpr int long_loop = 1'000;
#endif

}  // namespace

TEST_CASE("a Task does nothing before it is awaited") {
  std::vector<std::string> notes;
  Task<> task = note(&notes, "ran");
  CHECK(notes.empty());
  run(std::move(task));
  CHECK(notes == std::vector<std::string>{"ran"});
  CHECK_FALSE(task);
}

TEST_CASE("a Task that was never started may be destroyed, with its parameters") {
  Tracked::reset();
  {
    Task<Tracked> never = pass(Tracked(1));
    CHECK(Tracked::alive() == 1);
    Task<Tracked> assigned = pass(Tracked(2));
    assigned = std::move(never);
    CHECK(Tracked::alive() == 1);
  }
  CHECK(Tracked::constructed() > 0);
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<int> awaits_every_kind() {
  const std::unique_ptr<int> moved = co_await move_only(3);
  int target = 4;
  int& same = co_await reference(&target);
  same += 1;
  Task<int> kept = number(6);
  const int from_kept = co_await kept;
  Task<int> given = number(7);
  const int from_given = co_await std::move(given);
  co_return *moved * 1000 + target * 100 + from_kept * 10 + from_given;
}

}  // namespace

TEST_CASE("a Task gives values, references and types that only move; awaited as it is or moved") {
  CHECK(run(awaits_every_kind()) == 3567);
  int target = 1;
  CHECK(&run(reference(&target)) == &target);
  CHECK(*run(move_only(2)) == 2);
}

TEST_CASE("an error goes to the one who awaits") {
  CHECK_THROWS_AS(run(failing()), std::runtime_error);
  CHECK_THROWS_AS(run(failing_at_depth(100)), std::runtime_error);
}

TEST_CASE("a long chain of Tasks that complete at once takes no stack") {
  CHECK(run(depth(long_chain)) == long_chain);
}

TEST_CASE("an error passes through a long chain of Tasks") {
  CHECK_THROWS_AS(run(failing_at_depth(long_chain / 10)), std::runtime_error);
}

TEST_CASE("a long loop over Tasks that complete at once takes no stack") {
  CHECK(run(sum_of(long_loop)) == std::int64_t{long_loop} * (long_loop - 1) / 2);
}

TEST_CASE("parameters and results are destroyed once each") {
  Tracked::reset();
  CHECK(run(pass_through_twice(Tracked(5))) == 5);
  CHECK(Tracked::constructed() >= 3);
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<> look_at_parameter(Tracked parameter, std::int64_t* alive_inside) {
  *alive_inside = Tracked::alive();
  CHECK(parameter.value() == 9);
  co_return;
}

Task<> parameter_lifetime() {
  std::int64_t alive_inside = 0;
  {
    Task<> task = look_at_parameter(Tracked(9), &alive_inside);
    co_await task;
    CHECK(alive_inside == 1);
    CHECK(Tracked::alive() == 1);
  }
  CHECK(Tracked::alive() == 0);
  co_await look_at_parameter(Tracked(9), &alive_inside);
  CHECK(Tracked::alive() == 0);
}

}  // namespace

TEST_CASE("parameters live as long as their Task") {
  Tracked::reset();
  run(parameter_lifetime());
}

namespace {

Task<int> unwinds(Tracked first) {
  const Tracked second(first.value() + 1);
  const int never = co_await failing();
  co_return never + second.value();
}

}  // namespace

TEST_CASE("an error destroys the locals of the coroutines it passes") {
  Tracked::reset();
  CHECK_THROWS_AS(run(unwinds(Tracked(1))), std::runtime_error);
  CHECK(Tracked::constructed() >= 2);
  CHECK(Tracked::alive() == 0);
}
