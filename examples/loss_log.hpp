#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace example {

/// A file with a line for each step that was trained: its number and its loss as a hexadecimal float, which says every
/// bit. A run that was started again appends to it; steps that were trained twice stand in it twice.
class LossLog {
 public:
  /// Throws std::system_error naming the file.
  explicit LossLog(std::filesystem::path file);
  ~LossLog();
  LossLog(const LossLog&) = delete;
  LossLog& operator=(const LossLog&) = delete;

  /// One write to the kernel: a process killed the moment after has said it all the same.
  void append(std::int64_t step, double loss);

 private:
  std::filesystem::path file_;
  int descriptor_;
};

struct LoggedLoss {
  std::int64_t step;
  std::string loss;
};

/// The lines of a log, in their order. Throws std::runtime_error naming the file and the line that is none.
std::vector<LoggedLoss> read_loss_log(const std::filesystem::path& file);

}  // namespace example
