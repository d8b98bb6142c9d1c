#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cairn/checkpointer.hpp"
#include "gated_writer.hpp"
#include "training_state.hpp"

namespace cairn::bench {

/// What one save took.
struct SaveTimes {
  double staging_seconds = 0;  ///< save() to staged
  double writing_seconds = 0;  ///< the writer's release, or staged, to committed
  double total_seconds = 0;    ///< save() to committed

  double trainer_writing_cpu_seconds = 0;  ///< of this process, from the writer's release, or staged, to committed
  double trainer_cpu_seconds = 0;          ///< of this process, from save() to committed
  double executor_cpu_seconds = 0;         ///< of the checkpoint process, from save() to committed
};

/// cairn as it is measured: a checkpointer of its own, fresh, whose newest checkpoint is kept on disk. Every save is of
/// a state that changed before, and is read back and compared after the clock has stopped.
class Subject {
 public:
  /// `directory` and `state` outlive it. The process must have one thread. Throws Error.
  Subject(const std::filesystem::path& directory, TrainingState& state);
  ~Subject();
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  /// A save as a trainer makes it: written while it is being staged.
  SaveTimes save() { return save(false); }

  /// The same with the writer held until everything is staged.
  SaveTimes save_held() { return save(true); }

  /// Seconds of a cold load of the newest checkpoint into the target.
  double load();

  /// The data file of the newest checkpoint.
  std::filesystem::path data_file() const;

  /// Whether the staging memory lies on huge pages, of whichever kind.
  static bool arena_is_huge();

 private:
  SaveTimes save(bool held);
  double executor_cpu_seconds() const;
  void verify();

  std::filesystem::path directory_;
  TrainingState& state_;
  std::unique_ptr<WriterGate> gate_;
  std::unique_ptr<AsyncCheckpointer> checkpointer_;
  std::filesystem::path newest_;
  unsigned saves_ = 0;
};

}  // namespace cairn::bench
