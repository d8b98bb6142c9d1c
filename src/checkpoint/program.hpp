#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/config.hpp"
#include "checkpoint/commit_handler.hpp"
#include "executor/executor_start.hpp"

namespace cairn::checkpoint {

/// What a worker is to do: the writer with its hook and barrier. Made from closures before a fork; over an exec it goes
/// as text, closures as the names they were registered under.
class CheckpointProgram final : public executor::WorkerProgram {
 public:
  CheckpointProgram(CheckpointWriterConfig writer, BarrierConfig barrier, RankInfo rank, CheckpointerParts parts);

  void init() override;
  std::unique_ptr<executor::SlotHandler> make_handler(loop::Loop& loop, uring::FileIo& io,
                                                      const executor::ExecutorStart& start,
                                                      std::function<void(const Error&)> notice) override;

  /// The handler by itself, for a process that writes its own saves.
  std::unique_ptr<CommitHandler> make_commit_handler(loop::Loop& loop, uring::FileIo& io, WriterIdentity trainer,
                                                     std::function<void(const Error&)> notice);

  /// The closures that keep it from going over an exec, as "commit_hook, subprocess_init_fn"; empty when there are
  /// none.
  std::string closures() const;

  std::string encode() const;
  static CheckpointProgram decode(std::string_view text);

 private:
  CheckpointWriterConfig writer_config_;
  BarrierConfig barrier_config_;
  RankInfo rank_;
  CheckpointerParts parts_;
};

uring::Backend to_backend(IoBackend backend) noexcept;

}  // namespace cairn::checkpoint
