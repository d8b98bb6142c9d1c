#pragma once

#include <memory>

#include "cairn/config.hpp"
#include "checkpoint/program.hpp"
#include "checkpoint/writing_side.hpp"
#include "executor/local_client.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// Writes on the checkpointer's own I/O thread.
class ThreadSide final : public WritingSide {
 public:
  ThreadSide(const CheckpointerConfig& config, CheckpointerParts parts, RankInfo rank,
             std::function<void(const Error&)> notice);
  ~ThreadSide() override;

  Task<> start(loop::Loop& loop) override;
  Task<executor::SlotClient*> find(std::function<Task<>()> all_free) override;
  Task<> shut_down() override;
  Task<> leave() override;
  std::string io_fallback() const override;
  void reset() override;

 private:
  const CheckpointerConfig& config_;
  CheckpointProgram program_;
  std::function<void(const Error&)> notice_;
  loop::Loop* loop_ = nullptr;
  std::unique_ptr<uring::FileIo> io_;
  std::unique_ptr<executor::LocalClient> client_;
};

}  // namespace cairn::checkpoint
