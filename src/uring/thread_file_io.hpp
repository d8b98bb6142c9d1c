#pragma once

#include <string>

#include "core/unique_fd.hpp"
#include "uring/file_io.hpp"
#include "uring/helper_threads.hpp"

namespace cairn::uring {

/// The backend for where io_uring is forbidden or missing: plain system calls on a few threads.
class ThreadFileIo final : public FileIo {
 public:
  /// `reason`: why it is not the ring; empty when threads were asked for.
  explicit ThreadFileIo(std::string reason);
  ~ThreadFileIo() override;

  Backend backend() const noexcept override { return Backend::threads; }
  const std::string& backend_reason() const noexcept override { return reason_; }
  int register_buffers(std::span<const iovec> buffers) override;
  int unregister_buffers() override { return 0; }

  void submit(Operation& operation) override;
  void cancel(Operation& operation) override;
  void wait_for(Operation& operation) override;

  bool poll() override;
  bool idle() const override { return helpers_.in_flight() == 0 && done_.empty(); }
  int wake_fd() const override { return wake_fd_.get(); }
  void before_sleep() override {}  // the threads always write to it
  void after_sleep() override;

 private:
  bool resume_done();

  const std::string reason_;
  const UniqueFd wake_fd_;
  HelperThreads helpers_;
  OperationList done_;  ///< with their results, not resumed yet
  bool closing_ = false;
};

}  // namespace cairn::uring
