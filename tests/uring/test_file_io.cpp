#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cairn/error.hpp>
#include <cairn/scope.hpp>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "core/unique_fd.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"
#include "uring/backends.hpp"
#include "uring/file_io.hpp"

namespace {

using cairn::Scope;
using cairn::Task;
using cairn::UniqueFd;
using cairn::test::IoLoop;
using cairn::test::TempDir;
using cairn::uring::Backend;
using cairn::uring::FileIo;

std::vector<Backend> backends() {
  std::vector<Backend> all = {Backend::threads};
  if (cairn::test::ring_available()) all.push_back(Backend::uring);
  return all;
}

Task<void> nops(FileIo& io, int count, int* done) {
  for (int index = 0; index < count; ++index) {
    const std::int64_t result = co_await io.nop();
    if (result == 0) ++*done;
  }
}

Task<void> many_nops(FileIo& io, int tasks, int each, int* done) {
  Scope scope;
  for (int task = 0; task < tasks; ++task)
    scope.spawn(nops(io, each, done));
  co_await scope.join();
}

/// A gate that blocks the helper thread that comes to it.
class Gate {
 public:
  static std::int64_t pass(void* gate) {
    static_cast<Gate*>(gate)->wait();
    return 42;
  }
  void wait() {
    std::unique_lock lock(mutex_);
    ++entered_;
    changed_.notify_all();
    while (!open_)
      changed_.wait(lock);
  }
  void wait_entered(int count) {
    std::unique_lock lock(mutex_);
    while (entered_ < count)
      changed_.wait(lock);
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int entered_ = 0;
  bool open_ = false;
};

struct Pipe {
  Pipe() {
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  UniqueFd out;
  UniqueFd in;
};

Task<void> read_pipe(FileIo& io, int fd, std::stop_token stop, std::vector<std::int64_t>* results) {
  std::array<std::byte, 16> buffer;
  const std::int64_t result = co_await io.read(fd, buffer, 0, stop);
  results->push_back(result);
}

Task<void> pass_gate(FileIo& io, Gate* gate, std::stop_token stop, std::vector<std::int64_t>* results) {
  const std::int64_t result = co_await io.call(&Gate::pass, gate, stop);
  results->push_back(result);
}

Task<void> file_life(FileIo& io, std::string directory, std::vector<std::int64_t>* results) {
  const std::string name = directory + "/file";
  const std::string other = directory + "/other";
  const std::string made = directory + "/made";
  std::vector<std::byte> bytes(5000, std::byte{7});
  const std::int64_t fd = co_await io.openat(AT_FDCWD, name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  const int file = static_cast<int>(fd);
  results->push_back(fd >= 0 ? 0 : fd);
  results->push_back(co_await io.fallocate(file, 0, 0, 10000));
  results->push_back(co_await io.write(file, bytes, 100));
  results->push_back(co_await io.fsync(file));
  results->push_back(co_await io.fsync(file, true));
  results->push_back(co_await io.ftruncate(file, 5100));
  bytes.assign(8000, std::byte{0});
  results->push_back(co_await io.read(file, bytes, 0));
  results->push_back(bytes[99] == std::byte{0} && bytes[100] == std::byte{7} ? 0 : 1);
  struct ::statx status = {};
  results->push_back(co_await io.statx(AT_FDCWD, name.c_str(), 0, STATX_SIZE, &status));
  results->push_back(static_cast<std::int64_t>(status.stx_size));
  results->push_back(co_await io.close(file));
  results->push_back(co_await io.renameat(AT_FDCWD, name.c_str(), AT_FDCWD, other.c_str()));
  results->push_back(co_await io.unlinkat(AT_FDCWD, name.c_str()));
  results->push_back(co_await io.unlinkat(AT_FDCWD, other.c_str()));
  results->push_back(co_await io.mkdirat(AT_FDCWD, made.c_str(), 0700));
  results->push_back(co_await io.mkdirat(AT_FDCWD, made.c_str(), 0700));
  results->push_back(co_await io.unlinkat(AT_FDCWD, made.c_str(), AT_REMOVEDIR));
  results->push_back(co_await io.read(file, bytes, 0));
}

}  // namespace

TEST_CASE("every operation answers as its system call, on both backends") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory;
    CHECK(on.io->backend() == backend);
    CHECK(on.io->backend_reason().empty());
    std::vector<std::int64_t> results;
    on.run(file_life(*on.io, directory.path().string(), &results));
    CHECK(results ==
          std::vector<std::int64_t>{0, 0, 5000, 0, 0, 0, 5100, 0, 0, 5100, 0, 0, -ENOENT, 0, 0, -EEXIST, 0, -EBADF});
    CHECK(on.io->idle());
  }
}

TEST_CASE("more operations in flight than the ring has entries all complete") {
  for (const Backend backend : backends()) {
    IoLoop on(backend, 4);
    int done = 0;
    on.run(many_nops(*on.io, 500, 5, &done));
    CHECK(done == 2500);
    CHECK(on.io->idle());
  }
}

TEST_CASE("a stop before an operation answers ECANCELED, nothing is submitted") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const Pipe pipe;
    std::stop_source stop;
    stop.request_stop();
    std::vector<std::int64_t> results;
    on.run(read_pipe(*on.io, pipe.out.get(), stop.get_token(), &results));
    CHECK(results == std::vector<std::int64_t>{-ECANCELED});
  }
}

