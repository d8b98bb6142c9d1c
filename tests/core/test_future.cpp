#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/future.hpp"
#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "cairn/when_all.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::Future;
using cairn::Promise;
using cairn::run;
using cairn::Task;
using cairn::test::Foreign;
using cairn::test::OwnedForeign;
using cairn::test::Tracked;
using namespace std::chrono_literals;

namespace {

std::exception_ptr an_error(const std::string& text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

template <class T>
Task<T> await(Future<T> future) {
  co_return co_await future;
}

template <class Function>
std::optional<std::error_code> code_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a Future gives its value to everyone who asks") {
  Promise<std::string> promise;
  const Future<std::string> future = promise.future();
  const Future<std::string> copy = future;
  CHECK_FALSE(future.ready());
  CHECK(promise.set_value("all of it"));
  CHECK(copy.ready());
  CHECK(future.get() == "all of it");
  CHECK(copy.get() == "all of it");
  CHECK(run(await(future)) == "all of it");
  CHECK(run(await(copy)) == "all of it");
}

TEST_CASE("a Future rethrows its error to everyone who asks") {
  Promise<void> promise;
  const Future<> future = promise.future();
  CHECK(promise.set_exception(an_error("broken")));
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_AS(future.get(), std::runtime_error);
    CHECK_THROWS_AS(run(await(future)), std::runtime_error);
  }
}

TEST_CASE("only the first completion of a Promise counts, and it says so") {
  Promise<int> promise;
  CHECK(promise.set_value(1));
  CHECK_FALSE(promise.set_value(2));
  CHECK_FALSE(promise.set_exception(an_error("late")));
  CHECK(promise.future().get() == 1);
}

TEST_CASE("a Promise dropped without a result is an error: cancelled") {
  Future<int> future;
  {
    Promise<int> promise;
    future = promise.future();
  }
  REQUIRE(future.ready());
  CHECK(code_of([&] { (void)future.get(); }) == Errc::cancelled);

  Promise<int> assigned;
  future = assigned.future();
  assigned = Promise<int>();
  CHECK(code_of([&] { (void)future.get(); }) == Errc::cancelled);
}

TEST_CASE("a Future of nothing refuses all uses") {
  const Future<int> nothing;
  CHECK_FALSE(nothing.valid());
  CHECK(code_of([&] { (void)nothing.get(); }) == Errc::bad_argument);
  CHECK(code_of([&] { (void)nothing.ready(); }) == Errc::bad_argument);
  CHECK(code_of([&] { (void)nothing.wait_for(1ms); }) == Errc::bad_argument);
  CHECK(code_of([&] { (void)run(await(nothing)); }) == Errc::bad_argument);
}

TEST_CASE("wait_for tells whether the result is there, and throws nothing") {
  Promise<int> promise;
  const Future<int> future = promise.future();
  CHECK_FALSE(future.wait_for(0ms));
  CHECK_FALSE(future.wait_for(1ms));
  CHECK_FALSE(future.wait_for(-1h));
  CHECK_FALSE(future.wait_for(std::chrono::duration<double>(0.001)));
  promise.set_exception(an_error("broken"));
  CHECK(future.wait_for(0ms));
  CHECK(future.wait_for(std::chrono::hours::max()));
}

TEST_CASE("wait_for takes the longest durations") {
  Promise<int> promise;
  const Future<int> future = promise.future();
  std::thread completer([&] { promise.set_value(1); });
  CHECK(future.wait_for(std::chrono::hours::max()));
  CHECK(future.wait_for(std::chrono::nanoseconds::max()));
  completer.join();
}

TEST_CASE("ready and failed Futures") {
  CHECK(cairn::ready_future(7).get() == 7);
  CHECK(run(await(cairn::ready_future(std::string("text")))) == "text");
  cairn::ready_future().get();
  const Future<int> failed = cairn::failed_future<int>(an_error("at once"));
  CHECK(failed.ready());
  CHECK_THROWS_AS(failed.get(), std::runtime_error);
}

