#include "core/work_pool.hpp"

#include <algorithm>
#include <cassert>
#include <exception>
#include <utility>

#include "core/thread.hpp"

namespace cairn {

/// One piece of work; lives in the frame of the coroutine that waits for it.
class WorkPool::Job {
 public:
  using cairn_affine = void;

  Job(WorkPool& pool, std::function<void()> work) noexcept : pool_(pool), work_(std::move(work)) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  [[gnu::noinline]] void await_suspend(std::coroutine_handle<Promise> awaiting) {
    coroutine_ = awaiting;
    scheduler_ = detail::scheduler_of(awaiting);
    pool_.submit(*this);
  }
  void await_resume() const {
    if (error_) std::rethrow_exception(error_);
  }

  /// On a thread of the pool. The job is gone once its coroutine is resumed.
  void execute() noexcept {
    try {
      work_();
    } catch (...) {
      error_ = std::current_exception();
    }
    work_ = nullptr;
    detail::resume_on(scheduler_, coroutine_);
  }

  Job* next = nullptr;

 private:
  WorkPool& pool_;
  std::function<void()> work_;
  std::exception_ptr error_;
  std::coroutine_handle<> coroutine_;
  Scheduler* scheduler_ = nullptr;
};

WorkPool::WorkPool(unsigned threads, std::string name) : threads_max_(std::max(threads, 1u)), name_(std::move(name)) {}

WorkPool::~WorkPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& worker : workers_)
    worker.join();
}

Task<void> WorkPool::run(std::function<void()> work) {
  Job job(*this, std::move(work));
  co_await job;
}

void WorkPool::submit(Job& job) {
  const std::lock_guard lock(mutex_);
  // Started before the job is queued: where no thread can be had at all, the error goes to the one who awaits.
  if (queued_ >= idle_ && workers_.size() < threads_max_) {
    try {
      workers_.push_back(start_thread(name_, [this] { this->work(); }));
    } catch (...) {
      if (workers_.empty()) throw;
    }
  }
  (last_ != nullptr ? last_->next : first_) = &job;
  last_ = &job;
  ++queued_;
  changed_.notify_one();
}

void WorkPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return first_ != nullptr || stopping_; });
    --idle_;
    if (first_ == nullptr) return;
    Job& job = *first_;
    first_ = job.next;
    if (first_ == nullptr) last_ = nullptr;
    --queued_;
    lock.unlock();
    job.execute();
    lock.lock();
  }
}

}  // namespace cairn
