// The forms of coroutine code that cairn is written in, each with a type that counts its lifetimes. g++ 12 miscompiles
// their neighbours (temporaries destroyed twice or never, wrong values); a compiler that gets one of these wrong must
// show itself here and not in a checkpoint.

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "cairn/task.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Future;
using cairn::Task;
using cairn::test::Tracked;

namespace {

/// Suspends for real and comes back through the queue.
class Yield {
 public:
  using cairn_affine = void;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> awaiting) const noexcept {
    cairn::detail::scheduler_of(awaiting)->post(awaiting);
  }
  void await_resume() const noexcept {}
};

struct Pair {
  Tracked first;
  Tracked second;
};

/// The shape of all options of cairn: a class with a constructor and chained setters.
class Options {
 public:
  Options() : value_(0) {}
  Options& value(Tracked value) & {
    value_ = std::move(value);
    return *this;
  }
  Options&& value(Tracked value) && {
    value_ = std::move(value);
    return std::move(*this);
  }
  Options&& name(std::string name) && {
    name_ = std::move(name);
    return std::move(*this);
  }
  int sum() const { return value_.value() + static_cast<int>(name_.size()); }

 private:
  Tracked value_;
  std::string name_;
};

Task<bool> truth(bool value) {
  co_await Yield();
  co_return value;
}

Task<Tracked> give(Tracked value) {
  co_await Yield();
  co_return value;
}

Task<int> take(Options options = Options()) {
  co_await Yield();
  co_return options.sum();
}

Task<int> take_both(Tracked a, const Tracked& b) {
  co_await Yield();
  co_return a.value() * 10 + b.value();
}

Task<int> take_pair(Pair pair) {
  co_await Yield();
  co_return pair.first.value() * 10 + pair.second.value();
}

Task<int> take_function(std::function<int()> function) {
  co_await Yield();
  co_return function();
}

Task<int> take_vector(std::vector<Tracked> values) {
  co_await Yield();
  int sum = 0;
  for (const Tracked& value : values)
    sum += value.value();
  co_return sum;
}

Task<int> take_owned(std::string text, std::unique_ptr<Tracked> owned, std::optional<Tracked> maybe) {
  co_await Yield();
  co_return static_cast<int>(text.size()) + owned->value() + (maybe ? maybe->value() : 0);
}

Pair make_pair_of(int first, int second) {
  return Pair{Tracked(first), Tracked(second)};
}

Task<Pair> return_aggregate(int first, int second) {
  co_await Yield();
  co_return Pair{Tracked(first), Tracked(second)};
}

Task<int> fail(Tracked value) {
  co_await Yield();
  throw std::runtime_error("value " + std::to_string(value.value()));
  co_return 0;
}

/// Runs a form and checks that whatever it constructed was destroyed, once (Tracked aborts on the second time).
int run_form(Task<int> (*form)()) {
  Tracked::reset();
  const int answer = cairn::run(form());
  CHECK(Tracked::constructed() > 0);
  CHECK(Tracked::constructed() == Tracked::destroyed());
  return answer;
}

Task<int> condition_in_a_local() {
  const Tracked outer(1);
  const bool yes = co_await truth(true);
  int sum = 0;
  if (yes) sum += outer.value();
  bool more = co_await truth(true);
  while (more) {
    const Tracked inner = co_await give(Tracked(2));
    sum += inner.value();
    more = co_await truth(sum < 9);
  }
  const Tracked selector = co_await give(Tracked(3));
  switch (selector.value()) {
    case 3:
      sum += 100;
      break;
    default:
      sum = -1;
  }
  co_return sum;
}

Task<int> named_aggregate_moved_in() {
  Pair pair = make_pair_of(1, 2);
  const int answer = co_await take_pair(std::move(pair));
  co_return answer;
}

Task<int> aggregate_returned_by_a_function() {
  const int answer = co_await take_pair(make_pair_of(3, 4));
  co_return answer;
}

