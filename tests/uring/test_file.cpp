#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cairn/error.hpp>
#include <cairn/scope.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fakes/faulty_file_io.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"
#include "uring/backends.hpp"
#include "uring/file.hpp"

namespace {

using cairn::Task;
using cairn::test::FaultyFileIo;
using cairn::test::IoLoop;
using cairn::test::TempDir;
using cairn::uring::Backend;
using cairn::uring::File;
using cairn::uring::FileIo;
using cairn::uring::OperationKind;

constexpr std::size_t page = 4096;

std::vector<Backend> backends() {
  std::vector<Backend> all = {Backend::threads};
  if (cairn::test::ring_available()) all.push_back(Backend::uring);
  return all;
}

/// Page-aligned bytes.
class Aligned {
 public:
  explicit Aligned(std::size_t bytes)
      : bytes_(bytes), memory_(std::aligned_alloc(page, (bytes + page - 1) / page * page)) {}
  ~Aligned() { std::free(memory_); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;

  std::span<std::byte> span() { return {static_cast<std::byte*>(memory_), bytes_}; }
  void fill_pattern() {
    const std::span<std::byte> all = span();
    for (std::size_t index = 0; index < all.size(); ++index)
      all[index] = static_cast<std::byte>(index * 31 + index / 997);
  }

 private:
  std::size_t bytes_;
  void* memory_;
};

struct Outcome {
  bool direct_before = false;
  bool direct_after = false;
  std::size_t read = 0;
  std::uint64_t size = 0;
};

/// Writes, syncs, cuts to `bytes`, reads back with room to spare.
Task<Outcome> write_and_read(FileIo& io, std::filesystem::path path, int flags, std::span<const std::byte> from,
                             std::span<std::byte> into, std::uint64_t bytes) {
  File file = co_await File::open(io, path, flags | O_CREAT | O_EXCL | O_RDWR);
  Outcome outcome;
  outcome.direct_before = file.direct();
  co_await file.allocate(from.size());
  co_await file.write_all(from, 0);
  co_await file.truncate(bytes);
  co_await file.sync();
  outcome.size = co_await file.size();
  outcome.read = co_await file.read_up_to(into, 0);
  outcome.direct_after = file.direct();
  co_return outcome;
}

template <class T>
std::string error_of(IoLoop& on, Task<T> task, std::error_code* code = nullptr) {
  try {
    on.run(std::move(task));
  } catch (const cairn::Error& error) {
    if (code) *code = error.code();
    return error.context();
  }
  return "no error";
}

/// A file system of its own in a temporary directory, unmounted at the end.
class Mounted {
 public:
  explicit Mounted(const std::string& command_before, const std::string& mount) : point_(directory_ / "mount") {
    std::filesystem::create_directory(point_);
    const std::string where = directory_.path().string();
    mounted_ = std::system(("cd " + where + " && (" + command_before + ") >/dev/null 2>&1 && " + mount + " " +
                            point_.string() + " 2>/dev/null")
                               .c_str()) == 0;
  }
  ~Mounted() {
    if (mounted_ && ::umount2(point_.c_str(), 0) != 0) ::umount2(point_.c_str(), MNT_DETACH);
  }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  bool mounted() const { return mounted_; }
  const std::filesystem::path& path() const { return point_; }

