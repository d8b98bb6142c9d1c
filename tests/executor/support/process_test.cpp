#include "process_test.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "executor/spawn.hpp"

namespace cairn::test {
namespace fs = std::filesystem;
namespace {

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

}  // namespace

void Gate::pass() {
  ::sem_post(&reached_);
  while (::sem_wait(&open_) != 0 && errno == EINTR) {
  }
}

bool Gate::was_reached() {
  timespec deadline{};
  ::clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 60;
  while (::sem_timedwait(&reached_, &deadline) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

void Gate::open(int count) {
  for (int at = 0; at < count; ++at)
    ::sem_post(&open_);
}

struct ProcessTest::Reports {
  std::mutex mutex;
  std::vector<std::string> texts;
};

ProcessTest::ProcessTest() : reports_(std::make_shared<Reports>()) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::string hazard = executor::fork_hazard();
  if (!hazard.empty()) throw std::logic_error("a test before this one left something behind: " + hazard);
  if (has_children()) throw std::logic_error("a test before this one left a process behind");
  config.process.log_file = dir / "executor.log";
  config.on_error = [reports = reports_](const Error& error) {
    const std::lock_guard lock(reports->mutex);
    reports->texts.emplace_back(error.what());
  };
}

/// After a failed test: those that follow must not suffer from it.
ProcessTest::~ProcessTest() {
  while (has_children()) {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const pid_t pid = std::atoi(entry.path().filename().c_str());
      if (pid > 0 && status_of(pid, "PPid") == std::to_string(::getpid())) ::kill(pid, SIGKILL);
    }
    ::waitpid(-1, nullptr, 0);
  }
}

std::vector<std::string> ProcessTest::reported() const {
  const std::lock_guard lock(reports_->mutex);
  return reports_->texts;
}

std::vector<pid_t> ProcessTest::await_all_gone() {
  std::vector<pid_t> reaped;
  while (true) {
    const pid_t pid = ::waitpid(-1, nullptr, 0);
    if (pid > 0) reaped.push_back(pid);
    if (pid < 0 && errno == ECHILD) break;
  }
  const std::string log = text_of(config.process.log_file);
  for (const char* said : {"ERROR: AddressSanitizer", "runtime error", "WARNING: ThreadSanitizer"}) {
    if (log.find(said) != std::string::npos) throw std::runtime_error("in the executor: " + log);
  }
  return reaped;
}

bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

Model::Model(std::size_t count, float first) : weights(count) {
  fill(first);
}

void Model::fill(float first) {
  for (std::size_t at = 0; at < weights.size(); ++at)
    weights[at] = first + static_cast<float>(at % 1000003);
}

StateDict Model::state() {
  StateDict state;
  std::vector<std::int64_t> shape(1, static_cast<std::int64_t>(weights.size()));
  state["w"] = tensor(weights.data(), shape);
  state["first"] = static_cast<double>(weights[0]);
  return state;
}

bool Model::is_in(const fs::path& path) const {
  CheckpointReader reader(IoBackend::automatic, true);
  const StateDict loaded = reader.load(path, LoadOptions()).get();
  const TensorView found = loaded.at("w").tensor();
  return found.size_bytes() == weights.size() * sizeof(float) &&
         std::memcmp(found.data(), weights.data(), found.size_bytes()) == 0 &&
         loaded.at("first").as<double>() == static_cast<double>(weights[0]);
}

bool becomes(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::sched_yield();
  }
  return true;
}

Failure failure_of(const std::function<void()>& call) {
  Failure failure;
  try {
    call();
  } catch (const Error& error) {
    failure.code = error.code();
    failure.what = error.what();
  }
  return failure;
}

std::vector<std::string> leftovers_in(const fs::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".partial-") != std::string::npos || name.find(".replaced") != std::string::npos) {
      found.push_back(name);
    }
  }
  return found;
}

std::string status_of(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (!line.starts_with(field + ":")) continue;
    const std::size_t value = line.find_first_not_of(" \t", field.size() + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::vector<std::pair<int, std::string>> descriptors_of(pid_t pid) {
  std::vector<std::pair<int, std::string>> found;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
    found.emplace_back(std::stoi(entry.path().filename().string()), fs::read_symlink(entry.path()).string());
  return found;
}

}  // namespace cairn::test
