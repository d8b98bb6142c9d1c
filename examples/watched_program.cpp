#include "watched_program.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

namespace example {

namespace {

/// Where the started program finds its end of the pipe.
constexpr int pipe_in_program = 3;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

WatchedProgram::WatchedProgram(const std::filesystem::path& program, std::vector<std::string> arguments)
    : name_(program.string()) {
  arguments.insert(arguments.begin(), name_);
  arguments.insert(arguments.end(), {"--events", std::to_string(pipe_in_program)});
  std::vector<char*> pointers;
  for (std::string& argument : arguments)
    pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(errno, "pipe");
  pipe_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // Also where the numbers happen to be the same: then it takes close-on-exec away.
  posix_spawn_file_actions_adddup2(&actions, ends[1], pipe_in_program);
  const int error = ::posix_spawn(&process_, name_.c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(pipe_);
    fail(error, "start " + name_);
  }
  // By number: the header of glibc 2.36 declares pidfd_open for C only.
  process_descriptor_ = static_cast<int>(::syscall(SYS_pidfd_open, process_, 0));
  if (process_descriptor_ < 0) {
    const int pidfd_error = errno;
    kill();
    wait();
    ::close(pipe_);
    fail(pidfd_error, "pidfd_open of " + name_);
  }
}

WatchedProgram::~WatchedProgram() {
  if (!end_) {
    kill();
    wait();
  }
  ::close(process_descriptor_);
  ::close(pipe_);
}

std::optional<std::string> WatchedProgram::next_line() {
  for (;;) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    pollfd waits[] = {{pipe_, POLLIN, 0}, {process_descriptor_, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) {
      if (errno == EINTR) continue;
      fail(errno, "wait for " + name_);
    }
    if ((waits[0].revents & POLLIN) == 0) return std::nullopt;
    char bytes[4096];
    const ssize_t count = ::read(pipe_, bytes, sizeof bytes);
    if (count < 0 && errno != EINTR) fail(errno, "read what " + name_ + " says");
    if (count > 0) unread_.append(bytes, static_cast<std::size_t>(count));
  }
}

void WatchedProgram::kill() {
  ::kill(process_, SIGKILL);
}

std::string WatchedProgram::wait() {
  if (end_) return *end_;
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0)
    if (errno != EINTR) fail(errno, "wait for " + name_);
  end_ = WIFSIGNALED(status) ? fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)))
                             : fmt::format("status {}", WEXITSTATUS(status));
  return *end_;
}

}  // namespace example
