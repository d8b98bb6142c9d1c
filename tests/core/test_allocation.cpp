// Counts what awaiting allocates. The replaced operators serve the whole test program; sanitizers bring their own.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAIRN_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CAIRN_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef CAIRN_COUNTS_ALLOCATIONS
#define CAIRN_COUNTS_ALLOCATIONS 1
#endif

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "cairn/task.hpp"
#include "core/event.hpp"
#include "support/catch.hpp"

namespace {

std::atomic<std::int64_t> allocations{0};

}  // namespace

#if CAIRN_COUNTS_ALLOCATIONS
void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace {

cairn::Task<int> number(int value) {
  co_return value;
}

cairn::Task<std::int64_t> for_tasks(int count) {
  const std::int64_t before = allocations;
  int sum = 0;
  for (int i = 0; i < count; ++i) {
    const int value = co_await number(1);
    sum += value;
  }
  CHECK(sum == count);
  co_return allocations - before;
}

cairn::Task<std::int64_t> for_futures(int count) {
  const cairn::Future<int> ready = cairn::ready_future(1);
  const std::int64_t before = allocations;
  int sum = 0;
  for (int i = 0; i < count; ++i) {
    const int value = co_await ready;
    sum += value;
  }
  CHECK(sum == count);
  co_return allocations - before;
}

cairn::Task<> set_it(cairn::Event* event) {
  event->set();
  co_return;
}

cairn::Task<std::int64_t> for_events(int count) {
  cairn::Event event;
  co_await set_it(&event);
  const std::int64_t before = allocations;
  for (int i = 0; i < count; ++i)
    co_await event.wait();
  co_return allocations - before;
}

}  // namespace

TEST_CASE("awaiting a Task allocates its frame and nothing else; awaiting what is ready allocates nothing") {
  if (!CAIRN_COUNTS_ALLOCATIONS) CAIRN_SKIP("allocations are not counted under a sanitizer");
  const int count = 1000;
  CHECK(allocations > 0);
  CHECK(cairn::run(for_tasks(count)) <= count);
  CHECK(cairn::run(for_futures(count)) == 0);
  CHECK(cairn::run(for_events(count)) == 0);
}
