#include "checkpoint/support/workplace.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "executor/spawn.hpp"
#include "support/catch.hpp"

namespace cairn::test {
namespace fs = std::filesystem;

void ErrorLog::add(const Error& error) {
  const std::lock_guard lock(mutex_);
  errors_.push_back(error);
  changed_.notify_all();
}

std::vector<Error> ErrorLog::all() const {
  const std::lock_guard lock(mutex_);
  return errors_;
}

bool ErrorLog::wait_for(std::size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return errors_.size() >= count; });
}

Workplace::Workplace() : dir_(CAIRN_TEST_DISK) {
  fs::create_directories(runs());
  // Hooks are closures, which go into the checkpoint process by fork: the last test's threads must be gone.
  CHECK(eventually([] { return executor::fork_hazard().empty(); }));
}

Workplace::~Workplace() {
  std::ifstream in(log_file());
  std::ostringstream text;
  text << in.rdbuf();
  const std::string log = text.str();
  INFO("an executor's standard error: " << log);
  for (const char* const report : {"ERROR: AddressSanitizer", "runtime error", "WARNING: ThreadSanitizer"})
    CHECK(log.find(report) == std::string::npos);
}

CheckpointerConfig Workplace::config() {
  CheckpointerConfig config;
  config.process.log_file = log_file();
  config.on_error = [errors = errors_](const Error& error) { errors->add(error); };
  return config;
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code gone;
  for (fs::directory_iterator entry(directory, gone), end; !gone && entry != end; entry.increment(gone))
    names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Workplace::names() const {
  return names_in(runs());
}

std::vector<std::string> Workplace::leftovers() const {
  std::vector<std::string> found;
  for (const std::string& name : names()) {
    if (name.find(".partial-") != std::string::npos || name.ends_with(".replaced")) found.push_back(name);
    for (const std::string& inside : names_in(run(name))) {
      if (inside == "writer.lock" || inside == "error.json") found.push_back(name + "/" + inside);
    }
  }
  return found;
}

int thread_count() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "Threads:") continue;
    int threads = 0;
    status >> threads;
    return threads;
  }
  return 0;
}

}  // namespace cairn::test
