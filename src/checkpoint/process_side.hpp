#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "cairn/config.hpp"
#include "checkpoint/program.hpp"
#include "checkpoint/writing_side.hpp"
#include "executor/process_client.hpp"

namespace cairn::checkpoint {

/// A checkpoint process, and the next one when its supervisor has died.
class ProcessSide final : public WritingSide {
 public:
  /// Starts the process: by fork where that is right, else by exec. Throws Error.
  ProcessSide(const CheckpointerConfig& config, CheckpointerParts parts, RankInfo rank,
              std::function<void(const Error&)> notice);
  ~ProcessSide() override;

  Task<> start(loop::Loop& loop) override;
  Task<executor::SlotClient*> find(std::function<Task<>()> all_free) override;
  Task<> shut_down() override;
  Task<> leave() override;
  std::string io_fallback() const override;
  void reset() override;
  pid_t supervisor_pid() const noexcept override;
  pid_t worker_pid() const noexcept override;

 private:
  executor::SpawnedExecutor spawn();

  const CheckpointerConfig& config_;
  CheckpointProgram program_;
  std::function<void(const Error&)> notice_;
  executor::SpawnedExecutor spawned_;
  loop::Loop* loop_ = nullptr;
  std::atomic<executor::ProcessClient*> client_{nullptr};  ///< the last of clients_
  std::vector<std::unique_ptr<executor::ProcessClient>> clients_;
};

}  // namespace cairn::checkpoint