 private:
  TempDir directory_;
  std::filesystem::path point_;
  bool mounted_ = false;
};

Task<void> write_until_full(FileIo& io, std::filesystem::path path, int flags, std::span<const std::byte> block) {
  File file = co_await File::open(io, path, flags | O_CREAT | O_WRONLY);
  for (std::uint64_t offset = 0; offset < (std::uint64_t{64} << 20); offset += block.size())
    co_await file.write_all(block, offset);
  co_await file.sync();
}

Task<void> allocate_file(FileIo& io, std::filesystem::path path, std::uint64_t bytes) {
  File file = co_await File::open(io, path, O_CREAT | O_WRONLY);
  co_await file.allocate(bytes);
}

}  // namespace

TEST_CASE("what is written is read back: disk and memory, direct and buffered, both backends") {
  Aligned from(1024 * 1024 + page);
  from.fill_pattern();
  for (const Backend backend : backends()) {
    for (const char* place : {".", "/dev/shm"}) {
      for (const int flags : {0, O_DIRECT}) {
        IoLoop on(backend);
        const TempDir directory(place);
        Aligned into(from.span().size() + 3 * page);
        const std::uint64_t bytes = from.span().size() - 1000;
        const Outcome outcome =
            on.run(write_and_read(*on.io, directory / "file", flags, from.span(), into.span(), bytes));
        INFO(place << " flags " << flags);
        CHECK(outcome.size == bytes);
        CHECK(outcome.read == bytes);
        CHECK(std::equal(from.span().begin(), from.span().end() - 1000, into.span().begin()));
        if (flags == 0) CHECK_FALSE(outcome.direct_before);
        CHECK(outcome.direct_after == outcome.direct_before);
      }
    }
  }
}

TEST_CASE("a write that O_DIRECT refuses goes on buffered, also beside others of the same file") {
  Aligned from(8 * page + 100);
  from.fill_pattern();
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    const TempDir directory(".");
    Aligned into(9 * page);
    // Unaligned in length.
    const Outcome outcome =
        on.run(write_and_read(*on.io, directory / "file", O_DIRECT, from.span(), into.span(), from.span().size()));
    CHECK_FALSE(outcome.direct_after);
    CHECK(outcome.read == from.span().size());
    CHECK(std::equal(from.span().begin(), from.span().end(), into.span().begin()));
    // Several at once, unaligned in address.
    const auto at_once = [](FileIo& io, std::filesystem::path path, std::span<const std::byte> all) -> Task<bool> {
      File file = co_await File::open(io, path, O_CREAT | O_WRONLY | O_DIRECT);
      cairn::Scope scope;
      for (std::uint64_t block = 0; block < 7; ++block) {
        const std::span<const std::byte> part = all.subspan(1 + block * page, page);
        scope.spawn(file.write_all(part, block * page));
      }
      co_await scope.join();
      co_return file.direct();
    };
    on.run(at_once(*on.io, directory / "other", from.span()));
    CHECK(std::filesystem::file_size(directory / "other") == 7 * page);
  }
}

TEST_CASE("a file system that refuses O_DIRECT at open is used without, and O_EXCL does not find our own file") {
  if (::geteuid() != 0) CAIRN_SKIP("mounting needs root");
  const Mounted ramfs("true", "mount -t ramfs none");
  if (!ramfs.mounted()) CAIRN_SKIP("no ramfs here");
  Aligned from(3 * page);
  from.fill_pattern();
  for (const Backend backend : backends()) {
    IoLoop on(backend);
    Aligned into(4 * page);
    const std::string name = backend == Backend::uring ? "ring" : "threads";
    const Outcome outcome =
        on.run(write_and_read(*on.io, ramfs.path() / name, O_DIRECT, from.span(), into.span(), 3 * page));
    CHECK(outcome.read == 3 * page);
    CHECK(std::equal(from.span().begin(), from.span().end(), into.span().begin()));
  }
}

TEST_CASE("a full disk is ENOSPC naming file and offset, from write and from allocate") {
  if (::geteuid() != 0) CAIRN_SKIP("mounting needs root");
  const Mounted small("truncate -s 16M image && mkfs.ext4 -q image", "mount -o loop image");
  if (!small.mounted()) CAIRN_SKIP("no loop device here");
  Aligned block(1024 * 1024);
  block.fill_pattern();
  for (const Backend backend : backends()) {
    for (const int flags : {0, O_DIRECT}) {
      IoLoop on(backend);
      const std::filesystem::path path = small.path() / "file";
      std::error_code code;
      const std::string text = error_of(on, write_until_full(*on.io, path, flags, block.span()), &code);
      INFO(text);
      CHECK(code.value() == ENOSPC);
      CHECK(text.find("write " + path.string() + " at ") == 0);
      std::filesystem::remove(path);
      const std::string refused = error_of(on, allocate_file(*on.io, path, 64 << 20), &code);
      CHECK(code.value() == ENOSPC);
      CHECK(refused.find("allocate " + path.string()) == 0);
      std::filesystem::remove(path);
    }
  }
}

namespace {

/// A loop whose FileIo fails as it is told.
class FaultyLoop {
 public:
  FaultyLoop()
      : on([](cairn::loop::Loop& loop) {
          return std::make_unique<FaultyFileIo>(FileIo::make(loop, Backend::automatic));
        }),
        io(static_cast<FaultyFileIo&>(*on.io)) {}
  IoLoop on;
  FaultyFileIo& io;
};

}  // namespace

