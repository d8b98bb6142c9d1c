#pragma once

#include <cairn/cairn.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace example {

/// Prints a line for each save the moment it is durable. The training loop does not look up from its work for that: a
/// Saving may be waited for on any thread, and here a thread of its own waits.
class SaveReport {
 public:
  using Clock = std::chrono::steady_clock;

  struct Save {
    std::int64_t step;
    double loss;
    Clock::time_point begun;
    Clock::duration training_waited;
    cairn::Saving saving;
  };

  SaveReport() = default;
  ~SaveReport() { wait_for_all(); }
  SaveReport(const SaveReport&) = delete;
  SaveReport& operator=(const SaveReport&) = delete;

  /// Starts the thread with the first save: before a checkpointer is made there should be no threads.
  void add(Save save);

  /// Waits until every save is reported. Throws the error of the first one that failed.
  void finish();

 private:
  void run();
  void wait_for_all();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Save> saves_;
  bool finishing_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace example
