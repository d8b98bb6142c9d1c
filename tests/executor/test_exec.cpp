#include <signal.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cairn/version.hpp"
#include "support/catch.hpp"
#include "support/process_test.hpp"

namespace fs = std::filesystem;
using cairn::CheckpointerParts;
using cairn::CheckpointProcess;
using cairn::Errc;
using cairn::test::Failure;
using cairn::test::failure_of;
using cairn::test::has_children;
using cairn::test::Model;
using cairn::test::ProcessTest;

namespace {

/// Makes a fork unsafe as long as it lives.
class SecondThread {
 public:
  SecondThread() : thread_([this] { wait(); }) {}
  ~SecondThread() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ends_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread thread_;
};

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }

 private:
  const char* name_;
};

fs::path executable_of(pid_t pid) {
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/exe");
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  in >> text;
  return text;
}

}  // namespace

TEST_CASE("a trainer with threads gets cairn-executor, which is all that a forked one is") {
  ProcessTest t;
  const SecondThread thread;
  std::array<int, 2> leaked{};
  REQUIRE(::pipe(leaked.data()) == 0);
  CheckpointProcess process(t.config, CheckpointerParts());
  CHECK(executable_of(process.pid()).filename() == "cairn-executor");
  for (const pid_t pid : {process.pid(), process.worker_pid()}) {
    CHECK(cairn::test::status_of(pid, "Name") == "cairn-executor");
    CHECK(::getsid(pid) == process.pid());
    for (const auto& [fd, target] : cairn::test::descriptors_of(pid)) {
      INFO(fd << " is " << target);
      CHECK_FALSE(target.starts_with("pipe:"));
      if (fd <= STDOUT_FILENO) CHECK(target == "/dev/null");
      if (fd == STDERR_FILENO) CHECK(target == t.config.process.log_file.string());
    }
    ::kill(pid, SIGINT);
    ::kill(pid, SIGTERM);
  }
  Model model(3000000, 1);
  process.write(t.path("a"), model.state(), cairn::SaveOptions().step(3)).get();
  CHECK(model.is_in(t.path("a")));

  const pid_t worker = process.worker_pid();
  REQUIRE(::kill(worker, SIGKILL) == 0);
  Model next(3000000, 2);
  process.write(t.path("a"), next.state()).get();
  CHECK(next.is_in(t.path("a")));
  CHECK(process.worker_pid() != worker);
  process.close().get();
  ::close(leaked[0]);
  ::close(leaked[1]);
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("hooks, writers and init functions are found by name in a program that calls executor_main") {
  ProcessTest t;
  const SecondThread thread;
  t.config.process.executor = CAIRN_OWN_EXECUTOR;
  CheckpointerParts parts;
  parts.commit_hook_name = "marking";
  parts.checkpoint_writer_name = "marking";
  parts.subprocess_init_name = "good";
  CheckpointProcess process(t.config, parts);
  CHECK(executable_of(process.pid()).filename() == "own_executor");
  Model model(30000, 1);
  process.write(t.path("a"), model.state()).get();
  CHECK(model.is_in(t.path("a")));
  CHECK(text_of(t.path("a") / "marked-by-hook") == std::to_string(process.worker_pid()));
  CHECK(text_of(t.path("a") / "marked-by-writer") == std::to_string(process.worker_pid()));
  process.close().get();
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("what goes wrong at the start of an exec'ed process is told") {
  ProcessTest t;
  const SecondThread thread;
  t.config.process.executor = CAIRN_OWN_EXECUTOR;
  CheckpointerParts bad;
  bad.subprocess_init_name = "bad";
  const Failure thrown = failure_of([&] { CheckpointProcess process(t.config, bad); });
  CHECK(thrown.code == Errc::init_failed);
  CHECK(thrown.says("no license in the exec'ed process"));

  CheckpointerParts unknown;
  unknown.commit_hook_name = "nobody";
  const Failure missing = failure_of([&] { CheckpointProcess process(t.config, unknown); });
  CHECK(missing.code == Errc::bad_argument);
  CHECK(missing.says("nobody"));
  CHECK(missing.says("marking"));

  t.config.process.executor = "/bin/true";
  const Failure other_program = failure_of([&] { CheckpointProcess process(t.config, CheckpointerParts()); });
  CHECK(other_program.code == Errc::executor_died);
  CHECK(other_program.says("exit code 0"));
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("an executor that is not there is ENOENT, naming it and who named it") {
  ProcessTest t;
  const SecondThread thread;
  const std::string nowhere = t.path("no-such-executor").string();
  {
    const Environment variable("CAIRN_EXECUTOR", nowhere);
    const Failure failure = failure_of([&] { CheckpointProcess process(t.config, CheckpointerParts()); });
    CHECK(failure.code == std::errc::no_such_file_or_directory);
    CHECK(failure.says(nowhere));
    CHECK(failure.says("CAIRN_EXECUTOR"));
  }
  {
    const Environment variable("CAIRN_EXECUTOR", CAIRN_OWN_EXECUTOR);
    CheckpointProcess process(t.config, CheckpointerParts());
    CHECK(executable_of(process.pid()).filename() == "own_executor");
    process.close().get();
  }
  t.config.process.executor = nowhere;
  const Failure failure = failure_of([&] { CheckpointProcess process(t.config, CheckpointerParts()); });
  CHECK(failure.code == std::errc::no_such_file_or_directory);
  CHECK(failure.says(nowhere));
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("an executor of another version is refused, with both versions in the text") {
  ProcessTest t;
  const SecondThread thread;
  t.config.process.executor = CAIRN_OTHER_EXECUTOR;
  const Failure other_version = failure_of([&] { CheckpointProcess process(t.config, CheckpointerParts()); });
  CHECK(other_version.code == Errc::version_mismatch);
  CHECK(other_version.says("9.9.9"));
  CHECK(other_version.says(cairn::version()));
  CHECK_FALSE(has_children());

  const Environment variable("OTHER_EXECUTOR_PROTOCOL", "1");
  const Failure other_protocol = failure_of([&] { CheckpointProcess process(t.config, CheckpointerParts()); });
  CHECK(other_protocol.code == Errc::version_mismatch);
  CHECK(other_protocol.says("protocol 99"));
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
  CHECK(t.reported().empty());  // thrown, and not told twice
}

TEST_CASE("closures need a fork: where it is unsafe the error says both ways out") {
  ProcessTest t;
  const SecondThread thread;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [] {};
  parts.commit_hook = std::make_shared<cairn::WriterHook>();
  const Failure failure = failure_of([&] { CheckpointProcess process(t.config, parts); });
  CHECK(failure.code == Errc::unsafe_fork);
  for (const char* part : {"commit_hook, subprocess_init_fn", "2 threads", "before that", "register_hook",
                           "if (auto code = cairn::executor_main(argc, argv)) return *code;"}) {
    INFO(part);
    CHECK(failure.says(part));
  }
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
}
