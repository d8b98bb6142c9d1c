#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace example {

/// A program that was started, and that says what it is doing, a line at a time, through a pipe of its own.
class WatchedProgram {
 public:
  /// Starts `program` with `arguments`, followed by `--events` and the descriptor of the pipe. It shares standard
  /// output and standard error. Throws std::system_error naming the program.
  WatchedProgram(const std::filesystem::path& program, std::vector<std::string> arguments);

  /// Kills the program if it still runs.
  ~WatchedProgram();
  WatchedProgram(const WatchedProgram&) = delete;
  WatchedProgram& operator=(const WatchedProgram&) = delete;

  /// Waits for the next line. Nothing once the program has ended and all it said is read; that other processes may hold
  /// the pipe open longer makes no difference.
  std::optional<std::string> next_line();

  /// SIGKILL. Does not wait for the end.
  void kill();

  /// Waits for the end. "status 0", "status 1", ..., or "signal 9 (Killed)".
  std::string wait();

 private:
  std::string name_;
  pid_t process_ = -1;
  int process_descriptor_ = -1;
  int pipe_ = -1;
  std::string unread_;
  std::optional<std::string> end_;
};

}  // namespace example
