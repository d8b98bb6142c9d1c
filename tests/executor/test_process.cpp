#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/process_test.hpp"

using namespace std::chrono_literals;
using cairn::CheckpointerParts;
using cairn::CheckpointProcess;
using cairn::Errc;
using cairn::test::becomes;
using cairn::test::Failure;
using cairn::test::failure_of;
using cairn::test::Gate;
using cairn::test::GateHook;
using cairn::test::has_children;
using cairn::test::Model;
using cairn::test::ProcessTest;
using cairn::test::Shared;

namespace {

bool is_there(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

/// What an init function saw.
struct Seen {
  std::atomic<pid_t> pid{0};
  std::atomic<pid_t> parent{0};
  std::atomic<int> argument{0};
  std::atomic<int> calls{0};
};

unsigned long long signal_mask(pid_t pid, const char* field) {
  return std::stoull(cairn::test::status_of(pid, field), nullptr, 16);
}

bool ignores(pid_t pid, int signal) {
  return (signal_mask(pid, "SigIgn") >> (signal - 1) & 1) != 0;
}

/// The inode of the mapping whose name holds `name`; empty when there is none.
std::string mapped_inode(const std::string& pid, const std::string& name) {
  std::ifstream maps("/proc/" + pid + "/maps");
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find(name) == std::string::npos) continue;
    std::string range, mode, offset, device, inode;
    std::istringstream(line) >> range >> mode >> offset >> device >> inode;
    return inode;
  }
  return "";
}

void save_and_check(ProcessTest& t, CheckpointProcess& process, const std::string& name, float first) {
  Model model(300000, first);
  process.write(t.path(name), model.state()).get();
  CHECK(model.is_in(t.path(name)));
}

}  // namespace

TEST_CASE("SEED 28: the process is alive after creation and gone after close") {
  ProcessTest t;
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  const pid_t worker = process.worker_pid();
  CHECK(process.alive());
  CHECK(is_there(supervisor));
  CHECK(is_there(worker));
  CHECK(supervisor != worker);
  save_and_check(t, process, "a", 1);
  save_and_check(t, process, "a", 2);
  CHECK(process.worker_pid() == worker);
  process.close().get();
  CHECK_FALSE(process.alive());
  CHECK(process.pid() == 0);
  CHECK_FALSE(is_there(supervisor));
  CHECK_FALSE(is_there(worker));
  CHECK_FALSE(has_children());
  process.close().get();
  CHECK(t.await_all_gone().empty());
  CHECK(t.reported().empty());
}

TEST_CASE("SEED 29: the init function runs in the child with what it captured") {
  ProcessTest t;
  const Shared<Seen> seen;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [into = seen.get(), argument = 17] {
    into->pid = ::getpid();
    into->parent = ::getppid();
    into->argument = argument;
    ++into->calls;
  };
  CheckpointProcess process(t.config, parts);
  CHECK(seen->pid == process.worker_pid());
  CHECK(seen->parent == process.pid());
  CHECK(seen->argument == 17);
  CHECK(seen->calls == 1);
  process.close().get();
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 30: a slow init is a timeout, and no process stays behind") {
  ProcessTest t;
  t.config.process.subprocess_init_timeout = 300ms;
  const Shared<Gate> never_opened;
  const Shared<Seen> seen;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [gate = never_opened.get(), into = seen.get()] {
    into->parent = ::getppid();
    gate->pass();
  };
  const Failure failure = failure_of([&] { CheckpointProcess process(t.config, parts); });
  CHECK(failure.code == Errc::timed_out);
  CHECK(failure.says("Timed out"));
  CHECK(failure.says("300 ms"));
  const std::vector<pid_t> left = t.await_all_gone();
  CHECK(std::count(left.begin(), left.end(), seen->parent) == 0);  // cairn reaps its own child
}

