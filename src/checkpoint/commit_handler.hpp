#pragma once

#include <functional>
#include <map>
#include <memory>

#include "cairn/error.hpp"
#include "cairn/writer.hpp"
#include "checkpoint/attempt.hpp"
#include "executor/slot_job.hpp"
#include "loop/loop.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// Writes and commits the saves in slots: what the executor does, and a SyncCheckpointer on its own loop.
///
/// A save goes: attempt directory and lock (begin) · data file and sidecar, synced · pre_commit · barrier · manifest,
/// synced, and one rename · barrier · post_commit. After a worker's death it goes through all of it again; a manifest
/// at the path that has this very attempt's id tells that the rename was done.
class CommitHandler final : public executor::SlotHandler {
 public:
  using Notice = std::function<void(const Error&)>;

  CommitHandler(loop::Loop& loop, uring::FileIo& io, CheckpointWriterConfig config,
                std::unique_ptr<CheckpointWriter> writer, WriterIdentity trainer, Notice notice);
  ~CommitHandler() override;

  Task<> begin(executor::SlotJob& job) override;
  Task<> write(executor::SlotJob& job) override;
  Task<> abandon(executor::SlotJob& job) override;

 private:
  class Save;

  Task<> make_attempt(Save& save);
  Task<> remove_attempt(Save& save);
  void write_error_file(const Save& save, const Error& error) const;

  loop::Loop& loop_;
  uring::FileIo& io_;
  const CheckpointWriterConfig config_;
  std::unique_ptr<CheckpointWriter> writer_;
  const WriterIdentity trainer_;
  Notice notice_;
  std::map<unsigned, std::unique_ptr<Save>> saves_;  ///< by slot
};

}  // namespace cairn::checkpoint
