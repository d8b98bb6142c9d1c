#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "executor/executor_start.hpp"
#include "executor/job_queue.hpp"
#include "executor/message.hpp"
#include "loop/packet_socket.hpp"

// The supervisor is what is forked from the trainer (or started by exec). It does as little as can be done, so that it
// does not die: it forks the worker, holds what must outlive a worker (the socket to the trainer, the locks of
// attempts), counts deaths in the slots' headers, and forks the next one. It allocates, but makes no threads and opens
// no files.
//
//   trainer ──fork──> supervisor ──fork──> worker
//      │                  │ └── hold socket ──┤      locks, by SCM_RIGHTS
//      └────── socket ────┴───────────────────┘      read by the worker only
//
// The worker reads the trainer's messages from a socket that the supervisor keeps open too; what a dead worker had read
// is found again in the slots' headers, where the next one looks first.

namespace cairn::executor {
namespace {

/// Workers that die before they are ready, one after the other, before the supervisor gives up.
constexpr int early_deaths_max = 3;

void close_all_but(std::vector<int> kept) {
  kept.insert(kept.end(), {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
  std::sort(kept.begin(), kept.end());
  unsigned next = 0;
  for (const int fd : kept) {
    if (fd < 0) continue;
    const auto number = static_cast<unsigned>(fd);
    if (number > next) ::syscall(SYS_close_range, next, number - 1, 0);
    next = std::max(next, number + 1);
  }
  ::syscall(SYS_close_range, next, ~0U, 0);
}

void redirect_standard_streams(const std::filesystem::path& log_file) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int log = -1;
  if (!log_file.empty()) log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ::dup2(null, STDIN_FILENO);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(log >= 0 ? log : null, STDERR_FILENO);
}

/// Launchers signal whole groups or every process of a step; the executor ends by itself when the trainer is gone and
/// everything staged is written, so only SIGKILL ends it earlier.
void leave_the_trainer(const ExecutorStart& start) {
  ::prctl(PR_SET_NAME, "cairn-executor");
  ::setsid();
  for (int signal = 1; signal < NSIG; ++signal)
    ::signal(signal, SIG_DFL);
  for (const int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2})
    ::signal(ignored, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (start.nice > 0) {
    errno = 0;
    [[maybe_unused]] const int now = ::nice(start.nice);
  }
  std::vector<int> kept = start.slots.descriptors();
  kept.push_back(start.socket.get());
  kept.push_back(start.trainer.get());
  redirect_standard_streams(start.log_file);
  close_all_but(std::move(kept));
}

class Supervisor {
 public:
  Supervisor(ExecutorStart start, WorkerProgram& program) : start_(std::move(start)), program_(program) {}

  [[noreturn]] void run() {
    int early_deaths = 0;
    while (true) {
      const int status = one_worker();
      const bool exited_by_itself = WIFEXITED(status) && WEXITSTATUS(status) == worker_done && !is_at_a_save();
      if (exited_by_itself) ::_exit(0);
      const bool failed_at_start = WIFEXITED(status) && WEXITSTATUS(status) == worker_init_failed;
      if (failed_at_start && !was_ever_ready_) ::_exit(worker_init_failed);  // the worker has said why
      blame(status);
      early_deaths = worker_was_ready_ ? 0 : early_deaths + 1;
      if (early_deaths == early_deaths_max) give_up(status);
    }
  }

 private:
  int one_worker() {
    worker_was_ready_ = false;
    auto [own_end, worker_end] = loop::PacketSocket::pair();
    const pid_t worker = ::fork();
    if (worker == 0) {
      own_end.reset();
      ::_exit(run_worker(start_, program_, std::move(worker_end), std::move(locks_)));
    }
    worker_end.reset();
    if (worker < 0) return W_EXITCODE(1, 0);
    // The process itself is watched too: its end of the socket may have leaked into a child of the user's code.
    const UniqueFd alive(static_cast<int>(::syscall(SYS_pidfd_open, worker, 0)));
    while (true) {
      std::array<pollfd, 2> watched{pollfd{own_end.get(), POLLIN, 0}, pollfd{alive.get(), POLLIN, 0}};
      if (::poll(watched.data(), watched.size(), -1) < 0) {
        if (errno == EINTR) continue;
        break;
      }
      if (watched[0].revents != 0 && !answer(own_end.get())) break;
      if (watched[0].revents == 0 && watched[1].revents != 0) break;
    }
    int status = 0;
    while (::waitpid(worker, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  /// One message of the worker; false when its end is closed: it is dead.
  bool answer(int socket) {
    HoldMessage message;
    iovec body{&message, sizeof message};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &body;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    UniqueFd fd;
    if (const cmsghdr* const rights = CMSG_FIRSTHDR(&header)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(rights), sizeof number);
      fd = UniqueFd(number);
    }
    switch (message.type) {
      case HoldMessage::Type::ready:
        worker_was_ready_ = true;
        was_ever_ready_ = true;
        break;
      case HoldMessage::Type::hold:
        locks_.insert_or_assign(message.slot, HeldLock{message.generation, std::move(fd)});
        message.type = HoldMessage::Type::held;
        while (::send(socket, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
        }
        break;
      case HoldMessage::Type::release:
        locks_.erase(message.slot);
        break;
      case HoldMessage::Type::held:
        break;
    }
    return true;
  }

  /// Code of the user's in a worker may call exit(0): then it is not done.
  bool is_at_a_save() const {
    for (unsigned slot = 0; slot < start_.slots.size(); ++slot) {
      if (start_.slots.header(slot).active.load() != 0) return true;
    }
    return false;
  }

  void blame(int status) {
    for (unsigned slot = 0; slot < start_.slots.size(); ++slot) {
      SlotHeader& header = start_.slots.header(slot);
      if (header.active.exchange(0) == 0) continue;
      header.death_status.store(status);
      header.deaths.fetch_add(1);
    }
  }

  [[noreturn]] void give_up(int status) {
    Message message;
    message.type = MessageType::gave_up;
    message.error =
        Error(Errc::executor_died,
              "restart the checkpoint process: its workers die before they are ready, by " + describe_death(status));
    const std::string bytes = encode(message);
    while (::send(start_.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    ::_exit(1);
  }

  ExecutorStart start_;
  WorkerProgram& program_;
  HeldLocks locks_;
  bool worker_was_ready_ = false;
  bool was_ever_ready_ = false;
};

}  // namespace

void supervise(ExecutorStart start, WorkerProgram& program) noexcept {
  leave_the_trainer(start);
  Supervisor supervisor(std::move(start), program);
  supervisor.run();
}

}  // namespace cairn::executor
