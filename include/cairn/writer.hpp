#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "cairn/barrier.hpp"
#include "cairn/rank_info.hpp"
#include "cairn/task.hpp"

namespace cairn {

/// Which mechanism moves file bytes.
enum class IoBackend {
  automatic,  ///< io_uring where the kernel allows it, else threads
  uring,
  threads,
};

class CheckpointWriterConfig {
 public:
  CheckpointWriterConfig() = default;

  /// How long a rank waits for the others at a barrier.
  std::chrono::milliseconds write_barrier_timeout = std::chrono::seconds(600);

  /// A save during which not one byte is completed for this long fails with Errc::timed_out, naming file and offset.
  std::chrono::milliseconds write_stall_timeout = std::chrono::seconds(600);

  /// How long a save waits for executors of dead trainers that are still writing beside it.
  std::chrono::milliseconds live_writer_timeout = std::chrono::seconds(600);

  IoBackend io_backend = IoBackend::automatic;

  /// O_DIRECT where the file system takes it. false: through the page cache.
  bool direct_io = true;
};

/// The save that a hook is called for.
class Commit {
 public:
  Commit() = default;

  std::filesystem::path path;          ///< where the checkpoint is, or will be, put
  std::filesystem::path partial_path;  ///< where its files are before the commit
  std::string attempt;                 ///< random id of this save, the same on every rank
  std::optional<std::int64_t> step;
  std::map<std::string, std::string> metadata;
  RankInfo rank;
};

/// The user's code around the commit. Runs in the executor, on its loop: it must not block for long. After a worker was
/// killed its save is done again, so a hook may run more than once for the same attempt.
class WriterHook {
 public:
  virtual ~WriterHook() = default;

  /// This rank's files are durable in `commit.partial_path`. A throw fails the save on all ranks; nothing is committed.
  virtual Task<> pre_commit(Commit commit);

  /// The checkpoint is committed and durable. A throw fails the save's future; the checkpoint stays.
  virtual Task<> post_commit(Commit commit);
};

/// One staged save, as a CheckpointWriter sees it.
class WriteJob {
 public:
  virtual ~WriteJob() = default;

  virtual const Commit& commit() const = 0;

  /// The checkpoint is in place already: an earlier worker died after its rename. What is left is to finish.
  virtual bool decided() const = 0;

  /// Writes this rank's data file and sidecar into the partial directory and makes them durable.
  virtual Task<> write_files() = 0;

  /// Rank 0: writes the manifest and puts the directory in place as `commit().path`, durably.
  virtual Task<> decide() = 0;
};

/// Writes staged saves, in the executor: files, pre_commit, barrier, commit, barrier, post_commit. Derive from it to
/// wrap or replace that order; `checkpoint_writer_init_fn` or `register_writer` brings the derived class in.
class CheckpointWriter {
 public:
  CheckpointWriter(CheckpointWriterConfig config, RankInfo rank, std::shared_ptr<Barrier> barrier = nullptr,
                   std::shared_ptr<WriterHook> hook = nullptr);
  virtual ~CheckpointWriter();

  /// Returns when the save is committed on every rank; a throw fails it. `job` outlives the task.
  virtual Task<> write(WriteJob& job);

 protected:
  CheckpointWriterConfig config_;
  RankInfo rank_;
  std::shared_ptr<Barrier> barrier_;
  std::shared_ptr<WriterHook> hook_;

 private:
  Task<> meet(WriteJob& job, const char* phase, std::exception_ptr failure);
};

/// What a writer is made from, in the executor.
class WriterParts {
 public:
  WriterParts() = default;

  CheckpointWriterConfig config;
  RankInfo rank;
  std::shared_ptr<Barrier> barrier;
  std::shared_ptr<WriterHook> hook;
};

/// Makes the CheckpointWriter in the executor. Takes any callable of `()`, `(CheckpointWriterConfig)`,
/// `(CheckpointWriterConfig, RankInfo)` or `(const WriterParts&)` that gives a `std::unique_ptr` to a CheckpointWriter.
class WriterFactory {
 public:
  WriterFactory() = default;

  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, WriterFactory>)
  WriterFactory(F function) {
    if constexpr (std::is_invocable_v<F&, const WriterParts&>) {
      make_ = std::move(function);
    } else if constexpr (std::is_invocable_v<F&, CheckpointWriterConfig, RankInfo>) {
      make_ = [function](const WriterParts& parts) mutable { return function(parts.config, parts.rank); };
    } else if constexpr (std::is_invocable_v<F&, CheckpointWriterConfig>) {
      make_ = [function](const WriterParts& parts) mutable { return function(parts.config); };
    } else {
      make_ = [function](const WriterParts&) mutable { return function(); };
    }
  }

  explicit operator bool() const noexcept { return static_cast<bool>(make_); }
  std::unique_ptr<CheckpointWriter> operator()(const WriterParts& parts) const { return make_(parts); }

 private:
  std::function<std::unique_ptr<CheckpointWriter>(const WriterParts&)> make_;
};

/// Names for what an executor that was started by exec cannot get as closures; see `executor_main`. Process-wide; to be
/// called before it, and before the checkpointer is made. Any thread.
void register_hook(std::string name, std::function<std::shared_ptr<WriterHook>()> make);
void register_writer(std::string name, WriterFactory make);
void register_init(std::string name, std::function<void()> init);

}  // namespace cairn
