#pragma once

#include <cairn/config.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/temp_dir.hpp"

namespace cairn::test {

/// What on_error was told, on whatever thread.
class ErrorLog {
 public:
  void add(const Error& error);
  std::vector<Error> all() const;

  /// Waits until there are `count`; false when they do not come (a failure of the test).
  bool wait_for(std::size_t count) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Error> errors_;
};

/// A folder for runs on the disk that the build tree is on, and what executors that work there have to say. The
/// destructor fails the test where a sanitizer has reported something in one of them.
class Workplace {
 public:
  Workplace();
  ~Workplace();

  std::filesystem::path runs() const { return dir_ / "runs"; }
  std::filesystem::path run(std::string_view name) const { return runs() / name; }
  std::filesystem::path file(std::string_view name) const { return dir_ / name; }
  std::filesystem::path log_file() const { return dir_ / "executor.log"; }

  /// on_error goes to errors().
  CheckpointerConfig config();
  ErrorLog& errors() { return *errors_; }

  /// Names in runs() that are no checkpoint's own: partial and replaced directories, and lock files in checkpoints.
  std::vector<std::string> leftovers() const;

  /// All names in runs(), sorted.
  std::vector<std::string> names() const;

 private:
  TempDir dir_;
  std::shared_ptr<ErrorLog> errors_ = std::make_shared<ErrorLog>();
};

/// Waits until `condition` holds; false where it does not within a minute (a failure of the test).
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Names in a directory, sorted; none where there is no such directory.
std::vector<std::string> names_in(const std::filesystem::path& directory);

/// Threads of this process, by the kernel's count.
int thread_count();

}  // namespace cairn::test
