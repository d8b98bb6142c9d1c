#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cairn/run.hpp"
#include "cairn/when_all.hpp"
#include "core/work_pool.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::run;
using cairn::Task;
using cairn::WorkPool;
using cairn::test::Tracked;

namespace {

std::ptrdiff_t threads_now() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

Task<bool> works_elsewhere(WorkPool* pool) {
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  std::function<void()> work = [&there] { there = std::this_thread::get_id(); };
  co_await pool->run(work);
  const bool back = std::this_thread::get_id() == here;
  co_return back&& there != here;
}

Task<> fails(WorkPool* pool) {
  std::function<void()> work = [] { throw std::runtime_error("in the pool"); };
  co_await pool->run(work);
}

Task<> many(WorkPool* pool, int count, std::atomic<int>* done) {
  std::vector<Task<void>> tasks;
  for (int i = 0; i < count; ++i)
    tasks.push_back(pool->run([done] { ++*done; }));
  co_await cairn::when_all(std::move(tasks));
}

/// Holds threads until as many as it wants are there: shows that work runs side by side.
class Meeting {
 public:
  explicit Meeting(int wanted) : missing_(wanted) {}
  void come() {
    std::unique_lock lock(mutex_);
    if (--missing_ == 0) all_there_.notify_all();
    all_there_.wait(lock, [this] { return missing_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_there_;
  int missing_;
};

Task<> meet(WorkPool* pool, int count) {
  Meeting meeting(count);
  std::vector<Task<void>> tasks;
  for (int i = 0; i < count; ++i)
    tasks.push_back(pool->run([&meeting] { meeting.come(); }));
  co_await cairn::when_all(std::move(tasks));
}

Task<> tracked_work(WorkPool* pool) {
  const Tracked tracked(1);
  std::function<void()> work = [tracked] { (void)tracked.value(); };
  Task<void> running = pool->run(std::move(work));
  CHECK(Tracked::alive() == 2);
  co_await running;
  CHECK(Tracked::alive() == 1);  // the work is destroyed before its Task is resumed
}

}  // namespace

TEST_CASE("work runs on the pool and its Task comes back") {
  WorkPool pool(2, "test-pool");
  CHECK(run(works_elsewhere(&pool)));
  CHECK_THROWS_AS(run(fails(&pool)), std::runtime_error);
  CHECK(run(works_elsewhere(&pool)));
}

TEST_CASE("a pool has no threads before its first work, and no more than it needs") {
  const auto before = threads_now();
  {
    WorkPool pool(4, "test-pool");
    CHECK(threads_now() == before);
    CHECK(pool.threads() == 4);
    (void)run(works_elsewhere(&pool));
    CHECK(threads_now() == before + 1);
  }
  CHECK(threads_now() == before);
  CHECK(WorkPool(0, "at-least-one").threads() == 1);
}

TEST_CASE("pieces of work run side by side, on as many threads as there may be") {
  WorkPool pool(3, "test-pool");
  run(meet(&pool, 3));
  run(meet(&pool, 2));
}

TEST_CASE("many pieces of work are all done") {
  WorkPool pool(3, "a name that is longer than the kernel keeps");
  std::atomic<int> done{0};
  run(many(&pool, 2000, &done));
  CHECK(done == 2000);
}

TEST_CASE("several threads may use one pool") {
  WorkPool pool(2, "test-pool");
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] { run(many(&pool, 300, &done)); });
  for (std::thread& thread : threads)
    thread.join();
  CHECK(done == 900);
}

TEST_CASE("a piece of work is destroyed before its Task goes on") {
  Tracked::reset();
  WorkPool pool(1, "test-pool");
  run(tracked_work(&pool));
  CHECK(Tracked::alive() == 0);
}
