#include "checkpoint/read_engine.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "cairn/promise.hpp"

namespace cairn::checkpoint {
namespace {

/// One thread checks and copies about 4 GiB/s; more than eight would only wait for memory.
unsigned work_threads() {
  return std::clamp(std::thread::hardware_concurrency(), 2u, 8u);
}

/// So many reads stay in flight while every thread has a buffer of its own.
constexpr unsigned read_depth = 6;

uring::Backend backend_of(IoBackend backend) {
  switch (backend) {
    case IoBackend::uring:
      return uring::Backend::uring;
    case IoBackend::threads:
      return uring::Backend::threads;
    case IoBackend::automatic:
      break;
  }
  return uring::Backend::automatic;
}

Task<void> report_end(Scope& tasks, Promise<void>& ended) {
  co_await tasks.join();
  ended.set_value();
}

}  // namespace

ReadEngine::ReadEngine(IoBackend backend, bool direct_io)
    : thread_("cairn-read"), pool_(work_threads(), "cairn-verify") {
  try {
    thread_.call([&] { make_io(backend, direct_io); });
  } catch (...) {
    thread_.call([&] { destroy_io(); });
    throw;
  }
}

ReadEngine::~ReadEngine() {
  stopping_.request_stop();
  Promise<void> ended;
  const Future<void> all_ended = ended.future();
  Scope ending;
  thread_.call([&] { ending.spawn(report_end(tasks_, ended)); });
  all_ended.get();
  // Posted behind the step that completed the future, so `ending` is empty after it.
  thread_.call([&] { destroy_io(); });
}

void ReadEngine::start(Task<void> task) {
  thread_.call([&] { tasks_.spawn(std::move(task)); });
}

void ReadEngine::make_io(IoBackend backend, bool direct_io) {
  io_ = uring::FileIo::make(thread_.loop(), backend_of(backend));
  thread_.loop().attach(io_.get());
  buffers_.emplace(*io_, work_threads() + read_depth);
  loader_.emplace(*io_, *buffers_, pool_, direct_io);
}

void ReadEngine::destroy_io() noexcept {
  loader_.reset();
  buffers_.reset();
  thread_.loop().detach();
  io_.reset();
}

}  // namespace cairn::checkpoint
