#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "loop/loop_thread.hpp"
#include "support/catch.hpp"

namespace {

using cairn::loop::LoopThread;

}  // namespace

TEST_CASE("a call runs on the loop's thread and brings its exception back") {
  LoopThread thread("test-loop");
  std::thread::id there;
  bool nested = false;
  thread.call([&] {
    there = std::this_thread::get_id();
    thread.call([&] { nested = cairn::Scheduler::current() == &thread.loop(); });
  });
  CHECK(there != std::this_thread::get_id());
  CHECK(nested);
  CHECK_THROWS_AS(thread.call([] { throw std::runtime_error("from the loop"); }), std::runtime_error);
}

TEST_CASE("nothing that was posted is lost when a LoopThread ends") {
  std::atomic<int> ran = 0;
  {
    LoopThread thread("test-loop");
    std::vector<std::thread> posters;
    for (int poster = 0; poster < 4; ++poster) {
      posters.emplace_back([&] {
        for (int index = 0; index < 1000; ++index)
          thread.loop().post([&] { ++ran; });
      });
    }
    for (std::thread& poster : posters)
      poster.join();
  }
  CHECK(ran == 4000);
}

TEST_CASE("a LoopThread may be destroyed on its own thread") {
  auto thread = std::make_unique<LoopThread>("test-loop");
  std::promise<void> ended;
  std::future<void> end = ended.get_future();
  cairn::loop::Loop& loop = thread->loop();
  // Destroyed with the queue, after the LoopThread: then its thread is on its way out of the loop.
  auto last = std::shared_ptr<void>(nullptr, [&](void*) { ended.set_value(); });
  std::function<void()> destroy = [owner = std::make_shared<std::unique_ptr<LoopThread>>(std::move(thread)), last] {
    owner->reset();
  };
  last.reset();
  loop.post(std::move(destroy));
  end.wait();
  CHECK(end.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
}
