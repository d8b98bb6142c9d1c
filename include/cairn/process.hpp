#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "cairn/config.hpp"
#include "cairn/future.hpp"
#include "cairn/options.hpp"
#include "cairn/saving.hpp"
#include "cairn/state.hpp"

namespace cairn {

class SavePipeline;

/// The process that writes checkpoints, with the memory that it shares with the trainer. What AsyncCheckpointer saves
/// with. Belongs to one thread.
class CheckpointProcess {
 public:
  /// Starts it and waits until it is ready. Throws Error: Errc::timed_out, init_failed (with the text of what was
  /// thrown there), unsafe_fork, version_mismatch, or errno.
  CheckpointProcess(CheckpointerConfig config, CheckpointerParts parts);
  CheckpointProcess(const CheckpointProcess&) = delete;
  CheckpointProcess& operator=(const CheckpointProcess&) = delete;
  ~CheckpointProcess();

  /// Copies `state` into shared memory and has it written.
  Saving write(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options);
  Saving write(const std::filesystem::path& path, const StateDict& state) { return write(path, state, SaveOptions()); }

  /// The same with a state that is still being made; its failure is the save's.
  Saving write(const std::filesystem::path& path, Future<StateDict> state, const SaveOptions& options);
  Saving write(const std::filesystem::path& path, Future<StateDict> state) {
    return write(path, std::move(state), SaveOptions());
  }

  /// The supervisor's process id; 0 when it is gone.
  pid_t pid() const noexcept;

  /// The worker's: the one that writes. Another after a restart; 0 when there is none.
  pid_t worker_pid() const noexcept;

  bool alive() const noexcept { return pid() != 0; }

  /// As Checkpointer::close.
  Future<> close();

 private:
  std::unique_ptr<SavePipeline> pipeline_;
};

/// For the trainer's own `main`, as its first statement:
/// `if (auto code = cairn::executor_main(argc, argv)) return *code;`
/// It lets cairn start this very program as the checkpoint process when a fork is not safe, so that the hooks, writers
/// and barriers that were registered before it are there. Returns nothing in the trainer.
std::optional<int> executor_main(int argc, char** argv);

}  // namespace cairn
