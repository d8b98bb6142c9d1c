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

/// Reads checkpoints. Its threads start at the first read, so until then the process may fork. Any number of reads may
/// be under way; one thread calls it. The destructor ends reads that are under way with Errc::closed.
class CheckpointReader {
 public:
  explicit CheckpointReader(IoBackend backend = IoBackend::automatic, bool direct_io = true);
  CheckpointReader(const CheckpointReader&) = delete;
  CheckpointReader& operator=(const CheckpointReader&) = delete;
  ~CheckpointReader();

  /// See Checkpointer::load. Tensors that were stored once share their memory. With `keys`, the tree holds them alone
  /// with the levels above; those that the checkpoint does not hold are missing_keys, or left out when not strict.
  ///
  /// A safetensors file that something else wrote may be given in place of a directory: names to tensors; it has no
  /// digests. First waits, for at most 600 s, for the executor of a dead trainer that is still writing `path`.
  ///
  /// Errors: ENOENT, Errc::not_a_checkpoint, damaged (naming file and block), missing_keys, timed_out, closed when the
  /// reader is destroyed first.
  Future<StateDict> load(const std::filesystem::path& path, const LoadOptions& options);
  Future<StateDict> load(const std::filesystem::path& path) { return load(path, LoadOptions()); }

  /// See Checkpointer::load_into. Tensors are filled where they are, whatever their strides. Null values and empty
  /// StateDicts take the whole subtree; of two lists the longer length wins; other values are assigned at the end. With
  /// `keys`, the rest of the target is let alone. Errors besides: missing_keys, shape_mismatch, dtype_mismatch,
  /// kind_mismatch, each before anything of `target` is touched. After `damaged` or a read error the targets are
  /// unspecified; the error says so.
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
  std::string damage;   ///< what is wrong with its manifest; such a directory is neither committed nor an attempt
};

/// The committed checkpoints of `directory`, newest first; those whose manifest is damaged are left out. Does not wait.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& directory);

/// Everything there: committed ones newest first, then directories whose manifest is damaged, then attempts. Does not
/// wait.
std::vector<CheckpointEntry> list_entries(const std::filesystem::path& directory);

}  // namespace cairn
