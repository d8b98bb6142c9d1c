#include <asio/bind_executor.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

#include "cairn/asio.hpp"
#if !defined(__clang__)
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#endif
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "cairn/error.hpp"
#include "cairn/promise.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

using cairn::async_get;
using cairn::Future;
using cairn::Promise;
using cairn::test::Tracked;

namespace {

std::exception_ptr an_error() {
  return std::make_exception_ptr(std::runtime_error("broken"));
}

}  // namespace

TEST_CASE("a callback runs on its executor, which is kept at work until then") {
  asio::io_context context;
  Promise<std::string> promise;
  std::optional<std::string> got;
  std::thread::id where;
  async_get(promise.future(), asio::bind_executor(context, [&](std::exception_ptr error, std::string value) {
              CHECK_FALSE(error);
              got = std::move(value);
              where = std::this_thread::get_id();
            }));
  CHECK(promise.observed());
  std::thread completer([&] { promise.set_value("all of it"); });
  context.run();  // returns only after the callback
  completer.join();
  CHECK(got == "all of it");
  CHECK(where == std::this_thread::get_id());
}

TEST_CASE("a ready Future does not call back inline") {
  asio::io_context context;
  int calls = 0;
  async_get(cairn::ready_future(5),
            asio::bind_executor(context, [&](std::exception_ptr, int value) { calls += value; }));
  CHECK(calls == 0);
  context.run();
  CHECK(calls == 5);
}

TEST_CASE("a callback gets the error, and a Future<void> gives nothing else") {
  asio::io_context context;
  std::exception_ptr first;
  std::exception_ptr second;
  bool third_called = false;
  async_get(cairn::failed_future<int>(an_error()),
            asio::bind_executor(context, [&](std::exception_ptr error, int value) {
              first = error;
              CHECK(value == 0);
            }));
  async_get(cairn::failed_future<void>(an_error()),
            asio::bind_executor(context, [&](std::exception_ptr error) { second = error; }));
  async_get(cairn::ready_future(), asio::bind_executor(context, [&](std::exception_ptr error) {
              third_called = true;
              CHECK_FALSE(error);
            }));
  context.run();
  CHECK_THROWS_AS(std::rethrow_exception(first), std::runtime_error);
  CHECK_THROWS_AS(std::rethrow_exception(second), std::runtime_error);
  CHECK(third_called);
}

TEST_CASE("a callback may only be movable; it and the value are destroyed once each") {
  Tracked::reset();
  {
    asio::io_context context;
    Promise<Tracked> promise;
    int got = 0;
    async_get(promise.future(), asio::bind_executor(context, [&got, only_moved = std::make_unique<int>(1),
                                                              tracked = Tracked(1)](std::exception_ptr, Tracked value) {
                got = value.value() + *only_moved + tracked.value();
              }));
    promise.set_value(5);
    context.run();
    CHECK(got == 7);
  }
  CHECK(Tracked::alive() == 0);
}

TEST_CASE("use_future, with a callback's executor of Asio's own") {
  Promise<int> promise;
  std::future<int> future = async_get(promise.future(), asio::use_future);
  std::future<void> failed = async_get(cairn::failed_future<void>(an_error()), asio::use_future);
  promise.set_value(7);
  CHECK(future.get() == 7);
  CHECK_THROWS_AS(failed.get(), std::runtime_error);
}

TEST_CASE("executors of a thread pool and of a strand") {
  asio::thread_pool pool(2);
  const auto strand = asio::make_strand(pool);
  std::promise<bool> in_strand;
  Promise<int> promise;
  async_get(promise.future(), asio::bind_executor(strand, [&](std::exception_ptr, int) {
              in_strand.set_value(strand.running_in_this_thread());
            }));
  promise.set_value(1);
  CHECK(in_strand.get_future().get());
  pool.join();
}

TEST_CASE("deferred starts when it is called, and a dropped Promise is an error") {
  asio::io_context context;
  auto promise = std::make_unique<Promise<int>>();
  auto operation = async_get(promise->future(), asio::experimental::deferred);
  CHECK_FALSE(promise->observed());
  std::exception_ptr got;
  std::move(operation)(asio::bind_executor(context, [&](std::exception_ptr error, int) { got = error; }));
  CHECK(promise->observed());
  promise.reset();
  context.run();
  CHECK_THROWS_AS(std::rethrow_exception(got), cairn::Error);
}

// Asio 1.22 has no co_await under clang with libstdc++.
#if !defined(__clang__)
namespace {

asio::awaitable<int> await_both(Future<int> number, Future<void> failing) {
  const int value = co_await async_get(number, asio::use_awaitable);
  int failures = 0;
  try {
    co_await async_get(failing, asio::use_awaitable);
  } catch (const std::runtime_error&) {
    failures = 1;
  }
  co_return value + failures;
}

}  // namespace

TEST_CASE("use_awaitable") {
  asio::io_context context;
  Promise<int> promise;
  int got = 0;
  std::thread::id where;
  asio::co_spawn(context, await_both(promise.future(), cairn::failed_future<void>(an_error())),
                 [&](std::exception_ptr, int value) {
                   got = value;
                   where = std::this_thread::get_id();
                 });
  std::thread completer([&] { promise.set_value(41); });
  context.run();
  completer.join();
  CHECK(got == 42);
  CHECK(where == std::this_thread::get_id());
}
#endif
