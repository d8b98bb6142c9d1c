#include "cairn/writer.hpp"

#include <exception>

#include "executor/message.hpp"

namespace cairn {

Task<> WriterHook::pre_commit(Commit) {
  co_return;
}

Task<> WriterHook::post_commit(Commit) {
  co_return;
}

CheckpointWriter::CheckpointWriter(CheckpointWriterConfig config, RankInfo rank, std::shared_ptr<Barrier> barrier,
                                   std::shared_ptr<WriterHook> hook)
    : config_(std::move(config)), rank_(rank), barrier_(std::move(barrier)), hook_(std::move(hook)) {}

CheckpointWriter::~CheckpointWriter() = default;

Task<> CheckpointWriter::write(WriteJob& job) {
  std::exception_ptr failure;
  if (!job.decided()) {
    try {
      co_await job.write_files();
      if (hook_) co_await hook_->pre_commit(job.commit());
    } catch (...) {
      failure = std::current_exception();
    }
    co_await meet(job, "written", failure);
  }
  try {
    co_await job.decide();
  } catch (...) {
    failure = std::current_exception();
  }
  co_await meet(job, "committed", failure);
  if (hook_) co_await hook_->post_commit(job.commit());
}

Task<> CheckpointWriter::meet(WriteJob& job, const char* phase, std::exception_ptr failure) {
  if (barrier_) {
    std::string text;
    if (failure) text = executor::to_error(failure).what();
    BarrierMeeting meeting(job.commit().attempt + "/" + phase, std::move(text), config_.write_barrier_timeout);
    try {
      co_await barrier_->meet(std::move(meeting));
    } catch (...) {
      if (!failure) throw;  // this rank's own failure says more than what the barrier makes of it
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace cairn
