#pragma once

#include <cstdint>
#include <memory>

#include "cairn/future.hpp"
#include "cairn/state.hpp"

namespace cairn {

/// How a state is copied off the trainer. The first four names and defaults are those of PyTorch's
/// `CheckpointStagerConfig`.
class StagingConfig {
 public:
  /// Register the staging memory with the device, where there is one. Without a device it changes nothing.
  bool use_pinned_memory = true;

  /// Stage into memory that a forked process sees too (a memfd). A checkpointer with a checkpoint process always does;
  /// the flag decides for a DefaultStager that is used by itself: false gives private memory.
  bool use_shared_memory = true;

  /// false: `stage()` returns only when the copy is complete. true: it returns at once.
  bool use_async_staging = true;

  /// Copies from a device are enqueued, not waited for one by one. Allowed without a device, where it changes nothing.
  bool use_non_blocking_copy = true;

  /// Bound on the staging memory of one checkpointer, in bytes, all slots together; 0: no bound. Each slot gets its
  /// share, rounded down to whole blocks of 4 MiB, and must get two of them at least. A checkpointer streams a state
  /// that is larger than a slot's share; `staged` then takes as long as the disk does.
  std::uint64_t staging_bytes_max = 0;

  /// Threads that copy; 0: one for each processor that the process may use, at most 4.
  unsigned copy_threads = 0;
};

using CheckpointStagerConfig = StagingConfig;

/// Copies a state, so that its sources may be changed while the copy is written somewhere.
///
/// A stager belongs to one thread. Different states may be given to the same one, also such without tensors.
class CheckpointStager {
 public:
  virtual ~CheckpointStager() = default;

  /// A copy of `state`: the same nesting, scalars and shapes, with tensors of its own. Nothing done later to the
  /// sources or by another `stage()` changes it. The tree is copied before the call returns; the memory that it views
  /// must stay valid and unchanged until the future is ready. Throws nothing: errors come through the future.
  virtual Future<StateDict> stage(const StateDict& state) = 0;

  /// Waits for the copies under way. Copies handed out stay valid; a later `stage()` fails with Errc::closed.
  /// A second close does nothing.
  virtual void close() = 0;
};

/// Stages host tensors into large windows of memory with a few threads.
///
/// - Two leaves whose contiguous views overlap overlap in the copy as well, and so do two equal strided views; a
/// strided
///   view comes back packed (C order), with the same shape.
/// - A window is used again once the last Tensor of the copy that lies in it is gone; while one lives, the next
///   `stage()` takes another window. So states staged one after the other take the memory of one.
/// - Errors: Errc::too_little_memory (the text has both numbers) when the copy would exceed `staging_bytes_max` or what
///   the machine or a cgroup of the process has left; Errc::bad_argument for a tensor that is not in host memory.
class DefaultStager : public CheckpointStager {
 public:
  DefaultStager();
  explicit DefaultStager(StagingConfig config);
  ~DefaultStager() override;  ///< closes
  DefaultStager(const DefaultStager&) = delete;
  DefaultStager& operator=(const DefaultStager&) = delete;

  Future<StateDict> stage(const StateDict& state) override;
  void close() override;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace cairn
