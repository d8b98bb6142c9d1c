#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Event;
using cairn::Future;
using cairn::Promise;
using cairn::run;
using cairn::Scheduler;
using cairn::Scope;
using cairn::Task;
using cairn::test::OnNewThread;
using cairn::test::Tracked;

namespace {

Task<Scheduler*> current() {
  co_return Scheduler::current();
}

Task<Scheduler*> current_in_nested_run() {
  Scheduler* const inner = run(current());
  co_return inner;
}

Task<bool> scheduler_is_kept() {
  Scheduler* const before = Scheduler::current();
  (void)run(current());
  co_return Scheduler::current() == before;
}

Task<int> nested(int levels) {
  co_await OnNewThread();
  if (levels == 0) co_return 0;
  const int below = run(nested(levels - 1));
  co_await OnNewThread();
  co_return below + 1;
}

Task<> fails() {
  co_await OnNewThread();
  throw std::runtime_error("it failed");
}

}  // namespace

TEST_CASE("run makes a scheduler for the thread and takes it away") {
  CHECK(Scheduler::current() == nullptr);
  CHECK(run(current()) != nullptr);
  CHECK(Scheduler::current() == nullptr);
  CHECK_THROWS_AS(run(fails()), std::runtime_error);
  CHECK(Scheduler::current() == nullptr);
}

TEST_CASE("run may be nested") {
  CHECK(run(current_in_nested_run()) != nullptr);
  CHECK(run(scheduler_is_kept()));
  CHECK(run(nested(5)) == 5);
}

namespace {

Task<> set_later(Event* event, Event* go) {
  co_await go->wait();
  event->set();
}

Task<> wait_for(Event* event, Event* go) {
  go->set();
  co_await event->wait();
}

Task<bool> nested_waits_for_sibling() {
  Event event;
  Event go;
  Scope scope;
  scope.spawn(set_later(&event, &go));
  run(wait_for(&event, &go));
  const bool set = event.is_set();
  co_await scope.join();
  co_return set;
}

}  // namespace

TEST_CASE("while a nested run waits, the outer run's coroutines go on") {
  CHECK(run(nested_waits_for_sibling()));
}

namespace {

Task<Tracked> hold(Tracked value) {
  co_await OnNewThread();
  co_return value;
}

}  // namespace

TEST_CASE("run destroys the Task and its parameters before it returns") {
  Tracked::reset();
  {
    const Tracked result = run(hold(Tracked(2)));
    CHECK(result.value() == 2);
    CHECK(Tracked::alive() == 1);
  }
  CHECK(Tracked::alive() == 0);
}

TEST_CASE("runs on several threads do not disturb each other") {
  std::vector<std::thread> threads;
  std::vector<int> answers(4, 0);
  for (int& answer : answers)
    threads.emplace_back([&answer] { answer = run(nested(3)); });
  for (std::thread& thread : threads)
    thread.join();
  CHECK(answers == std::vector<int>(4, 3));
}

namespace {

Task<int> hops(int count) {
  int done = 0;
  for (; done < count; ++done) {
    Promise<void> promise;
    const Future<> future = promise.future();
    std::thread completer([&] { promise.set_value(); });
    co_await future;
    completer.join();
  }
  co_return done;
}

}  // namespace

TEST_CASE("the queue may go as soon as the last post was taken") {
  // The posting thread is still inside post() when run() returns, now and then.
  for (int round = 0; round < 300; ++round)
    CHECK(run(hops(1)) == 1);
}
