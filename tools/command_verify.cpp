#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "checkpoint/verify.hpp"
#include "commands.hpp"
#include "text.hpp"

namespace cairn::tools {
namespace {

/// A line that is written over itself while there is somebody to look at it.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : wanted_(wanted) {}
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }

  void show(std::uint64_t bytes, std::uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    shown_ = true;
    fmt::print(stderr, "\r\x1b[Kverifying {} of {}", size_text(bytes), size_text(total));
    std::fflush(stderr);
  }

 private:
  bool wanted_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace

int verify(const std::filesystem::path& path) {
  const auto begin = std::chrono::steady_clock::now();
  checkpoint::VerifyReport report;
  {
    ProgressLine line(::isatty(STDERR_FILENO) == 1);
    const auto show = [&line](std::uint64_t bytes, std::uint64_t total) { line.show(bytes, total); };
    report = checkpoint::verify_checkpoint(path, show);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;

  for (const std::string& damage : report.damages)
    fmt::print("damaged: {}\n", printable(damage));
  if (report.damages_left_out > 0) fmt::print("damaged: {} more\n", report.damages_left_out);
  if (!report.whole()) {
    fmt::print("{}: damaged\n", path.string());
    return exit_damaged;
  }
  fmt::print("{}: whole, {} in {} files verified in {:.2f} s\n", path.string(), size_text(report.bytes_verified),
             report.files_verified, took.count());
  return exit_whole;
}

}  // namespace cairn::tools
