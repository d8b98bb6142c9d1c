#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/promise.hpp"
#include "cairn/run.hpp"
#include "cairn/staging.hpp"
#include "core/callback_thread.hpp"
#include "core/slot.hpp"
#include "core/work_pool.hpp"
#include "staging/host_stager.hpp"
#include "staging/staged_layout.hpp"
#include "staging/window_pool.hpp"

namespace cairn {
namespace {

/// One stage() from call to copy.
struct StagingJob {
  StateDict result;             ///< tensors in the window already, filled by the copy
  format::Image image;          ///< what to copy
  std::vector<Tensor> sources;  ///< keeps those alive that own their memory
  staging::WindowPool::Lease lease;
};

}  // namespace

class DefaultStager::Implementation {
 public:
  explicit Implementation(const StagingConfig& config)
      : asynchronous_(config.use_async_staging),
        windows_(config, staging::MemoryLimits()),
        threads_(config.copy_threads == 0 ? staging::default_copy_threads() : config.copy_threads),
        pool_(threads_, "cairn-stage"),
        stager_(pool_, threads_),
        thread_(std::make_unique<CallbackThread>()) {}

  Future<StateDict> stage(const StateDict& state) {
    if (thread_ == nullptr) throw Error(Errc::closed, "stage with a closed stager");
    auto job = std::make_shared<StagingJob>();
    job->result = state;
    staging::StagedLayout layout(job->result);
    if (layout.bytes() > 0) job->lease = windows_.take(layout.bytes());
    job->image = layout.place(job->lease.window, job->lease.owner, job->sources);
    if (!asynchronous_) return ready_future(copy(*job));

    auto promise = std::make_shared<Promise<StateDict>>();
    Future<StateDict> future = promise->future();
    thread_->post([this, job = std::move(job), promise = std::move(promise)] {
      try {
        promise->set_value(copy(*job));
      } catch (...) {
        promise->set_exception(std::current_exception());
      }
    });
    return future;
  }

  void close() { thread_.reset(); }

 private:
  /// Blocks the calling thread. What is left of the job is gone when it returns or throws, so that whoever learns of
  /// the end may count on the memory.
  StateDict copy(StagingJob& whole) {
    StagingJob job = std::move(whole);
    if (job.lease.window != nullptr) {
      SlotHeader header{};
      staging::HostStager::OnReady nobody_asks = [](std::uint64_t) {};
      staging::HostStager::WaitWritten never_called;  // the window holds all of the image
      run(stager_.stage(std::move(job.image), *job.lease.window, header, std::move(nobody_asks),
                        std::move(never_called), std::stop_token()));
    }
    return std::move(job.result);
  }

  const bool asynchronous_;
  staging::WindowPool windows_;
  const unsigned threads_;
  WorkPool pool_;
  staging::HostStager stager_;
  std::unique_ptr<CallbackThread> thread_;  ///< waits for the copies, one after the other; null: closed
};

DefaultStager::DefaultStager() : DefaultStager(StagingConfig()) {}

DefaultStager::DefaultStager(StagingConfig config) : implementation_(std::make_unique<Implementation>(config)) {}

DefaultStager::~DefaultStager() {
  close();
}

Future<StateDict> DefaultStager::stage(const StateDict& state) {
  try {
    return implementation_->stage(state);
  } catch (...) {
    return failed_future<StateDict>(std::current_exception());
  }
}

void DefaultStager::close() {
  implementation_->close();
}

}  // namespace cairn
