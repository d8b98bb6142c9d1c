#include "executor/spawn.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/scheduler.hpp"
#include "loop/packet_socket.hpp"

#if defined(__SANITIZE_THREAD__)
#define CAIRN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_THREAD_SANITIZER 1
#endif
#endif

extern char** environ;

namespace cairn::executor {
namespace fs = std::filesystem;
namespace {

int thread_count() {
  std::ifstream status("/proc/self/status");
  std::string name;
  while (status >> name) {
    if (name == "Threads:") {
      int threads = 0;
      status >> threads;
#ifdef CAIRN_THREAD_SANITIZER
      --threads;  // its own, which knows about forks
#endif
      return threads;
    }
  }
  return 1;
}

/// The CUDA driver opens its device files when it is initialised, and no sooner.
bool has_cuda_device_open() {
  std::error_code error;
  for (fs::directory_iterator fds("/proc/self/fd", error); !error && fds != fs::directory_iterator();
       fds.increment(error)) {
    std::error_code ignored;
    const std::string target = fs::read_symlink(fds->path(), ignored).string();
    if (target.starts_with("/dev/nvidia")) return true;
  }
  return false;
}

UniqueFd open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) throw Error::from_errno(errno, "pidfd_open " + std::to_string(pid));
  return fd;
}

/// The executor puts /dev/null in the place of the standard streams; a trainer that runs without some of them gets
/// their numbers for other things.
UniqueFd above_standard_streams(UniqueFd fd) {
  if (fd.get() > STDERR_FILENO) return fd;
  UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!moved) throw Error::from_errno(errno, "duplicate a descriptor");
  return moved;
}

/// Gives `start` its end of a new socket and a view of this process; answers the trainer's end.
UniqueFd connect(ExecutorStart& start) {
  auto [trainer_end, executor_end] = loop::PacketSocket::pair();
  start.socket = above_standard_streams(std::move(executor_end));
  start.trainer = above_standard_streams(open_pidfd(::getpid()));
  start.trainer_pid = ::getpid();
  return std::move(trainer_end);
}

UniqueFd as_memfd(const std::string& text) {
  UniqueFd fd(::memfd_create("cairn-start", MFD_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, "memfd_create cairn-start");
  if (::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw Error::from_errno(errno, "write the executor's start");
  }
  return above_standard_streams(std::move(fd));
}

}  // namespace

std::string fork_hazard() {
  const int threads = thread_count();
  if (threads > 1) return "the process has " + std::to_string(threads) + " threads";
  if (has_cuda_device_open()) return "the process has opened a CUDA device";
  return "";
}

SpawnedExecutor fork_executor(ExecutorStart start, WorkerProgram& program) {
  SpawnedExecutor spawned;
  spawned.socket = connect(start);
  spawned.supervisor = ::fork();
  if (spawned.supervisor == 0) {
    spawned.socket.reset();
    Scheduler::forget_current();
    supervise(std::move(start), program);
  }
  if (spawned.supervisor < 0) throw Error::from_errno(errno, "fork the checkpoint process");
  spawned.supervisor_pidfd = open_pidfd(spawned.supervisor);
  return spawned;
}

SpawnedExecutor exec_executor(ExecutorStart start, const fs::path& executable) {
  SpawnedExecutor spawned;
  spawned.socket = connect(start);
  const UniqueFd text = as_memfd(start.encode());

  std::vector<int> inherited = start.slots.descriptors();
  inherited.insert(inherited.end(), {start.socket.get(), start.trainer.get(), text.get()});
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  for (const int fd : inherited) {
    // Onto itself: that clears close-on-exec, in the child only.
    if (fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, fd, fd);
  }
  std::string program = executable.string();
  std::string argument = executor_argument;
  std::string number = std::to_string(text.get());
  std::array<char*, 4> arguments{program.data(), argument.data(), number.data(), nullptr};
  // From its first instruction on: a Ctrl-C may come before it can do that itself.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  const int failure =
      ::posix_spawn(&spawned.supervisor, program.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) throw Error::from_errno(failure, "start the checkpoint process " + program);
  spawned.supervisor_pidfd = open_pidfd(spawned.supervisor);
  return spawned;
}

ExecutorStart inherited_start(int descriptor) {
  const UniqueFd fd(descriptor);
  std::string text;
  std::array<char, 4096> chunk{};
  while (true) {
    const ssize_t got = ::pread(fd.get(), chunk.data(), chunk.size(), static_cast<off_t>(text.size()));
    if (got < 0)
      throw Error::from_errno(errno, "read the executor's start from descriptor " + std::to_string(descriptor));
    if (got == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return ExecutorStart::decode(text);
}

}  // namespace cairn::executor
