#pragma once

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "cairn/cairn.hpp"
#include "support/temp_dir.hpp"

namespace cairn::test {

/// A T that processes share which were forked after it was made.
template <class T>
class Shared {
 public:
  Shared() {
    void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    value_ = new (memory) T();
  }
  ~Shared() { ::munmap(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T* get() const { return value_; }
  T* operator->() const { return value_; }

 private:
  T* value_;
};

/// A place where a process waits until another one lets it go on. Only in a Shared.
class Gate {
 public:
  Gate() {
    ::sem_init(&reached_, 1, 0);
    ::sem_init(&open_, 1, 0);
  }

  /// Lets go those who wait for somebody to come here, and waits for open().
  void pass();

  /// Waits until somebody came, once for each that came; false when nobody does for a minute.
  bool was_reached();

  /// Lets `count` go on.
  void open(int count = 1);

 private:
  sem_t reached_;
  sem_t open_;
};

/// Which of its two places a hook waits at.
class GateHook final : public WriterHook {
 public:
  explicit GateHook(Gate* pre_commit, Gate* post_commit = nullptr) : pre_(pre_commit), post_(post_commit) {}
  Task<> pre_commit(Commit) override {
    if (pre_ != nullptr) pre_->pass();
    co_return;
  }
  Task<> post_commit(Commit) override {
    if (post_ != nullptr) post_->pass();
    co_return;
  }

 private:
  Gate* pre_;
  Gate* post_;
};

/// A folder for checkpoints, and an eye on all processes that come from this one, also those that lost their parents.
class ProcessTest {
 public:
  /// Of a process with one thread and no children.
  ProcessTest();
  ~ProcessTest();
  ProcessTest(const ProcessTest&) = delete;
  ProcessTest& operator=(const ProcessTest&) = delete;

  /// Waits until every process is gone, and answers those that were not reaped by cairn. Throws what a sanitizer said
  /// in one of them.
  std::vector<pid_t> await_all_gone();

  std::filesystem::path path(const std::string& name) const { return dir / name; }

  /// What on_error was called with.
  std::vector<std::string> reported() const;

  TempDir dir;
  CheckpointerConfig config;

 private:
  struct Reports;
  std::shared_ptr<Reports> reports_;
};

/// Whether this process has a child, zombies included.
bool has_children();

/// A state of one tensor "w" of `count` floats.
class Model {
 public:
  explicit Model(std::size_t count, float first = 0);
  void fill(float first);
  StateDict state();
  /// Whether the checkpoint at `path` holds this very model.
  bool is_in(const std::filesystem::path& path) const;

  std::vector<float> weights;
};

/// Spins, giving way to others, until `condition` holds; false when it does not for a minute.
bool becomes(const std::function<bool()>& condition);

/// What the error of `call` is; empty code when there is none.
struct Failure {
  std::error_code code;
  std::string what;
  bool says(const std::string& text) const { return what.find(text) != std::string::npos; }
};
Failure failure_of(const std::function<void()>& call);

/// The names in `directory` that are not complete checkpoints: partial directories and the like.
std::vector<std::string> leftovers_in(const std::filesystem::path& directory);

/// A field of /proc/<pid>/status, such as "SigIgn".
std::string status_of(pid_t pid, const std::string& field);

/// Where the descriptors of `pid` point to.
std::vector<std::pair<int, std::string>> descriptors_of(pid_t pid);

}  // namespace cairn::test
