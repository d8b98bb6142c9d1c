#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "cairn/run.hpp"
#include "cairn/when_all.hpp"
#include "core/event.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Event;
using cairn::run;
using cairn::Task;
using cairn::when_all;
using cairn::test::OnNewThread;
using cairn::test::Tracked;

namespace {

Task<int> number(int value) {
  co_return value;
}

Task<std::unique_ptr<int>> slow(int value) {
  co_await OnNewThread();
  co_return std::make_unique<int>(value);
}

Task<> nothing() {
  co_await OnNewThread();
}

Task<int> mixed() {
  auto [first, second, third] = co_await when_all(number(1), slow(2), nothing());
  static_assert(std::is_same_v<decltype(third), std::monostate>);
  co_return first * 10 + *second;
}

Task<Tracked> tracked(Tracked value) {
  co_await OnNewThread();
  co_return value;
}

Task<int> sum_of_many(int count) {
  std::vector<Task<Tracked>> tasks;
  for (int i = 0; i < count; ++i)
    tasks.push_back(tracked(Tracked(i)));
  const std::vector<Tracked> results = co_await when_all(std::move(tasks));
  int sum = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].value() == static_cast<int>(i));
    sum += results[i].value();
  }
  co_return sum;
}

Task<bool> truth(bool value) {
  co_return value;
}

Task<std::vector<bool>> booleans() {
  std::vector<Task<bool>> tasks;
  tasks.push_back(truth(true));
  tasks.push_back(truth(false));
  co_return co_await when_all(std::move(tasks));
}

Task<> add(int* sum) {
  co_await OnNewThread();
  ++*sum;
}

Task<> voids(int* sum) {
  std::vector<Task<void>> tasks;
  for (int i = 0; i < 5; ++i)
    tasks.push_back(add(sum));
  co_await when_all(std::move(tasks));
}

Task<> empty() {
  const std::tuple<> none = co_await when_all();
  (void)none;
  std::vector<Task<int>> no_tasks;
  const std::vector<int> no_results = co_await when_all(std::move(no_tasks));
  CHECK(no_results.empty());
}

}  // namespace

TEST_CASE("when_all gives all results in the order of its arguments") {
  CHECK(run(mixed()) == 12);
  CHECK(run(booleans()) == std::vector<bool>{true, false});
  int sum = 0;
  run(voids(&sum));
  CHECK(sum == 5);
  run(empty());
}

TEST_CASE("when_all destroys tasks and results once each") {
  Tracked::reset();
  CHECK(run(sum_of_many(20)) == 190);
  CHECK(Tracked::constructed() >= 20);
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<int> fails_after(Event* event, std::string text) {
  co_await event->wait();
  throw std::runtime_error(text);
  co_return 0;
}

Task<int> sets_then_waits(Event* event, Event* last, bool* done) {
  event->set();
  co_await last->wait();
  *done = true;
  co_return 1;
}

Task<int> sets_last(Event* event, Event* last, std::string text) {
  co_await event->wait();
  last->set();
  throw std::runtime_error(text);
  co_return 0;
}

Task<std::string> first_error(bool* other_done) {
  Event event;
  Event last;
  std::string text;
  try {
    // In time: "second" fails, then "third", then "first"; the fourth goes on after the failures.
    (void)co_await when_all(fails_after(&last, "first"), fails_after(&event, "second"),
                            sets_last(&event, &last, "third"), sets_then_waits(&event, &last, other_done));
  } catch (const std::runtime_error& error) {
    text = error.what();
  }
  co_return text;
}

}  // namespace

TEST_CASE("when_all waits for all and rethrows the error that came first") {
  bool other_done = false;
  CHECK(run(first_error(&other_done)) == "second");
  CHECK(other_done);
}
