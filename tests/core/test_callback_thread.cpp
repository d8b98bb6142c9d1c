#include <memory>
#include <thread>
#include <vector>

#include "cairn/promise.hpp"
#include "core/callback_thread.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::CallbackThread;
using cairn::Future;
using cairn::Promise;
using cairn::Scheduler;
using cairn::test::Foreign;
using cairn::test::Tracked;

TEST_CASE("callbacks run on one other thread, in order, and all of them before the end") {
  std::vector<int> order;
  std::vector<std::thread::id> ids;
  {
    CallbackThread thread;
    for (int i = 0; i < 100; ++i) {
      thread.post([&, i] {
        order.push_back(i);
        ids.push_back(std::this_thread::get_id());
      });
    }
  }
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i)
    CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK(ids == std::vector<std::thread::id>(100, ids.front()));
  CHECK(ids.front() != std::this_thread::get_id());
}

TEST_CASE("a callback thread that was never used never was") {
  const CallbackThread unused;
  CHECK(Scheduler::current() == nullptr);
}

TEST_CASE("a callback is destroyed when it has run") {
  Tracked::reset();
  {
    CallbackThread thread;
    thread.post([tracked = Tracked(1)] { (void)tracked.value(); });
  }
  CHECK(Tracked::constructed() > 0);
  CHECK(Tracked::alive() == 0);
}

TEST_CASE("a callback thread may be destroyed on itself; what was posted still runs") {
  for (int round = 0; round < 100; ++round) {
    auto thread = std::make_shared<std::unique_ptr<CallbackThread>>(std::make_unique<CallbackThread>());
    Promise<bool> after;
    const Future<bool> ran_after = after.future();
    auto shared = std::make_shared<Promise<bool>>(std::move(after));
    CallbackThread& target = **thread;
    auto go = std::make_shared<Promise<void>>();
    target.post([go] { go->future().get(); });
    target.post([thread] { thread->reset(); });
    target.post([shared] { shared->set_value(Scheduler::current() != nullptr); });
    shared.reset();
    thread.reset();
    go->set_value();
    CHECK(ran_after.get());
  }
}

namespace {

/// Stands for a checkpointer: owns the callback thread and a Promise that completes there.
class Owner {
 public:
  Owner() : callbacks_(std::make_shared<CallbackThread>()), promise_(callbacks_) {}
  Future<int> future() const { return promise_.future(); }
  void complete(int value) { promise_.set_value(value); }

 private:
  std::shared_ptr<CallbackThread> callbacks_;
  Promise<int> promise_;
};

Foreign drops_the_owner(std::shared_ptr<Owner> owner, Promise<int> done) {
  int value = 0;
  {
    Future<int> future = owner->future();
    value = co_await future;
    owner.reset();
  }
  // Nothing is left of the owner, its thread goes on with us.
  done.set_value(value);
}

}  // namespace

TEST_CASE("a foreign coroutine that is resumed there may drop the last reference to the owner of the thread") {
  for (int round = 0; round < 100; ++round) {
    auto owner = std::make_shared<Owner>();
    Owner& completed = *owner;
    Promise<int> done;
    const Future<int> result = done.future();
    drops_the_owner(std::move(owner), std::move(done));
    completed.complete(round);
    CHECK(result.get() == round);
  }
}
