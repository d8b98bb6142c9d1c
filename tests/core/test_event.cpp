#include <string>
#include <vector>

#include "cairn/run.hpp"
#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"

using cairn::Event;
using cairn::Notifier;
using cairn::run;
using cairn::Scope;
using cairn::Task;

namespace {

using Notes = std::vector<std::string>;

Task<> wait_for(Event* event, Notes* notes, std::string name) {
  co_await event->wait();
  notes->push_back(name);
}

Task<> resumed_in_order(Notes* notes) {
  Event event;
  Scope scope;
  scope.spawn(wait_for(&event, notes, "a"));
  scope.spawn(wait_for(&event, notes, "b"));
  event.set();
  CHECK(event.is_set());
  CHECK(notes->empty());  // posted, not resumed inline
  scope.spawn(wait_for(&event, notes, "ready"));
  event.reset();
  CHECK_FALSE(event.is_set());
  co_await scope.join();

  scope.spawn(wait_for(&event, notes, "after the reset"));
  notes->push_back("reset");
  event.set();
  co_await scope.join();
}

Task<> next_of(Notifier* notifier, Notes* notes, int times) {
  for (int i = 0; i < times; ++i) {
    co_await notifier->next();
    notes->push_back(std::to_string(times));
  }
}

Task<> notified(Notes* notes) {
  Notifier notifier;
  Scope scope;
  notifier.notify_all();  // nobody waits: nothing is remembered
  scope.spawn(next_of(&notifier, notes, 1));
  scope.spawn(next_of(&notifier, notes, 2));
  CHECK(notes->empty());
  notifier.notify_all();
  notifier.notify_all();  // those who were posted do not wait yet
  while (scope.size() == 2)
    co_await cairn::test::OnNewThread();
  CHECK(*notes == Notes{"1", "2"});
  notifier.notify_all();
  co_await scope.join();
  CHECK(*notes == Notes{"1", "2", "2"});
}

cairn::test::OwnedForeign foreign_wait(Event* event) {
  co_await event->wait();
}

Task<> destroyed_while_waiting(Notes* notes) {
  Event event;
  Scope scope;
  scope.spawn(wait_for(&event, notes, "a"));
  {
    cairn::test::OwnedForeign gone = foreign_wait(&event);
    gone.start();
    CHECK_FALSE(gone.done());
    scope.spawn(wait_for(&event, notes, "b"));
  }
  event.set();
  co_await scope.join();
}

}  // namespace

TEST_CASE("Event: waiters are posted in their order, even if it is reset at once") {
  Notes notes;
  run(resumed_in_order(&notes));
  CHECK(notes == Notes{"ready", "a", "b", "reset", "after the reset"});
}

TEST_CASE("Notifier: resumes those who wait now, and nobody later") {
  Notes notes;
  run(notified(&notes));
}

TEST_CASE("Event: a coroutine that is destroyed leaves the list of waiters") {
  Notes notes;
  run(destroyed_while_waiting(&notes));
  CHECK(notes == Notes{"a", "b"});
}
