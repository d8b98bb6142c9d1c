#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "cairn/error.hpp"
#include "core/unique_fd.hpp"
#include "staging/memory_window.hpp"
#include "support/catch.hpp"

namespace {

using cairn::slot_block_bytes;
using cairn::UniqueFd;
using cairn::staging::MemoryWindow;

UniqueFd make_memfd(std::uint64_t bytes) {
  UniqueFd made(::memfd_create("cairn-test", MFD_CLOEXEC));
  REQUIRE(made);
  REQUIRE(::ftruncate(made.get(), static_cast<off_t>(bytes)) == 0);
  return made;
}

std::uint64_t allocated_bytes(const UniqueFd& file) {
  struct stat status{};
  REQUIRE(::fstat(file.get(), &status) == 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

bool is_too_little_memory(const MemoryWindow& window, std::uint64_t block) {
  try {
    const_cast<MemoryWindow&>(window).populate(block);
  } catch (const cairn::Error& error) {
    return error.code() == cairn::Errc::too_little_memory;
  }
  return false;
}

/// A kernel without MADV_POPULATE_WRITE, for this process from here on: madvise answers EINVAL to it.
bool forget_populate_write() {
  constexpr unsigned populate_write = 23;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, populate_write, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// Runs `body` in a child; its answer, or the number of the signal that ended it plus 1000.
template <class Body>
int in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("window: a block's pages are there once it is populated, and no others") {
  const UniqueFd file = make_memfd(3 * slot_block_bytes);
  MemoryWindow window(file.get(), 3 * slot_block_bytes, false, "test window");
  REQUIRE(window.blocks() == 3);
  REQUIRE(allocated_bytes(file) == 0);
  REQUIRE_FALSE(window.populate(1));
  REQUIRE(allocated_bytes(file) == slot_block_bytes);
  REQUIRE_FALSE(window.populate(1));
  REQUIRE(window.missing_bytes() == 2 * slot_block_bytes);
  REQUIRE_FALSE(window.populate(0));
  REQUIRE_FALSE(window.populated());
  REQUIRE(window.populate(2));
  REQUIRE(window.populated());
  REQUIRE(window.populate(0));
  REQUIRE(allocated_bytes(file) == 3 * slot_block_bytes);
}

TEST_CASE("window: blocks are populated by several threads at once") {
  constexpr std::uint64_t blocks = 16;
  const UniqueFd file = make_memfd(blocks * slot_block_bytes);
  MemoryWindow window(file.get(), blocks * slot_block_bytes, false, "test window");
  std::vector<std::thread> threads;
  std::vector<int> last(4);
  for (std::size_t thread = 0; thread < last.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t block = thread; block < blocks; block += last.size())
        last[thread] += window.populate(block) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  REQUIRE(window.populated());
  REQUIRE(last[0] + last[1] + last[2] + last[3] == 1);
  REQUIRE(allocated_bytes(file) == blocks * slot_block_bytes);
}

TEST_CASE("window: pages that cannot be had are an error, where touching them would be a SIGBUS") {
  const UniqueFd file = make_memfd(slot_block_bytes);  // the second block is behind the end of the file
  MemoryWindow window(file.get(), 2 * slot_block_bytes, false, "test window");
  REQUIRE_FALSE(window.populate(0));
  REQUIRE_FALSE(window.failed());
  REQUIRE(is_too_little_memory(window, 1));
  REQUIRE(window.failed());
  try {
    window.populate(1);
    FAIL("no error");
  } catch (const cairn::Error& error) {
    INFO(error.what());
    CHECK(std::string(error.what()).find("test window at 4194304 of 8388608") != std::string::npos);
  }
}

TEST_CASE("window: more than the address space is an error") {
  const UniqueFd file = make_memfd(0);
  REQUIRE_THROWS_AS(MemoryWindow(file.get(), std::uint64_t{1} << 52, false, "test window"), cairn::Error);
}

TEST_CASE("window: private memory") {
  MemoryWindow window(-1, 2 * slot_block_bytes, false, "test window");
  REQUIRE_FALSE(window.populate(1));
  REQUIRE(window.populate(0));
  window.data()[2 * slot_block_bytes - 1] = std::byte{1};
  REQUIRE(window.data()[slot_block_bytes] == std::byte{0});
}

TEST_CASE("window: a kernel without MADV_POPULATE_WRITE is served by allocating and touching") {
  const UniqueFd file = make_memfd(2 * slot_block_bytes);
  UniqueFd growing(::memfd_create("cairn-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(growing.get(), slot_block_bytes) == 0);
  REQUIRE(::fcntl(growing.get(), F_ADD_SEALS, F_SEAL_GROW) == 0);
  const int answer = in_child([&] {
    MemoryWindow shared(file.get(), 2 * slot_block_bytes, false, "shared");
    MemoryWindow alone(-1, slot_block_bytes, false, "private");
    MemoryWindow refused(growing.get(), 2 * slot_block_bytes, false, "refused");
    shared.data()[5] = std::byte{9};
    if (!forget_populate_write()) return 77;
    if (::madvise(alone.data(), 4096, 23) == 0 || errno != EINVAL) return 77;
    if (shared.populate(0) || !shared.populate(1) || !alone.populate(0)) return 1;
    if (shared.data()[5] != std::byte{9} || shared.data()[slot_block_bytes] != std::byte{0}) return 2;
    try {
      refused.populate(1);
      return 3;
    } catch (const cairn::Error& error) {
      if (error.code() != std::error_code(EPERM, std::system_category())) return 4;
    }
    return 0;
  });
  if (answer == 77) CAIRN_SKIP("seccomp filters cannot be set here");
  REQUIRE(answer == 0);
  REQUIRE(allocated_bytes(file) == 2 * slot_block_bytes);
}
