#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/task.hpp"

namespace cairn {

/// A few threads for work that computes or blocks: copying, hashing, file calls where there is no ring.
///
/// Threads are started by the work that needs them, never before; a process that only made the pool may still fork. The
/// destructor runs what was queued, then joins; it must not run on a thread of the pool.
class WorkPool {
 public:
  /// `threads` is at least 1. `name` (at most 15 characters are kept) is what tools show for the threads.
  WorkPool(unsigned threads, std::string name);
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;
  ~WorkPool();

  /// Runs `work` on a thread of the pool and resumes the awaiting Task on its own scheduler; rethrows what `work`
  /// threw. `work` is destroyed before that, on the pool's thread. Pieces are begun in the order in which they were
  /// awaited.
  Task<void> run(std::function<void()> work);

  /// How many threads there may be.
  unsigned threads() const noexcept { return threads_max_; }

 private:
  class Job;
  void submit(Job& job);
  void work();

  const unsigned threads_max_;
  const std::string name_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Job* first_ = nullptr;  // the queue, linked through the jobs
  Job* last_ = nullptr;
  unsigned queued_ = 0;
  unsigned idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace cairn
