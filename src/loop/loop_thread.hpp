#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "loop/loop.hpp"

namespace cairn::loop {

/// A thread that runs a Loop from the constructor to the destructor.
///
/// The destructor stops the loop and joins the thread. On the loop's own thread it cannot join: then it stops the loop
/// and lets go of the thread, which ends when it has left the step it is in; the Loop lives until then. What is still
/// queued when the loop stops is run by the loop's destructor.
class LoopThread {
 public:
  /// `name` is the thread's name (at most 15 bytes are kept).
  explicit LoopThread(std::string name);
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  Loop& loop() noexcept { return *loop_; }

  /// Calls `function` on the loop's thread and returns, or throws what it threw, when it is done. On that thread itself
  /// it is a plain call. For making and destroying what belongs to the thread, such as a FileIo.
  void call(std::function<void()> function);

 private:
  std::shared_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace cairn::loop
