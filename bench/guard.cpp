#include "guard.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>

#include "cairn/error.hpp"

// A checkpoint process outlives its trainer and finishes what was staged: right for a trainer, wrong for a benchmark
// whose files are about to go. So the benchmark's processes have an ancestor that does nothing but wait. It adopts
// those whose parent died (PR_SET_CHILD_SUBREAPER), and so can end them all.

namespace cairn::bench {
namespace fs = std::filesystem;
namespace {

fs::path make_directory(const fs::path& parent) {
  std::string path = (fs::absolute(parent) / "bench-data-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) throw Error::from_errno(errno, "make a directory in " + parent.string());
  return path;
}

void kill_children() {
  std::ifstream children(fmt::format("/proc/self/task/{}/children", ::getpid()));
  pid_t child = 0;
  while (children >> child)
    ::kill(child, SIGKILL);
}

/// Killing a parent gives this process its children: until there are none.
void end_descendants() {
  do {
    kill_children();
  } while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR);
}

/// Waits for `child`, ends it early on a signal. Answers an exit status as shells do.
int watch(pid_t child, const sigset_t& signals) {
  int ended_by = 0;
  while (true) {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended != child) continue;
      if (ended_by != 0) return 128 + ended_by;
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal <= 0 || signal == SIGCHLD) continue;
    ended_by = signal;
    ::kill(child, SIGKILL);
  }
}

}  // namespace

int run_guarded(const fs::path& parent, const std::function<int(const fs::path&)>& work) {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw Error::from_errno(errno, "become a subreaper");
  sigset_t signals;
  sigset_t before;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD})
    ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, &before);

  const fs::path directory = make_directory(parent);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    const int status = work(directory);
    std::fflush(nullptr);
    ::_exit(status);
  }
  const int fork_error = errno;
  const int status = child > 0 ? watch(child, signals) : 0;
  end_descendants();
  std::error_code error;
  fs::remove_all(directory, error);
  if (error) fmt::print(stderr, "bench: remove {}: {}\n", directory.string(), error.message());
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) throw Error::from_errno(fork_error, "fork the benchmark");
  return status;
}

}  // namespace cairn::bench