Task<int> aggregate_returned_by_a_coroutine() {
  const Pair pair = co_await return_aggregate(5, 6);
  auto [first, second] = co_await return_aggregate(1, 2);
  co_return pair.first.value() * 10 + pair.second.value() + first.value() + second.value();
}

Task<int> options_as_temporaries() {
  const int chained = co_await take(Options().value(Tracked(2)).name("abc"));
  const int by_default = co_await take();
  Options named;
  named.value(Tracked(7));
  const int copied = co_await take(named);
  const int moved = co_await take(std::move(named));
  co_return chained * 1000 + by_default * 100 + copied * 10 + moved;
}

Task<int> class_temporaries() {
  const int answer = co_await take_owned("four", std::make_unique<Tracked>(3), Tracked(2));
  const int without = co_await take_owned(std::string("a"), std::make_unique<Tracked>(1), std::nullopt);
  co_return answer * 10 + without;
}

Task<int> temporaries_by_value_and_reference() {
  const int answer = co_await take_both(Tracked(1), Tracked(2));
  const Tracked named(4);
  const int again = co_await take_both(named, named);
  co_return answer * 100 + again;
}

Task<int> named_lambda() {
  const Tracked captured(5);
  auto lambda = [captured] { return captured.value(); };
  std::function<int()> function = lambda;
  const int copied = co_await take_function(function);
  const int moved = co_await take_function(std::move(lambda));
  co_return copied * 10 + moved;
}

Task<int> choose(bool first) {
  Tracked chosen(0);
  if (first) {
    chosen = co_await give(Tracked(1));
  } else {
    chosen = co_await give(Tracked(2));
  }
  co_return chosen.value();
}

Task<int> if_and_else() {
  const int first = co_await choose(true);
  const int second = co_await choose(false);
  co_return first * 10 + second;
}

Task<int> awaited_into_locals_then_built() {
  Tracked first = co_await give(Tracked(8));
  Tracked second = co_await give(Tracked(9));
  const Pair pair = Pair{std::move(first), std::move(second)};
  co_return pair.first.value() * 10 + pair.second.value();
}

Task<int> named_vector() {
  std::vector<Tracked> values;
  for (int i = 1; i <= 4; ++i)
    values.emplace_back(i);
  const int copied = co_await take_vector(values);
  const int moved = co_await take_vector(std::move(values));
  co_return copied * 100 + moved;
}

Task<int> returned_directly() {
  co_return co_await take_both(Tracked(6), Tracked(7));
}

Task<int> errors_caught() {
  const Tracked outer(1);
  int caught = 0;
  for (int i = 0; i < 3; ++i) {
    const Tracked in_loop(i);
    try {
      const Tracked in_try(2);
      const int never = co_await fail(Tracked(i));
      caught += 100 + never;
    } catch (const std::runtime_error& error) {
      caught += std::string(error.what()) == "value " + std::to_string(i) ? 1 : 1000;
    }
    const Tracked after = co_await give(in_loop);
    caught += after.value();
  }
  co_return caught + outer.value();
}

Task<int> range_for() {
  std::vector<std::unique_ptr<Tracked>> owned;
  for (int i = 1; i <= 3; ++i)
    owned.push_back(std::make_unique<Tracked>(i));
  int sum = 0;
  for (const auto& value : owned) {
    const Tracked given = co_await give(*value);
    sum += given.value();
  }
  co_return sum;
}

Task<int> futures() {
  const Future<Tracked> ready = cairn::ready_future(Tracked(3));
  const Tracked first = co_await ready;
  const Tracked second = co_await cairn::ready_future(Tracked(4));
  co_return first.value() * 10 + second.value();
}