TEST_CASE("a stop from another thread cancels a read that the kernel holds") {
  if (!cairn::test::ring_available()) CAIRN_SKIP("no io_uring here");
  IoLoop on(Backend::uring);
  for (int round = 0; round < 300; ++round) {
    const Pipe pipe;
    std::stop_source stop;
    std::vector<std::int64_t> results;
    std::thread stopper([&] { stop.request_stop(); });
    on.run(read_pipe(*on.io, pipe.out.get(), stop.get_token(), &results));
    stopper.join();
    REQUIRE(results == std::vector<std::int64_t>{-ECANCELED});
  }
  CHECK(on.io->idle());
}

namespace {

Task<void> read_pipes(FileIo& io, int fd, int count, std::stop_token stop, std::vector<std::int64_t>* results) {
  Scope scope;
  for (int index = 0; index < count; ++index)
    scope.spawn(read_pipe(io, fd, stop, results));
  co_await scope.join();
}

}  // namespace

TEST_CASE("a stop cancels what is in the ring and what waits for room in it") {
  if (!cairn::test::ring_available()) CAIRN_SKIP("no io_uring here");
  IoLoop on(Backend::uring, 4);
  const Pipe pipe;
  std::stop_source stop;
  std::vector<std::int64_t> results;
  on.loop.post([&] { on.loop.post([&] { stop.request_stop(); }); });
  on.run(read_pipes(*on.io, pipe.out.get(), 100, stop.get_token(), &results));
  CHECK(results == std::vector<std::int64_t>(100, -ECANCELED));
}

TEST_CASE("stops that race with completions lose nothing") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    for (int round = 0; round < 200; ++round) {
      std::stop_source stop;
      const TempDir directory;
      std::vector<std::int64_t> results;
      const auto reads = [](FileIo& io, std::stop_token token, std::vector<std::int64_t>* into) -> Task<void> {
        std::array<std::byte, 64> buffer;
        const std::int64_t fd = co_await io.openat(AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
        for (int index = 0; index < 20; ++index) {
          const std::int64_t result = co_await io.read(static_cast<int>(fd), buffer, 0, token);
          into->push_back(result);
        }
        co_await io.close(static_cast<int>(fd));
      };
      std::thread stopper([&] { stop.request_stop(); });
      on.run(reads(*on.io, stop.get_token(), &results));
      stopper.join();
      REQUIRE(results.size() == 20);
      bool cancelled = false;
      for (const std::int64_t result : results) {
        REQUIRE((result == 64 || result == -ECANCELED));
        // A stop that came too late for one operation holds for all after it.
        REQUIRE((!cancelled || result == -ECANCELED));
        cancelled = cancelled || result == -ECANCELED;
      }
    }
  }
}

TEST_CASE("what a helper thread has begun is awaited after a stop; what it has not is dropped") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    Gate gate;
    // More calls than there are helper threads.
    const int calls = 6;
    const int begun = backend == Backend::threads ? 4 : 1;
    std::stop_source stop;
    std::vector<std::int64_t> results;
    std::thread stopper([&] {
      gate.wait_entered(begun);
      stop.request_stop();
      gate.open();
    });
    const auto pass_all = [](FileIo& io, Gate* through, int count, std::stop_token token,
                             std::vector<std::int64_t>* into) -> Task<void> {
      Scope scope;
      for (int index = 0; index < count; ++index)
        scope.spawn(pass_gate(io, through, token, into));
      co_await scope.join();
    };
    on.run(pass_all(*on.io, &gate, calls, stop.get_token(), &results));
    stopper.join();
    REQUIRE(results.size() == static_cast<std::size_t>(calls));
    int passed = 0;
    for (const std::int64_t result : results) {
      REQUIRE((result == 42 || result == -ECANCELED));
      if (result == 42) ++passed;
    }
    CHECK(passed >= begun);
    CHECK(on.io->idle());
  }
}

TEST_CASE("an awaiting coroutine that is destroyed takes its operation out of the kernel first") {
  if (!cairn::test::ring_available()) CAIRN_SKIP("no io_uring here");
  IoLoop on(Backend::uring);
  Pipe pipe;
  std::vector<std::int64_t> results;
  for (const bool submitted : {false, true}) {
    {
      Task<void> task = read_pipe(*on.io, pipe.out.get(), std::stop_token(), &results);
      task.handle().promise().bind(&on.loop, std::noop_coroutine());
      task.handle().resume();
      if (submitted) on.io->poll();
      CHECK_FALSE(on.io->idle());
    }
    int done = 0;
    on.run(many_nops(*on.io, 1, 10, &done));
    CHECK(done == 10);
    CHECK(on.io->idle());
  }
  CHECK(results.empty());
}

