#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/config.hpp"
#include "cairn/future.hpp"
#include "cairn/options.hpp"
#include "cairn/saving.hpp"
#include "cairn/state.hpp"

namespace cairn {

class CheckpointProcess;
class CheckpointReader;
class SavePipeline;

/// What a load found besides what it was asked for. Both lists are key paths (`a.b[0].c`).
class LoadReport {
 public:
  LoadReport() = default;

  std::vector<std::string> missing_keys;     ///< in the target, not in the checkpoint (only when not strict)
  std::vector<std::string> unexpected_keys;  ///< in the checkpoint, not in the target
};

/// Saves and loads the state of a trainer. It belongs to one thread, the training thread; what it returns may be waited
/// for on any.
class Checkpointer {
 public:
  virtual ~Checkpointer() = default;

  /// Saves `state` as the directory `path`. Copies the tree and makes the path absolute before it returns; memory that
  /// tensors view must stay valid and unchanged until `staged`. Throws nothing: every failure comes through the
  /// futures.
  virtual Saving save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options) = 0;
  Saving save(const std::filesystem::path& path, const StateDict& state) { return save(path, state, SaveOptions()); }

  /// Reads a whole checkpoint into memory of its own.
  Future<StateDict> load(const std::filesystem::path& path, const LoadOptions& options);
  Future<StateDict> load(const std::filesystem::path& path) { return load(path, LoadOptions()); }

  /// Reads into the tensors and values of `target`, which must live, with its memory, until the future is ready.
  /// Structure, kinds, dtypes, shapes and missing keys are checked before any of it is touched.
  Future<LoadReport> load_into(const std::filesystem::path& path, StateDict& target, const LoadOptions& options);
  Future<LoadReport> load_into(const std::filesystem::path& path, StateDict& target) {
    return load_into(path, target, LoadOptions());
  }

  /// Waits for every save. Throws, once, the failure of a save that nobody waited for. A second close does nothing.
  virtual Future<> close() = 0;

 protected:
  explicit Checkpointer(std::shared_ptr<CheckpointReader> reader) : reader_(std::move(reader)) {}

 private:
  std::shared_ptr<CheckpointReader> reader_;
};

/// Saves before `save` returns: its futures are ready then. No other process; memory is bounded.
class SyncCheckpointer final : public Checkpointer {
 public:
  SyncCheckpointer(CheckpointerConfig config, CheckpointerParts parts);
  ~SyncCheckpointer() override;

  using Checkpointer::save;
  Saving save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options) override;
  Future<> close() override;

 private:
  std::unique_ptr<SavePipeline> pipeline_;
};

/// Saves beside the training: a copy in shared memory, written by a process of its own that outlives the trainer.
/// The destructor stops copies that are not staged, leaves staged saves to that process, and returns within a second.
class AsyncCheckpointer final : public Checkpointer {
 public:
  AsyncCheckpointer(CheckpointerConfig config, CheckpointerParts parts);
  ~AsyncCheckpointer() override;

  using Checkpointer::save;
  Saving save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options) override;
  Future<> close() override;

  /// The checkpoint process.
  const CheckpointProcess& process() const noexcept { return *process_; }

 private:
  std::unique_ptr<CheckpointProcess> process_;
};

std::unique_ptr<SyncCheckpointer> make_sync_checkpointer();
std::unique_ptr<SyncCheckpointer> make_sync_checkpointer(CheckpointerConfig config);
std::unique_ptr<SyncCheckpointer> make_sync_checkpointer(CheckpointerConfig config, CheckpointerParts parts);

/// Starts the checkpoint process: call it early, before threads and before CUDA (then it is a plain fork and the parts
/// may be closures). Throws Error when the process cannot be started, its init fails, or it is not there in time.
std::unique_ptr<AsyncCheckpointer> make_async_checkpointer();
std::unique_ptr<AsyncCheckpointer> make_async_checkpointer(CheckpointerConfig config);
std::unique_ptr<AsyncCheckpointer> make_async_checkpointer(CheckpointerConfig config, CheckpointerParts parts);

}  // namespace cairn
