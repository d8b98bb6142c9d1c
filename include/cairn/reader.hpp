#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/checkpointer.hpp"
#include "cairn/future.hpp"
#include "cairn/options.hpp"
#include "cairn/state.hpp"
#include "cairn/writer.hpp"

namespace cairn {

/// Reads checkpoints. Its threads start at the first read. Any number of reads may be under way; one thread calls it.
class CheckpointReader {
 public:
  explicit CheckpointReader(IoBackend backend = IoBackend::automatic, bool direct_io = true);
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;
  ~CheckpointReader();

  /// See Checkpointer::load. Errors: ENOENT, Errc::not_a_checkpoint, damaged, missing_keys (of `keys`).
  Future<StateDict> load(const std::filesystem::path& path, const LoadOptions& options);
  Future<StateDict> load(const std::filesystem::path& path) { return load(path, LoadOptions()); }

  /// See Checkpointer::load_into. Errors besides: missing_keys, shape_mismatch, dtype_mismatch, kind_mismatch, each
  /// before anything of `target` is touched. After `damaged` or a read error the targets are unspecified; the error
  /// says so.
  Future<LoadReport> load_into(const std::filesystem::path& path, StateDict& target, const LoadOptions& options);
  Future<LoadReport> load_into(const std::filesystem::path& path, StateDict& target) {
    return load_into(path, target, LoadOptions());
  }

 private:
  class Threads;
  std::unique_ptr<Threads> threads_;
};

/// The newest committed checkpoint in `directory`: highest step, else highest number at the end of the name, else
/// natural name order. Nothing when there is none or no such directory. First waits for executors of dead trainers that
/// are still writing there, so that a restart never resumes behind what was staged; after `wait_max` Errc::timed_out,
/// naming them.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& directory,
                                                       std::chrono::milliseconds wait_max);
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& directory);

/// One entry of a directory of checkpoints.
class CheckpointEntry {
 public:
  CheckpointEntry() = default;

  std::filesystem::path path;
  bool committed = false;  ///< false: the partial directory of an attempt
  bool live = false;       ///< of an attempt: its writer is still there
  std::optional<std::int64_t> step;
  std::uint64_t size_bytes = 0;
  int world_size = 0;   ///< 0 for an attempt
  std::string created;  ///< ISO 8601, UTC; by the writer's clock, for people
};

/// The committed checkpoints of `directory`, newest first. Does not wait.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& directory);

/// Everything there, committed ones newest first, then attempts.
std::vector<CheckpointEntry> list_entries(const std::filesystem::path& directory);

}  // namespace cairn
