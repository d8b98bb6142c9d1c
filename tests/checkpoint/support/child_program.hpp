#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace cairn::test {

/// Another program, whose standard output is read line by line. Killed by the destructor.
class ChildProgram {
 public:
  explicit ChildProgram(std::vector<std::string> command);
  ~ChildProgram();
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  pid_t pid() const noexcept { return pid_; }

  /// The next line; nothing at `deadline`, and at the end of the output (then ended() is true).
  std::optional<std::string> line(std::chrono::steady_clock::time_point deadline);
  bool ended() const noexcept { return ended_; }

  void kill(int signal) const;

  /// The wait status, waited for. Call it once the output has ended, or after kill(SIGKILL).
  int wait();

 private:
  pid_t pid_ = 0;
  int output_ = -1;
  std::string read_;
  bool ended_ = false;
  std::optional<int> status_;
};

}  // namespace cairn::test
