#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/run.hpp"
#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Event;
using cairn::run;
using cairn::Scope;
using cairn::Task;
using cairn::test::OnNewThread;
using cairn::test::Tracked;

namespace {

using Notes = std::vector<std::string>;

Task<> note_around(Notes* notes, std::string name, Event* event) {
  notes->push_back(name + " begins");
  co_await event->wait();
  notes->push_back(name + " ends");
}

Task<> two_children(Notes* notes) {
  Event event;
  Scope scope;
  scope.spawn(note_around(notes, "a", &event));
  notes->push_back("spawned a");
  scope.spawn(note_around(notes, "b", &event));
  CHECK(scope.size() == 2);
  event.set();
  notes->push_back("set");
  co_await scope.join();
  CHECK(scope.size() == 0);
  notes->push_back("joined");
}

}  // namespace

TEST_CASE("children start where they are spawned and are all joined") {
  Notes notes;
  run(two_children(&notes));
  CHECK(notes == Notes{"a begins", "spawned a", "b begins", "set", "a ends", "b ends", "joined"});
}

namespace {

/// Ends when it is stopped; the way a child waits for something that can be cancelled.
Task<> until_stopped(std::stop_token token, Notes* notes, std::string name) {
  Event stopped;
  auto set = [&stopped] { stopped.set(); };
  const std::stop_callback<decltype(set)> callback(token, set);
  co_await stopped.wait();
  notes->push_back(name + " stopped");
  throw std::logic_error(name + " was stopped");
}

Task<> fails_later(std::string text) {
  co_await OnNewThread();
  throw std::runtime_error(text);
}

Task<> fails_with_siblings(Notes* notes) {
  Scope scope;
  scope.spawn(until_stopped(scope.stop_token(), notes, "a"));
  scope.spawn(fails_later("the first error"));
  scope.spawn(until_stopped(scope.stop_token(), notes, "b"));
  try {
    co_await scope.join();
  } catch (const std::runtime_error& error) {
    notes->push_back(error.what());
  }
  CHECK(scope.stop_token().stop_requested());
  co_await scope.join();  // rethrown once
  notes->push_back("joined again");
}

}  // namespace

TEST_CASE("the first error cancels the siblings and is rethrown, once, when all are done") {
  Notes notes;
  run(fails_with_siblings(&notes));
  REQUIRE(notes.size() == 4);
  CHECK(notes[0] == "b stopped");  // stop callbacks run newest first
  CHECK(notes[1] == "a stopped");
  CHECK(notes[2] == "the first error");
  CHECK(notes[3] == "joined again");
}

namespace {

Task<> fails_at_once() {
  throw std::runtime_error("at once");
  co_return;
}

Task<> error_while_spawning() {
  Scope scope;
  scope.spawn(fails_at_once());
  CHECK(scope.stop_token().stop_requested());
  co_await scope.join();
}

}  // namespace

TEST_CASE("a child that fails while it is spawned fails the join, not the spawn") {
  CHECK_THROWS_AS(run(error_while_spawning()), std::runtime_error);
}

namespace {

Task<> with_parent(std::stop_source* parent, Notes* notes) {
  Scope scope(parent->get_token());
  scope.spawn(until_stopped(scope.stop_token(), notes, "child"));
  CHECK(scope.stop_token().stop_requested() == parent->stop_requested());
  parent->request_stop();
  try {
    co_await scope.join();
  } catch (const std::logic_error& error) {
    notes->push_back(error.what());
  }
}

}  // namespace

TEST_CASE("a Scope stops with its parent") {
  Notes notes;
  std::stop_source parent;
  run(with_parent(&parent, &notes));
  CHECK(notes == Notes{"child stopped", "child was stopped"});

  notes.clear();
  run(with_parent(&parent, &notes));  // stopped before it began
  CHECK(notes.size() == 2);
}

namespace {

Task<> holds(Tracked value, Event* event) {
  co_await event->wait();
  CHECK(value.value() == 1);
}

Task<> children_are_gone_after_join() {
  Event event;
  Scope scope;
  for (int i = 0; i < 10; ++i)
    scope.spawn(holds(Tracked(1), &event));
  CHECK(Tracked::alive() == 10);
  event.set();
  co_await scope.join();
  CHECK(Tracked::alive() == 0);
}

Task<> spawns_more(Scope* scope, int more) {
  co_await OnNewThread();
  if (more > 0) scope->spawn(spawns_more(scope, more - 1));
}

Task<> grows_while_joined() {
  Scope scope;
  scope.spawn(spawns_more(&scope, 5));
  co_await scope.join();
  CHECK(scope.size() == 0);
}

}  // namespace

TEST_CASE("children and their parameters are gone when join returns") {
  Tracked::reset();
  run(children_are_gone_after_join());
  CHECK(Tracked::constructed() >= 10);
}

TEST_CASE("children may be spawned while the Scope is joined") {
  run(grows_while_joined());
}

TEST_CASE("spawn needs a scheduler") {
  Tracked::reset();
  {
    Event event;
    Scope scope;
    CHECK_THROWS_AS(scope.spawn(holds(Tracked(1), &event)), cairn::Error);
  }
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<> leaves_a_child() {
  Event never;
  auto* const scope = new Scope;
  scope->spawn(holds(Tracked(1), &never));
  delete scope;
  co_return;
}

}  // namespace

TEST_CASE("a Scope that is destroyed with live children ends the process and says why") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    std::set_terminate([] { ::_exit(42); });
    run(leaves_a_child());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[256];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
  CHECK(said.find("Scope was destroyed with 1 live children") != std::string::npos);
}