TEST_CASE("values and states are destroyed once each") {
  Tracked::reset();
  {
    Promise<Tracked> promise;
    const Future<Tracked> future = promise.future();
    promise.set_value(4);
    CHECK(future.get().value() == 4);
    CHECK(run(await(future)).value() == 4);
    CHECK(Tracked::alive() == 1);
  }
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<bool> comes_back(Future<int> future, int expected) {
  const auto here = std::this_thread::get_id();
  const int value = co_await future;
  const bool back = std::this_thread::get_id() == here;
  co_return back&& value == expected;
}

Task<bool> many_wait(Future<int> future) {
  std::vector<Task<bool>> waiting;
  for (int i = 0; i < 20; ++i)
    waiting.push_back(comes_back(future, 5));
  const std::vector<bool> answers = co_await cairn::when_all(std::move(waiting));
  for (const bool answer : answers) {
    if (!answer) co_return false;
  }
  co_return true;
}

}  // namespace

TEST_CASE("Tasks that wait for a Future come back to their own thread, however many") {
  Promise<int> promise;
  const Future<int> future = promise.future();
  std::thread completer([&] {
    std::this_thread::yield();
    promise.set_value(5);
  });
  CHECK(run(many_wait(future)));
  completer.join();
}

TEST_CASE("get() is legal within run: progress comes from other threads") {
  Promise<int> promise;
  std::thread completer([&] { promise.set_value(6); });
  const auto blocking = [](Future<int> future) -> Task<int> { co_return future.get(); };
  CHECK(run(blocking(promise.future())) == 6);
  completer.join();
}

namespace {

Task<std::int64_t> awaits_ready(int count) {
  const Future<int> one = cairn::ready_future(1);
  std::int64_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const int value = co_await one;
    sum += value;
  }
  co_return sum;
}

}  // namespace

TEST_CASE("a long loop over ready Futures takes no stack") {
  CHECK(run(awaits_ready(1'000'000)) == 1'000'000);
}

TEST_CASE("a Future that completes while a coroutine begins to wait loses nobody") {
  for (int round = 0; round < 3000; ++round) {
    Promise<int> promise;
    const Future<int> future = promise.future();
    std::atomic<bool> go{false};
    std::thread completer([&] {
      while (!go.load(std::memory_order_acquire)) {
      }
      promise.set_value(round);
    });
    go.store(true, std::memory_order_release);
    CHECK(run(comes_back(future, round)));
    completer.join();
  }
}

TEST_CASE("a Future that completes while threads begin to wait loses nobody") {
  for (int round = 0; round < 500; ++round) {
    Promise<int> promise;
    const Future<int> future = promise.future();
    std::atomic<int> answers{0};
    std::thread first([&] { answers += future.get(); });
    std::thread second([&] { answers += run(await(future)); });
    promise.set_value(1);
    first.join();
    second.join();
    CHECK(answers == 2);
  }
}

namespace {

Foreign wait_foreign(Future<int> future, Promise<std::thread::id> done, std::atomic<int>* sum) {
  try {
    const int value = co_await future;
    *sum += value;
  } catch (const std::runtime_error&) {
    *sum = -1;
  }
  done.set_value(std::this_thread::get_id());
}

}  // namespace

TEST_CASE("a foreign coroutine is resumed on a callback thread, not on the thread that completes") {
  Promise<int> promise;
  std::atomic<int> sum{0};
  std::vector<Future<std::thread::id>> ends;
  for (int i = 0; i < 3; ++i) {
    Promise<std::thread::id> done;
    ends.push_back(done.future());
    wait_foreign(promise.future(), std::move(done), &sum);
  }
  promise.set_value(2);
  for (const auto& end : ends) {
    CHECK(end.get() != std::this_thread::get_id());
    CHECK(end.get() == ends[0].get());
  }
  CHECK(sum == 6);
}