TEST_CASE("SEED 31: an error of the init function is the error of the creation") {
  ProcessTest t;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [] { throw std::runtime_error("no license for eight ranks"); };
  const Failure failure = failure_of([&] { CheckpointProcess process(t.config, parts); });
  CHECK(failure.code == Errc::init_failed);
  CHECK(failure.says("no license for eight ranks"));
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("an init function that crashes is told with its signal, after three tries") {
  ProcessTest t;
  const Shared<Seen> seen;
  CheckpointerParts parts;
  parts.subprocess_init_fn = [into = seen.get()] {
    ++into->calls;
    ::raise(SIGKILL);
  };
  const Failure failure = failure_of([&] { CheckpointProcess process(t.config, parts); });
  CHECK(failure.code == Errc::executor_died);
  CHECK(failure.says("signal 9"));
  CHECK(seen->calls == 3);
  CHECK_FALSE(has_children());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("a writer factory that throws, or gives nothing, is an error of the creation") {
  ProcessTest t;
  CheckpointerParts throws;
  throws.checkpoint_writer_init_fn = []() -> std::unique_ptr<cairn::CheckpointWriter> {
    throw std::runtime_error("no tape drive");
  };
  const Failure thrown = failure_of([&] { CheckpointProcess process(t.config, throws); });
  CHECK(thrown.code == Errc::init_failed);
  CHECK(thrown.says("no tape drive"));
  CheckpointerParts nothing;
  nothing.checkpoint_writer_init_fn = [] { return std::unique_ptr<cairn::CheckpointWriter>(); };
  CHECK(failure_of([&] { CheckpointProcess process(t.config, nothing); }).code == Errc::init_failed);
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 32: write takes a state, or a future of one") {
  ProcessTest t;
  CheckpointProcess process(t.config, CheckpointerParts());
  Model now(1000, 1);
  process.write(t.path("now"), now.state()).get();
  CHECK(now.is_in(t.path("now")));

  Model later(1000, 2);
  cairn::Promise<cairn::StateDict> made_later;
  const cairn::Saving saving = process.write(t.path("later"), made_later.future());
  CHECK_FALSE(saving.committed().ready());
  made_later.set_value(later.state());
  saving.get();
  CHECK(later.is_in(t.path("later")));

  cairn::Promise<cairn::StateDict> failing;
  const cairn::Saving failed = process.write(t.path("failed"), failing.future());
  failing.set_exception(std::make_exception_ptr(cairn::Error(Errc::busy, "make the state")));
  CHECK(failure_of([&] { failed.staged().get(); }).says("make the state"));
  CHECK(failure_of([&] { failed.get(); }).code == Errc::busy);
  process.write(t.path("after"), now.state()).get();
  CHECK(now.is_in(t.path("after")));
  process.close().get();
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("SEED 35: a process that does not exit is killed, and close does not throw") {
  ProcessTest t;
  t.config.process.subprocess_shutdown_timeout = 200ms;
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  const pid_t worker = process.worker_pid();
  save_and_check(t, process, "a", 1);
  ::kill(worker, SIGSTOP);
  CHECK(failure_of([&] { process.close().get(); }).what == "");
  CHECK_FALSE(is_there(supervisor));
  const std::vector<pid_t> left = t.await_all_gone();
  CHECK(std::count(left.begin(), left.end(), supervisor) == 0);
}

TEST_CASE("SEED 35: a hook that hangs does not hang close") {
  ProcessTest t;
  t.config.process.subprocess_shutdown_timeout = 200ms;
  t.config.writer.write_stall_timeout = 300ms;
  const Shared<Gate> never_opened;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(nullptr, never_opened.get());
  CheckpointProcess process(t.config, parts);
  Model model(1000, 1);
  const cairn::Saving saving = process.write(t.path("a"), model.state());
  const Failure failure = failure_of([&] { saving.get(); });
  CHECK(failure.code == Errc::timed_out);
  CHECK(failure.says(".safetensors"));
  CHECK(failure_of([&] { process.close().get(); }).what == "");  // the failure was seen above
  CHECK(model.is_in(t.path("a")));                               // it was committed before
  t.await_all_gone();
}

TEST_CASE("SEED 36: the writing process sees the very memory that was staged into") {
  ProcessTest t;
  const Shared<Gate> gate;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(gate.get());
  CheckpointProcess process(t.config, parts);
  Model model(3000000, 1);
  const cairn::Saving saving = process.write(t.path("a"), model.state());
  REQUIRE(gate->was_reached());
  const std::string own = mapped_inode("self", "memfd:cairn-slot-0");
  CHECK(own != "");
  CHECK(mapped_inode(std::to_string(process.worker_pid()), "memfd:cairn-slot-0") == own);
  saving.staged().get();
  Model before = model;
  model.fill(1000);  // SEED 41: what was staged stays as it was
  gate->open();
  saving.get();
  CHECK(before.is_in(t.path("a")));
  process.close().get();
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("the process has a name, a session and descriptors of its own, and survives what ends a launcher's group") {
  ProcessTest t;
  t.config.process.nice = 3;
  std::array<int, 2> leaked{};  // without close-on-exec, as some library of the trainer's may have opened it
  REQUIRE(::pipe(leaked.data()) == 0);
  CheckpointProcess process(t.config, CheckpointerParts());
  const pid_t supervisor = process.pid();
  const pid_t worker = process.worker_pid();
  for (const pid_t pid : {supervisor, worker}) {
    INFO((pid == supervisor ? "supervisor" : "worker"));
    CHECK(cairn::test::status_of(pid, "Name") == "cairn-executor");
    CHECK(::getsid(pid) == supervisor);
    CHECK(::getpgid(pid) == supervisor);
    CHECK(ignores(pid, SIGINT));
    CHECK(ignores(pid, SIGTERM));
    CHECK(ignores(pid, SIGHUP));
    CHECK_FALSE(ignores(pid, SIGSEGV));
    CHECK(signal_mask(pid, "SigBlk") == 0);
    CHECK(::getpriority(PRIO_PROCESS, static_cast<id_t>(pid)) == ::getpriority(PRIO_PROCESS, 0) + 3);
    for (const auto& [fd, target] : cairn::test::descriptors_of(pid)) {
      INFO(fd << " is " << target);
      const bool is_own = target.starts_with("/memfd:cairn-") || target.starts_with("socket:") ||
                          target.starts_with("anon_inode:") || target == "/dev/null";
      if (fd == STDERR_FILENO) {
        CHECK(target == t.config.process.log_file.string());
      } else {
        CHECK(is_own);
      }
      if (fd <= STDOUT_FILENO) CHECK(target == "/dev/null");
    }
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ::kill(worker, signal);
    ::kill(supervisor, signal);
  }
  save_and_check(t, process, "a", 1);
  CHECK(process.pid() == supervisor);
  CHECK(process.worker_pid() == worker);
  process.close().get();
  ::close(leaked[0]);
  ::close(leaked[1]);
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("without io_uring the saves are the same") {
  ProcessTest t;
  t.config.writer.io_backend = cairn::IoBackend::threads;
  t.config.max_in_flight = 2;
  CheckpointProcess process(t.config, CheckpointerParts());
  for (const char* name : {"a", "b", "a"})
    save_and_check(t, process, name, static_cast<float>(name[0]));
  for (const auto& [fd, target] : cairn::test::descriptors_of(process.worker_pid()))
    CHECK(target != "anon_inode:[io_uring]");
  process.close().get();
  CHECK(cairn::test::leftovers_in(t.dir.path()).empty());
  CHECK(t.await_all_gone().empty());
}

TEST_CASE("a trainer without standard streams saves as any other") {
  ProcessTest t;
  const pid_t trainer = ::fork();
  if (trainer == 0) {
    int code = 1;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      ::close(fd);
    try {
      CheckpointProcess process(t.config, CheckpointerParts());
      Model model(300000, 5);
      process.write(t.path("a"), model.state()).get();
      code = model.is_in(t.path("a")) ? 0 : 2;
      process.close().get();
    } catch (...) {
      code = 3;
    }
    ::_exit(code);
  }
  int status = -1;
  REQUIRE(::waitpid(trainer, &status, 0) == trainer);
  CHECK(status == 0);
  CHECK(t.await_all_gone().empty());
}

TEST_CASE(
    "a checkpointer that is destroyed without close leaves staged saves to the process, and no zombie when idle") {
  ProcessTest t;
  {
    CheckpointProcess process(t.config, CheckpointerParts());
    save_and_check(t, process, "a", 1);
  }
  CHECK_FALSE(has_children());

  const Shared<Gate> gate;
  CheckpointerParts parts;
  parts.commit_hook = std::make_shared<GateHook>(gate.get());
  Model model(300000, 2);
  {
    CheckpointProcess process(t.config, parts);
    const cairn::Saving saving = process.write(t.path("b"), model.state());
    saving.staged().get();
    REQUIRE(gate->was_reached());
  }
  CHECK_FALSE(std::filesystem::exists(t.path("b")));
  gate->open();
  t.await_all_gone();
  CHECK(model.is_in(t.path("b")));
}