Task<int> stored_tasks() {
  Task<Tracked> kept = give(Tracked(1));
  std::vector<Task<Tracked>> tasks;
  for (int i = 0; i < 3; ++i)
    tasks.push_back(give(Tracked(i)));
  Tracked value = co_await kept;
  int sum = value.value();
  for (Task<Tracked>& task : tasks) {
    value = co_await std::move(task);
    sum += value.value();
  }
  co_return sum;
}

template <class T>
Task<T> pass_on(Task<T> task) {
  T value = co_await task;
  co_return value;
}

Task<int> templates() {
  const Tracked value = co_await pass_on(pass_on(give(Tracked(11))));
  co_return value.value();
}

class Member {
 public:
  explicit Member(int value) : value_(value) {}
  Task<int> times(Tracked factor) const {
    co_await Yield();
    co_return value_.value() * factor.value();
  }

 private:
  Tracked value_;
};

Task<int> members() {
  const Member member(6);
  const int named = co_await member.times(Tracked(7));
  const int temporary = co_await Member(2).times(Tracked(3));
  co_return named * 10 + temporary;
}

Task<int> lambda_without_captures() {
  const auto twice = [](Tracked value) -> Task<int> {
    co_await Yield();
    co_return 2 * value.value();
  };
  const int answer = co_await twice(Tracked(4));
  co_return answer;
}

Task<int> arguments_that_throw() {
  int caught = 0;
  const auto thrower = []() -> const Tracked& { throw std::runtime_error("argument"); };
  try {
    caught = co_await take_both(Tracked(1), thrower());
  } catch (const std::runtime_error&) {
    caught = 5;
  }
  co_return caught;
}

}  // namespace

TEST_CASE("conditions come from a local") {
  CHECK(run_form(condition_in_a_local) == 109);
}
TEST_CASE("a named aggregate is moved in") {
  CHECK(run_form(named_aggregate_moved_in) == 12);
}
TEST_CASE("an aggregate comes from a function") {
  CHECK(run_form(aggregate_returned_by_a_function) == 34);
}
TEST_CASE("an aggregate comes from a coroutine") {
  CHECK(run_form(aggregate_returned_by_a_coroutine) == 59);
}
TEST_CASE("options with constructors are temporaries, named, and default arguments") {
  CHECK(run_form(options_as_temporaries) == 5077);
}
TEST_CASE("string, unique_ptr and optional are temporaries") {
  CHECK(run_form(class_temporaries) == 92);
}
TEST_CASE("temporaries are bound to values and references") {
  CHECK(run_form(temporaries_by_value_and_reference) == 1244);
}
TEST_CASE("a lambda that captures has a name") {
  CHECK(run_form(named_lambda) == 55);
}
TEST_CASE("if and else instead of ?:") {
  CHECK(run_form(if_and_else) == 12);
}
TEST_CASE("awaited into locals, then built") {
  CHECK(run_form(awaited_into_locals_then_built) == 89);
}
TEST_CASE("a list is a named vector") {
  CHECK(run_form(named_vector) == 1010);
}
TEST_CASE("co_return co_await") {
  CHECK(run_form(returned_directly) == 67);
}
TEST_CASE("errors are caught, in a loop") {
  CHECK(run_form(errors_caught) == 7);
}
TEST_CASE("awaiting in a range-for") {
  CHECK(run_form(range_for) == 6);
}
TEST_CASE("Futures, named and temporary") {
  CHECK(run_form(futures) == 34);
}
TEST_CASE("Tasks that are stored, awaited as they are and moved") {
  CHECK(run_form(stored_tasks) == 4);
}
TEST_CASE("Tasks handed to coroutine templates") {
  CHECK(run_form(templates) == 11);
}
TEST_CASE("member coroutines, of a temporary too") {
  CHECK(run_form(members) == 426);
}
TEST_CASE("a lambda without captures may be a coroutine") {
  CHECK(run_form(lambda_without_captures) == 8);
}
TEST_CASE("an argument that throws destroys those before it") {
  CHECK(run_form(arguments_that_throw) == 5);
}