TEST_CASE("short writes and reads, EINTR and EAGAIN are continued") {
  Aligned from(64 * page);
  from.fill_pattern();
  for (const int flags : {0, O_DIRECT}) {
    FaultyLoop faulty;
    const TempDir directory(".");
    faulty.io.shorten(OperationKind::write, 1, 3 * page);
    faulty.io.shorten(OperationKind::write, 2, 5 * page);
    faulty.io.fail(OperationKind::write, 3, EINTR, 3);
    faulty.io.fail(OperationKind::write, 6, EAGAIN, 3);
    faulty.io.shorten(OperationKind::read, 1, 2 * page);
    faulty.io.fail(OperationKind::read, 2, EINTR, 2);
    faulty.io.fail(OperationKind::fsync, 1, EINTR);
    faulty.io.fail(OperationKind::fallocate, 1, EOPNOTSUPP);
    Aligned into(65 * page);
    const Outcome outcome =
        faulty.on.run(write_and_read(faulty.io, directory / "file", flags, from.span(), into.span(), 64 * page));
    CHECK(outcome.read == 64 * page);
    CHECK(std::equal(from.span().begin(), from.span().end(), into.span().begin()));
    CHECK(outcome.direct_after == outcome.direct_before);
    CHECK(faulty.io.count(OperationKind::write) == 9);
    CHECK(faulty.io.count(OperationKind::fsync) == 2);
  }
}

TEST_CASE("an EAGAIN that never ends is reported") {
  FaultyLoop faulty;
  const TempDir directory;
  Aligned from(page);
  faulty.io.fail(OperationKind::write, 1, EAGAIN, 1000);
  Aligned into(page);
  std::error_code code;
  error_of(faulty.on, write_and_read(faulty.io, directory / "file", 0, from.span(), into.span(), page), &code);
  CHECK(code.value() == EAGAIN);
}

TEST_CASE("errors name operation, file and offset") {
  FaultyLoop faulty;
  const TempDir directory;
  Aligned from(4 * page);
  from.fill_pattern();
  Aligned into(4 * page);
  const std::string path = (directory / "file").string();
  const auto attempt = [&] {
    std::filesystem::remove(path);
    return error_of(faulty.on, write_and_read(faulty.io, path, 0, from.span(), into.span(), 4 * page));
  };
  faulty.io.shorten(OperationKind::write, 1, page);
  faulty.io.fail(OperationKind::write, 2, EIO);
  CHECK(attempt() == "write " + path + " at 4096");
  faulty.io.fail(OperationKind::fsync, 1, EIO);
  CHECK(attempt() == "sync " + path);
  faulty.io.shorten(OperationKind::read, 1, page);
  faulty.io.fail(OperationKind::read, 2, EIO);
  CHECK(attempt() == "read " + path + " at 4096");
  faulty.io.fail(OperationKind::openat, 1, EMFILE);
  CHECK(attempt() == "open " + path);
  faulty.io.fail(OperationKind::ftruncate, 1, EIO);
  CHECK(attempt() == "truncate " + path + " to 16384 bytes");
  faulty.io.fail(OperationKind::fallocate, 1, ENOSPC);
  CHECK(attempt() == "allocate " + path + ", 16384 bytes");
  CHECK(attempt() == "no error");
}

TEST_CASE("a held operation completes when it is released, or is cancelled by a stop") {
  FaultyLoop faulty;
  const TempDir directory;
  Aligned from(page);
  from.fill_pattern();
  const auto write_one = [](FileIo& io, std::filesystem::path path, std::span<const std::byte> bytes,
                            std::stop_token stop) -> Task<void> {
    File file = co_await File::open(io, path, O_CREAT | O_WRONLY);
    co_await file.write_all(bytes, 0, -1, stop);
  };
  std::stop_source stop;
  bool was_held = false;
  bool cancel = false;
  std::function<void()> watch = [&] {
    if (faulty.io.held() == 0) {
      faulty.on.loop.post([&] { watch(); });
      return;
    }
    was_held = true;
    if (cancel) {
      stop.request_stop();
    } else {
      faulty.io.release();
    }
  };
  faulty.io.hold(OperationKind::write, 1);
  faulty.on.loop.post([&] { watch(); });
  faulty.on.run(write_one(faulty.io, directory / "file", from.span(), stop.get_token()));
  CHECK(was_held);
  CHECK(std::filesystem::file_size(directory / "file") == page);

  was_held = false;
  cancel = true;
  faulty.io.hold(OperationKind::write, 1);
  faulty.on.loop.post([&] { watch(); });
  std::error_code code;
  error_of(faulty.on, write_one(faulty.io, directory / "second", from.span(), stop.get_token()), &code);
  CHECK(was_held);
  CHECK(code == cairn::Errc::cancelled);
  CHECK(std::filesystem::file_size(directory / "second") == 0);
}
