#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cairn/error.hpp>
#include <cairn/scope.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "core/event_source.hpp"
#include "core/unique_fd.hpp"
#include "loop/loop.hpp"
#include "loop/run_on.hpp"
#include "support/catch.hpp"

namespace {

using cairn::Task;
using cairn::UniqueFd;
using cairn::loop::Loop;
using cairn::test::run_on;
using Clock = std::chrono::steady_clock;

UniqueFd make_eventfd() {
  return UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

void signal(int fd) {
  const std::uint64_t one = 1;
  if (::write(fd, &one, sizeof one) != sizeof one) std::abort();
}

/// A source that always claims to have done something, until it is told otherwise.
class BusySource : public cairn::EventSource {
 public:
  bool poll() override {
    ++polls;
    return busy;
  }
  bool idle() const override { return !busy; }
  int wake_fd() const override { return fd_.get(); }
  void before_sleep() override { ++sleeps; }
  void after_sleep() override {
    std::uint64_t count = 0;
    if (::read(fd_.get(), &count, sizeof count) == sizeof count) ++wakes;
  }

  bool busy = true;
  int polls = 0;
  int sleeps = 0;
  int wakes = 0;

 private:
  UniqueFd fd_ = make_eventfd();
};

Task<bool> wait_readable(Loop& loop, int fd) {
  co_return co_await loop.readable(fd);
}

Task<void> expect_cancelled(Loop& loop, int fd, std::stop_token stop, int* cancelled) {
  try {
    if (fd >= 0) {
      co_await loop.readable(fd, std::nullopt, stop);
    } else {
      const Clock::time_point never = Clock::now() + std::chrono::hours(1);
      co_await loop.sleep_until(never, stop);
    }
  } catch (const cairn::Error& error) {
    if (error.code() == cairn::Errc::cancelled) ++*cancelled;
  }
}

}  // namespace

TEST_CASE("posts run in the order of the calls, whatever they are") {
  Loop loop;
  std::vector<int> order;
  std::function<void()> second = [&] { order.push_back(2); };
  std::function<void()> first = [&] {
    order.push_back(1);
    std::function<void()> last = [&] {
      order.push_back(3);
      loop.stop();
    };
    loop.post(std::move(last));
  };
  loop.post(std::move(first));
  loop.post(std::move(second));
  loop.run();
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("a stop that comes before the run makes it return, once") {
  Loop loop;
  loop.stop();
  loop.run();
  bool ran = false;
  std::function<void()> step = [&] {
    ran = true;
    loop.stop();
  };
  loop.post(std::move(step));
  loop.run();
  CHECK(ran);
}

TEST_CASE("posts from many threads all run on the loop's thread, each thread's in order") {
  Loop loop;
  constexpr int threads = 4;
  constexpr int posts = 3000;
  std::array<int, threads> seen = {};
  int done = 0;
  bool in_order = true;
  const std::thread::id here = std::this_thread::get_id();
  std::vector<std::thread> posters;
  for (int thread = 0; thread < threads; ++thread) {
    posters.emplace_back([&, thread] {
      for (int index = 0; index < posts; ++index) {
        loop.post([&, thread, index] {
          in_order = in_order && seen[static_cast<std::size_t>(thread)]++ == index &&
                     std::this_thread::get_id() == here && cairn::Scheduler::current() == &loop;
          if (++done == threads * posts) loop.stop();
        });
      }
    });
  }
  loop.run();
  for (std::thread& poster : posters)
    poster.join();
  CHECK(done == threads * posts);
  CHECK(in_order);
}

TEST_CASE("readable sees an eventfd, a pidfd, a pipe's closed end, and what is readable already") {
  Loop loop;
  SECTION("eventfd, written by another thread while the loop sleeps") {
    const UniqueFd fd = make_eventfd();
    std::thread writer([&] { signal(fd.get()); });
    CHECK(run_on(loop, wait_readable(loop, fd.get())));
    writer.join();
  }
  SECTION("pidfd") {
    std::array<int, 2> gate = {-1, -1};
    REQUIRE(::pipe2(gate.data(), O_CLOEXEC) == 0);
    const UniqueFd read_end(gate[0]);
    UniqueFd write_end(gate[1]);
    const pid_t child = ::fork();
    if (child == 0) {
      write_end.reset();
      char byte = 0;
      ::_exit(::read(read_end.get(), &byte, 1) == 0 ? 7 : 8);
    }
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    REQUIRE(pidfd);
    loop.post([&] { loop.post([&] { write_end.reset(); }); });
    CHECK(run_on(loop, wait_readable(loop, pidfd.get())));
    int status = 0;
    CHECK(::waitpid(child, &status, WNOHANG) == child);
    CHECK(WEXITSTATUS(status) == 7);
  }
  SECTION("closed end") {
    std::array<int, 2> ends = {-1, -1};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    loop.post([&] { loop.post([&] { write_end.reset(); }); });
    CHECK(run_on(loop, wait_readable(loop, read_end.get())));
  }
  SECTION("already, with a deadline in the past") {
    const UniqueFd fd = make_eventfd();
    signal(fd.get());
    CHECK(run_on(loop, loop.readable(fd.get(), Clock::now() - std::chrono::seconds(1))));
  }
}

TEST_CASE("readable is false at its deadline and throws for what is no descriptor") {
  Loop loop;
  const UniqueFd fd = make_eventfd();
  CHECK_FALSE(run_on(loop, loop.readable(fd.get(), Clock::now() + std::chrono::milliseconds(2))));
  CHECK_FALSE(run_on(loop, loop.readable(fd.get(), Clock::now() - std::chrono::seconds(1))));
  int closed = -1;
  {
    const UniqueFd gone = make_eventfd();
    closed = gone.get();
  }
  CHECK_THROWS_AS(run_on(loop, loop.readable(closed)), cairn::Error);
}

namespace {

Task<void> wait_twice(Loop& loop, int fd, int* done) {
  cairn::Scope scope;
  const auto waiter = [](Loop& on, int what, int* count) -> Task<void> {
    co_await on.readable(what);
    ++*count;
  };
  scope.spawn(waiter(loop, fd, done));
  scope.spawn(waiter(loop, fd, done));
  signal(fd);
  co_await scope.join();
}

}  // namespace

TEST_CASE("several tasks may wait for one descriptor") {
  Loop loop;
  const UniqueFd fd = make_eventfd();
  int done = 0;
  run_on(loop, wait_twice(loop, fd.get(), &done));
  CHECK(done == 2);
}

TEST_CASE("a stop from another thread ends waits for descriptors and times") {
  for (int round = 0; round < 50; ++round) {
    Loop loop;
    const UniqueFd fd = make_eventfd();
    std::stop_source stop;
    int cancelled = 0;
    std::thread stopper([&] { stop.request_stop(); });
    run_on(loop, expect_cancelled(loop, fd.get(), stop.get_token(), &cancelled));
    stopper.join();
    std::stop_source other;
    std::thread second([&] { other.request_stop(); });
    run_on(loop, expect_cancelled(loop, -1, other.get_token(), &cancelled));
    second.join();
    REQUIRE(cancelled == 2);
  }
}

namespace {

Task<void> note_after(Loop& loop, Clock::time_point time, int name, std::vector<int>* order) {
  co_await loop.sleep_until(time);
  order->push_back(Clock::now() >= time ? name : -name);
}

Task<void> three_sleeps(Loop& loop, std::vector<int>* order) {
  cairn::Scope scope;
  const Clock::time_point now = Clock::now();
  scope.spawn(note_after(loop, now + std::chrono::milliseconds(4), 3, order));
  scope.spawn(note_after(loop, now + std::chrono::milliseconds(2), 2, order));
  scope.spawn(note_after(loop, now - std::chrono::milliseconds(2), 1, order));
  co_await scope.join();
}

}  // namespace

TEST_CASE("sleeps end in the order of their times, never early") {
  Loop loop;
  std::vector<int> order;
  run_on(loop, three_sleeps(loop, &order));
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("a loop that is destroyed ends its waits with cancelled and empties its queue") {
  const UniqueFd fd = make_eventfd();
  int cancelled = 0;
  bool ran = false;
  std::vector<Task<void>> tasks;
  {
    Loop loop;
    tasks.push_back(expect_cancelled(loop, fd.get(), std::stop_token(), &cancelled));
    tasks.push_back(expect_cancelled(loop, -1, std::stop_token(), &cancelled));
    loop.post([&] {
      for (Task<void>& task : tasks)
        task.handle().promise().bind(nullptr, std::noop_coroutine());
      for (Task<void>& task : tasks)
        task.handle().resume();
      loop.stop();
    });
    loop.run();
    CHECK(cancelled == 0);
    loop.post([&] { ran = true; });
  }
  CHECK(cancelled == 2);
  CHECK(ran);
}

TEST_CASE("descriptors are not starved by a source that always has work") {
  Loop loop;
  BusySource source;
  loop.attach(&source);
  const UniqueFd fd = make_eventfd();
  // Two rounds later, when the task waits.
  loop.post([&] { loop.post([&] { loop.post([&] { signal(fd.get()); }); }); });
  CHECK(run_on(loop, wait_readable(loop, fd.get())));
  CHECK(source.polls > 1);
  CHECK(source.sleeps == 0);
  loop.detach();
}

namespace {

/// Has something to do whenever another thread says so.
class ToldSource : public cairn::EventSource {
 public:
  explicit ToldSource(Loop& loop, int rounds) : loop_(loop), rounds_(rounds) {}

  bool poll() override {
    if (!told.exchange(false)) return false;
    if (++handled == rounds_) loop_.stop();
    return true;
  }
  bool idle() const override { return true; }
  int wake_fd() const override { return fd_.get(); }
  void before_sleep() override {}
  void after_sleep() override {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &count, sizeof count);
  }

  std::atomic<bool> told = false;
  std::atomic<int> handled = 0;

 private:
  Loop& loop_;
  const int rounds_;
  UniqueFd fd_ = make_eventfd();
};

}  // namespace

TEST_CASE("the source's eventfd wakes the loop every time") {
  constexpr int rounds = 2000;
  Loop loop;
  ToldSource source(loop, rounds);
  loop.attach(&source);
  CHECK_THROWS_AS(loop.attach(&source), cairn::Error);
  // A wake that is lost hangs here: the next one comes only after it was handled.
  std::thread teller([&] {
    for (int round = 0; round < rounds; ++round) {
      source.told = true;
      signal(source.wake_fd());
      while (source.handled <= round)
        std::this_thread::yield();
    }
  });
  loop.run();
  teller.join();
  CHECK(source.handled == rounds);
  loop.detach();
}
