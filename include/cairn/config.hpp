#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cairn/barrier.hpp"
#include "cairn/error.hpp"
#include "cairn/rank_info.hpp"
#include "cairn/staging.hpp"
#include "cairn/writer.hpp"

namespace cairn {

/// How the checkpoint process is started and ended.
class CheckpointProcessConfig {
 public:
  CheckpointProcessConfig() = default;

  /// From the start to its first word, init function included.
  std::chrono::milliseconds subprocess_init_timeout = std::chrono::seconds(30);

  /// close(): how long the idle process may take to exit before it is killed.
  std::chrono::milliseconds subprocess_shutdown_timeout = std::chrono::seconds(60);

  /// The program to start where a fork is not safe. Empty: CAIRN_EXECUTOR, the program itself where its main calls
  /// `executor_main`, `cairn-executor` of the installation, then that of the build tree.
  std::filesystem::path executor;

  /// Where the process writes its standard error. Empty: /dev/null.
  std::filesystem::path log_file;

  /// Added to the trainer's CPU niceness (0 to 19).
  int nice = 0;
};

/// Everything that may be set about a checkpointer.
class CheckpointerConfig {
 public:
  CheckpointerConfig() = default;

  CheckpointWriterConfig writer;
  BarrierConfig barrier;
  StagingConfig staging;
  CheckpointProcessConfig process;

  /// Saves that may be between `save()` and `committed` with memory of their own (1 to 16).
  unsigned max_in_flight = 1;

  /// Called at once with the failure of a save that nobody waits for, on a thread of the checkpointer that does nothing
  /// else. Empty: one line on standard error.
  std::function<void(const Error&)> on_error;
};

/// The parts of a checkpointer that are code.
class CheckpointerParts {
 public:
  CheckpointerParts() = default;

  std::optional<RankInfo> rank_info;  ///< none: RankInfo::from_environment()

  std::shared_ptr<WriterHook> commit_hook;

  /// Runs in the checkpoint process before anything else; a throw is the error of make_async_checkpointer.
  std::function<void()> subprocess_init_fn;

  WriterFactory checkpoint_writer_init_fn;

  /// The same by the names they were registered under: for executors started by exec. Empty: none.
  std::string commit_hook_name;
  std::string subprocess_init_name;
  std::string checkpoint_writer_name;
};

}  // namespace cairn