TEST_CASE("a FileIo that is destroyed cancels, waits and resumes; what is submitted then is cancelled") {
  for (const Backend backend : backends()) {
    Pipe pipe;
    Gate gate;
    std::vector<std::int64_t> results;
    std::vector<std::int64_t> passed;
    std::thread opener([&] {
      gate.wait_entered(1);
      gate.open();
    });
    const auto twice = [](FileIo& io, int fd, std::vector<std::int64_t>* into) -> Task<void> {
      co_await read_pipe(io, fd, std::stop_token(), into);
      co_await read_pipe(io, fd, std::stop_token(), into);
    };
    std::vector<Task<void>> tasks;
    {
      IoLoop on(backend, 4);
      if (backend == Backend::uring) {
        for (int index = 0; index < 20; ++index)
          tasks.push_back(twice(*on.io, pipe.out.get(), &results));
      }
      tasks.push_back(pass_gate(*on.io, &gate, std::stop_token(), &passed));
      for (Task<void>& task : tasks) {
        task.handle().promise().bind(&on.loop, std::noop_coroutine());
        task.handle().resume();
      }
      on.io->poll();
      gate.wait_entered(1);
      CHECK(results.empty());
    }
    opener.join();
    CHECK(passed == std::vector<std::int64_t>{42});
    CHECK(results == std::vector<std::int64_t>(backend == Backend::uring ? 40 : 0, -ECANCELED));
  }
}

TEST_CASE("registered buffers are written from and read into") {
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory;
    std::vector<std::byte> memory(64 * 1024);
    for (std::size_t index = 0; index < memory.size(); ++index)
      memory[index] = static_cast<std::byte>(index * 13);
    const std::vector<std::byte> original = memory;
    const iovec whole = {memory.data(), memory.size()};
    REQUIRE(on.io->register_buffers(std::span<const iovec>(&whole, 1)) == 0);
    const auto round_trip = [](FileIo& io, std::string name, std::span<std::byte> bytes) -> Task<std::int64_t> {
      const std::int64_t fd = co_await io.openat(AT_FDCWD, name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      const UniqueFd file(static_cast<int>(fd));
      const std::int64_t written = co_await io.write_fixed(file.get(), bytes, 0, 0);
      std::fill(bytes.begin(), bytes.end(), std::byte{0});
      const std::int64_t read = co_await io.read_fixed(file.get(), bytes.subspan(4096), 4096, 0);
      co_return written + read;
    };
    const std::int64_t moved = on.run(round_trip(*on.io, (directory / "file").string(), memory));
    CHECK(moved == 2 * 64 * 1024 - 4096);
    CHECK(std::equal(memory.begin() + 4096, memory.end(), original.begin() + 4096));
    CHECK(on.io->unregister_buffers() == 0);
  }
}

namespace {

/// Refuses one system call with `errno_value` in this process from now on.
bool refuse(long number, int errno_value) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(errno_value)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// In a child that may not make the call: 0 when threads took over and work.
int child_without(long number, int errno_value, const char* reason, const std::string& directory) {
  if (!refuse(number, errno_value)) return 77;
  IoLoop on(Backend::automatic);
  if (on.io->backend() != Backend::threads) return 1;
  if (on.io->backend_reason().find(reason) == std::string::npos) return 2;
  std::vector<std::int64_t> results;
  on.run(file_life(*on.io, directory, &results));
  if (results.size() != 18 || results[2] != 5000) return 3;
  try {
    FileIo::make(on.loop, Backend::uring);
    return 4;
  } catch (const cairn::Error& error) {
    return error.code().value() == errno_value ? 0 : 5;
  }
}

}  // namespace

TEST_CASE("where io_uring is forbidden, threads take over and say why") {
  const std::vector<std::pair<long, const char*>> calls = {{__NR_io_uring_setup, "io_uring_setup"},
                                                           {__NR_io_uring_register, "io_uring_"},
                                                           {__NR_io_uring_enter, "io_uring_"}};
  if (!cairn::test::ring_available()) CAIRN_SKIP("no io_uring here");
  for (const auto& [number, name] : calls) {
    for (const int errno_value : {EPERM, ENOSYS, EACCES}) {
      const TempDir directory;
      const pid_t child = ::fork();
      if (child == 0) ::_exit(child_without(number, errno_value, name, directory.path().string()));
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      INFO(name << " refused with " << errno_value);
      REQUIRE(WIFEXITED(status));
      if (WEXITSTATUS(status) == 77) CAIRN_SKIP("no seccomp here");
      CHECK(WEXITSTATUS(status) == 0);
    }
  }
}

TEST_CASE("threads start with the first operation and end with the FileIo") {
  const auto threads = [] {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
      ++count;
    return count;
  };
  const int before = threads();
  {
    IoLoop on(Backend::threads);
    CHECK(threads() == before);
    int done = 0;
    on.run(many_nops(*on.io, 1, 1, &done));
    CHECK(threads() == before + 1);
  }
  CHECK(threads() == before);
}