TEST_CASE("a foreign coroutine gets the error, and a ready Future does not suspend it") {
  std::atomic<int> sum{0};
  Promise<int> promise;
  Promise<std::thread::id> done;
  const Future<std::thread::id> end = done.future();
  wait_foreign(promise.future(), std::move(done), &sum);
  promise.set_exception(an_error("broken"));
  (void)end.get();
  CHECK(sum == -1);

  Promise<std::thread::id> at_once;
  const Future<std::thread::id> end_at_once = at_once.future();
  wait_foreign(cairn::ready_future(7), std::move(at_once), &sum);
  REQUIRE(end_at_once.ready());
  CHECK(end_at_once.get() == std::this_thread::get_id());
}

namespace {

Foreign drop_last_reference(Future<int> future, std::unique_ptr<Promise<void>> done) {
  {
    const Future<int> last = std::move(future);
    (void)co_await last;
  }
  done->set_value();
}

}  // namespace

TEST_CASE("a foreign coroutine may drop the last reference to the Future, and with it its callback thread") {
  for (int round = 0; round < 50; ++round) {
    auto done = std::make_unique<Promise<void>>();
    const Future<> ended = done->future();
    {
      Promise<int> promise;
      drop_last_reference(promise.future(), std::move(done));
      promise.set_value(round);
    }
    ended.get();
  }
}

namespace {

OwnedForeign wait_owned(Future<int> future, Tracked tracked) {
  const int value = co_await future;
  CHECK(value == tracked.value());
}

}  // namespace

TEST_CASE("a coroutine may be destroyed while it waits") {
  Tracked::reset();
  Promise<int> promise;
  {
    OwnedForeign first = wait_owned(promise.future(), Tracked(1));
    OwnedForeign second = wait_owned(promise.future(), Tracked(1));
    OwnedForeign third = wait_owned(promise.future(), Tracked(1));
    first.start();
    second.start();
    third.start();
    const OwnedForeign gone = std::move(second);
  }
  CHECK(Tracked::alive() == 0);
  CHECK(promise.set_value(1));
}

TEST_CASE("a Future knows whether anybody observes it") {
  Promise<int> promise;
  const Future<int> future = promise.future();
  CHECK_FALSE(promise.observed());
  (void)future.ready();
  (void)future.wait_for(0ms);
  CHECK_FALSE(promise.observed());
  promise.set_exception(an_error("broken"));
  CHECK_FALSE(cairn::detail::observed(future));
  CHECK(cairn::detail::error_of(future) != nullptr);
  CHECK_FALSE(promise.observed());

  SECTION("by get()") {
    CHECK_THROWS_AS(future.get(), std::runtime_error);
  }
  SECTION("by awaiting a copy") {
    CHECK_THROWS_AS(run(await(promise.future())), std::runtime_error);
  }
  CHECK(promise.observed());
}

TEST_CASE("a waiter observes from the moment it waits") {
  Promise<int> promise;
  OwnedForeign waiter = wait_owned(promise.future(), Tracked(1));
  CHECK_FALSE(promise.observed());
  waiter.start();
  CHECK(promise.observed());
}

TEST_CASE("on_ready calls back on the completing thread, or at once") {
  Promise<int> promise;
  const Future<int> future = promise.future();
  std::vector<std::thread::id> calls;
  cairn::detail::on_ready(future, [&] { calls.push_back(std::this_thread::get_id()); });
  cairn::detail::on_ready(future, [&] { calls.push_back(std::this_thread::get_id()); });
  CHECK(calls.empty());
  std::thread completer([&] { promise.set_value(1); });
  const auto completer_id = completer.get_id();
  completer.join();
  CHECK(calls == std::vector<std::thread::id>{completer_id, completer_id});
  cairn::detail::on_ready(future, [&] { calls.push_back(std::this_thread::get_id()); });
  REQUIRE(calls.size() == 3);
  CHECK(calls.back() == std::this_thread::get_id());
  CHECK_FALSE(promise.observed());
}

TEST_CASE("a callback that holds its own Future is dropped after it ran") {
  Tracked::reset();
  {
    Promise<int> promise;
    const Future<int> future = promise.future();
    cairn::detail::on_ready(future, [future, kept = Tracked(1)] { (void)future.ready(); });
    CHECK(Tracked::alive() == 1);
  }
  CHECK(Tracked::alive() == 0);
}
