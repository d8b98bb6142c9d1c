#include <coroutine>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "cairn/detail/affinity.hpp"
#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "core/callback_thread.hpp"
#include "core/foreign.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::Future;
using cairn::Promise;
using cairn::run;
using cairn::Scheduler;
using cairn::Task;
using cairn::test::Foreign;
using cairn::test::OnNewThread;
using cairn::test::Tracked;

namespace {

Task<bool> comes_back() {
  const auto here = std::this_thread::get_id();
  Scheduler* const scheduler = Scheduler::current();
  const std::thread::id elsewhere = co_await OnNewThread();
  const bool back = std::this_thread::get_id() == here && Scheduler::current() == scheduler;
  co_return back&& elsewhere != here;
}

Task<bool> comes_back_through_a_child() {
  const auto here = std::this_thread::get_id();
  const bool child = co_await comes_back();
  const bool back = std::this_thread::get_id() == here;
  co_return child&& back;
}

}  // namespace

TEST_CASE("a Task that awaits a foreign awaitable comes back to its own thread") {
  CHECK(run(comes_back()));
  CHECK(run(comes_back_through_a_child()));
}

namespace {

class NamedAwaitable {
 public:
  explicit NamedAwaitable(std::string text) : text_(std::move(text)) {}

  class Awaiter {
   public:
    explicit Awaiter(std::string text) : text_(std::move(text)) {}
    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
    std::string await_resume() { return std::move(text_); }

   private:
    std::string text_;
  };

  std::string text_;
};

class WithMember : public NamedAwaitable {
 public:
  using NamedAwaitable::NamedAwaitable;
  Awaiter operator co_await() const& { return Awaiter("lvalue " + text_); }
  Awaiter operator co_await() && { return Awaiter("rvalue " + text_); }
};

class WithFree : public NamedAwaitable {
 public:
  using NamedAwaitable::NamedAwaitable;
};
NamedAwaitable::Awaiter operator co_await(const WithFree& awaitable) {
  return NamedAwaitable::Awaiter("free " + awaitable.text_);
}

Task<std::string> every_operator() {
  const WithMember lvalue("a");
  const std::string first = co_await lvalue;
  const std::string second = co_await WithMember("b");
  const std::string third = co_await WithFree("c");
  co_return first + ", " + second + ", " + third;
}

}  // namespace

TEST_CASE("foreign awaitables may have a member or a free operator co_await") {
  CHECK(run(every_operator()) == "lvalue a, rvalue b, free c");
}

namespace {

/// What await_suspend may answer, each with a resumption that happens before it answers, after it, or never.
enum class Way { void_inline, void_thread, bool_false, bool_true, handle_back, handle_noop, throws, ready };

template <class Answer>
class Answering {
 public:
  explicit Answering(Way way) : way_(way) {}
  ~Answering() {
    if (thread_.joinable()) thread_.join();
  }
  bool await_ready() const noexcept { return way_ == Way::ready; }
  Answer await_suspend(std::coroutine_handle<> awaiting) {
    if (way_ == Way::throws) throw std::runtime_error("could not suspend");
    if constexpr (std::is_same_v<Answer, bool>) {
      if (way_ == Way::bool_false) return false;
      resume_elsewhere(awaiting);
      return true;
    } else if constexpr (std::is_void_v<Answer>) {
      if (way_ == Way::void_inline) {
        awaiting.resume();
      } else {
        resume_elsewhere(awaiting);
      }
    } else {
      if (way_ == Way::handle_back) return awaiting;
      resume_elsewhere(awaiting);
      return std::noop_coroutine();
    }
  }
  Way await_resume() {
    if (thread_.joinable()) thread_.join();
    return way_;
  }

 private:
  void resume_elsewhere(std::coroutine_handle<> awaiting) {
    std::promise<void> stored;
    thread_ = std::thread([awaiting, may_go = stored.get_future()]() mutable {
      may_go.wait();
      awaiting.resume();
    });
    stored.set_value();
  }

  Way way_;
  std::thread thread_;
};

template <class Answer>
Task<bool> awaits(Way way) {
  const auto here = std::this_thread::get_id();
  Answering<Answer> awaitable(way);
  const Way answer = co_await awaitable;
  const bool back = std::this_thread::get_id() == here;
  co_return back&& answer == way;
}

}  // namespace

TEST_CASE("foreign awaiters may answer void, bool or a handle") {
  CHECK(run(awaits<void>(Way::void_inline)));
  CHECK(run(awaits<void>(Way::void_thread)));
  CHECK(run(awaits<bool>(Way::bool_false)));
  CHECK(run(awaits<bool>(Way::bool_true)));
  CHECK(run(awaits<std::coroutine_handle<>>(Way::handle_back)));
  CHECK(run(awaits<std::coroutine_handle<>>(Way::handle_noop)));
  CHECK(run(awaits<void>(Way::ready)));
}

TEST_CASE("an error of a foreign await_suspend goes to the awaiting Task") {
  CHECK_THROWS_AS(run(awaits<void>(Way::throws)), std::runtime_error);
  CHECK_THROWS_AS(run(awaits<bool>(Way::throws)), std::runtime_error);
}

namespace {

class Inline {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) const { awaiting.resume(); }
  void await_resume() const noexcept {}
};

Task<int> awaits_inline(int count) {
  int done = 0;
  for (; done < count; ++done)
    co_await Inline();
  co_return done;
}

}  // namespace

TEST_CASE("a long loop over foreign awaiters that resume inline takes no stack") {
  CHECK(run(awaits_inline(100'000)) == 100'000);
}

namespace {

Task<Tracked> gives(Tracked value) {
  co_await OnNewThread();
  co_return value;
}

Foreign awaits_task(Promise<bool> done, Tracked value) {
  const auto here = std::this_thread::get_id();
  const Tracked same = co_await gives(value);
  done.set_value(same.value() == 3 && std::this_thread::get_id() == here);
}

}  // namespace

TEST_CASE("a foreign coroutine that awaits a Task goes on where the Task ends: on the scheduler it was started on") {
  Tracked::reset();
  {
    cairn::CallbackThread thread;
    Promise<bool> done;
    const Future<bool> result = done.future();
    auto shared = std::make_shared<Promise<bool>>(std::move(done));
    thread.post([shared] { awaits_task(std::move(*shared), Tracked(3)); });
    CHECK(result.get());
  }
  CHECK(Tracked::constructed() > 0);
  CHECK(Tracked::alive() == 0);
}

namespace {

Task<std::thread::id> after(Future<void> future) {
  co_await future;
  co_return std::this_thread::get_id();
}

Foreign awaits_without_scheduler(Future<void> future, Promise<bool> done) {
  const std::thread::id inside = co_await after(future);
  done.set_value(inside == std::this_thread::get_id());
}

}  // namespace

TEST_CASE("a Task awaited by a foreign coroutine on a thread without a scheduler goes on on the callback thread") {
  REQUIRE(Scheduler::current() == nullptr);
  Promise<void> first;
  Promise<bool> done;
  const Future<bool> result = done.future();
  awaits_without_scheduler(first.future(), std::move(done));
  CHECK_FALSE(result.ready());
  first.set_value();
  CHECK(result.get());
}
