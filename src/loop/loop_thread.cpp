#include "loop/loop_thread.hpp"

#include <exception>
#include <future>
#include <utility>

#include "core/thread.hpp"

namespace cairn::loop {

LoopThread::LoopThread(std::string name) : loop_(std::make_shared<Loop>()) {
  std::function<void()> body = [loop = loop_] { loop->run(); };
  thread_ = start_thread(name, std::move(body));
}

LoopThread::~LoopThread() {
  loop_->stop();
  if (std::this_thread::get_id() == thread_.get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void LoopThread::call(std::function<void()> function) {
  if (std::this_thread::get_id() == thread_.get_id()) return function();
  // Shared: the caller may return while the loop's thread is still inside set_value.
  const auto done = std::make_shared<std::promise<void>>();
  std::future<void> finished = done->get_future();
  std::function<void()> step = [done, &function] {
    try {
      function();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  };
  loop_->post(std::move(step));
  finished.get();
}

}  // namespace cairn::loop
