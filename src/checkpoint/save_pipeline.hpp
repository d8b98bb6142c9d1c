#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <vector>

#include "cairn/config.hpp"
#include "cairn/future.hpp"
#include "cairn/options.hpp"
#include "cairn/saving.hpp"
#include "cairn/state.hpp"
#include "checkpoint/save_driver.hpp"
#include "checkpoint/save_state.hpp"
#include "checkpoint/writing_side.hpp"
#include "core/callback_thread.hpp"
#include "core/slot.hpp"
#include "format/plan.hpp"
#include "loop/loop_thread.hpp"

namespace cairn {

/// What both checkpointers save with: the training thread's end of the way of a save. A call takes a snapshot and hands
/// it to the SaveDriver on the I/O thread.
class SavePipeline {
 public:
  enum class Mode { process, in_process };

  /// Throws Error when the writing side cannot be brought up.
  SavePipeline(Mode mode, CheckpointerConfig config, CheckpointerParts parts);
  SavePipeline(const SavePipeline&) = delete;
  SavePipeline& operator=(const SavePipeline&) = delete;

  /// Without a close() before: stops what is not staged, leaves the rest to the process, within a second.
  ~SavePipeline();

  Saving save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options);
  Saving save(const std::filesystem::path& path, Future<StateDict> state, const SaveOptions& options);
  Future<> close();

  pid_t supervisor_pid() const noexcept { return writing_side_->supervisor_pid(); }
  pid_t worker_pid() const noexcept { return writing_side_->worker_pid(); }

 private:
  std::shared_ptr<detail::SaveState> admit(const std::filesystem::path& path, const SaveOptions& options);
  void hand_over(std::shared_ptr<detail::SaveState> save);
  Task<> start_writing_side(std::shared_ptr<Promise<void>> started);
  Task<> close_all(std::shared_ptr<Promise<void>> closed);
  Task<> give_up_all(std::shared_ptr<Promise<void>> done);
  void end_io();
  void report(const Error& error);
  void note_failure(std::shared_ptr<detail::SaveState> save);

  CheckpointerConfig config_;
  std::shared_ptr<CallbackThread> callbacks_;
  std::shared_ptr<const format::Plan> plan_;  ///< of the last save
  std::atomic<unsigned> saves_under_way_{0};
  bool is_closed_ = false;
  Future<> closing_;

  std::mutex failures_mutex_;
  std::vector<std::shared_ptr<detail::SaveState>> unobserved_failures_;

  std::unique_ptr<checkpoint::WritingSide> writing_side_;  ///< before the thread: it may fork
  std::unique_ptr<loop::LoopThread> io_thread_;
  std::unique_ptr<checkpoint::SaveDriver> driver_;  ///< of the I/O thread, as is what follows
  std::unique_ptr<Scope> background_;
  bool is_leaving_ = false;  ///< destroyed while it was closing
};

}  // namespace cairn
