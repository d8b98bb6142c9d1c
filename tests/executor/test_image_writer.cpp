#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/scope.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "core/yield.hpp"
#include "executor/image_writer.hpp"
#include "executor/mapped_slots.hpp"
#include "fakes/faulty_file_io.hpp"
#include "format/digest.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"
#include "support/temp_dir.hpp"
#include "uring/backends.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::Scope;
using cairn::SharedSlots;
using cairn::SlotHeader;
using cairn::SlotState;
using cairn::Task;
using cairn::executor::MappedSlots;
using cairn::executor::SlotJob;
using cairn::format::Digest;
using cairn::test::FaultyFileIo;
using cairn::uring::Backend;
using Kind = FaultyFileIo::Kind;

namespace {

constexpr std::uint64_t MiB = std::uint64_t{1} << 20;
constexpr std::uint64_t block = cairn::slot_block_bytes;

std::vector<std::byte> random_bytes(std::uint64_t bytes) {
  std::vector<std::byte> all(bytes);
  std::mt19937_64 random(cairn::test::seed());
  for (std::uint64_t at = 0; at < bytes; at += 8) {
    const std::uint64_t value = random();
    std::memcpy(all.data() + at, &value, std::min<std::uint64_t>(8, bytes - at));
  }
  return all;
}

std::vector<Digest> digests_of(const std::vector<std::byte>& image) {
  std::vector<Digest> all;
  for (std::uint64_t at = 0; at < image.size(); at += MiB)
    all.push_back(cairn::format::digest(std::span(image).subspan(at, std::min<std::uint64_t>(MiB, image.size() - at))));
  return all;
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

/// The trainer's side of one slot: a window, and an image that is copied through it when the test says so.
class StagingSide {
 public:
  StagingSide(std::uint64_t image_bytes, std::uint64_t capacity_bytes, bool populated)
      : image(random_bytes(image_bytes)), capacity_(capacity_bytes) {
    if (::ftruncate(slots.data_fd(0, false), static_cast<off_t>(capacity_bytes)) != 0) std::abort();
    window_ = static_cast<std::byte*>(
        ::mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, slots.data_fd(0, false), 0));
    if (window_ == MAP_FAILED) std::abort();
    std::memset(window_, 0x5a, capacity_bytes);
    SlotHeader& header = slots.header(0);
    header.generation = 1;
    header.image_bytes = image_bytes;
    header.capacity_bytes = capacity_bytes;
    header.populated = populated ? 1 : 0;
    header.state = SlotState::staging;
    slots.write_request(0, "request");
  }
  ~StagingSide() { ::munmap(window_, capacity_); }
  StagingSide(const StagingSide&) = delete;
  StagingSide& operator=(const StagingSide&) = delete;

  void listen_to(SlotJob& job) {
    job.on_written = [this] { written_.notify_all(); };
  }

  /// Copies up to image byte `end` in pieces of `step`, each when there is room for it.
  Task<> feed(SlotJob& job, std::uint64_t end, std::uint64_t step) {
    SlotHeader& header = slots.header(0);
    while (header.ready_bytes < end) {
      const std::uint64_t begin = header.ready_bytes;
      const std::uint64_t next = std::min(begin + step, end);
      while (next > capacity_ && header.written_bytes < next - capacity_)
        co_await written_.next();
      for (std::uint64_t at = begin; at < next; ++at)
        window_[at % capacity_] = image[at];
      header.ready_bytes = next;
      job.changed().notify_all();
      co_await cairn::yield();
    }
    if (end == image.size()) header.state = SlotState::ready;
  }

  Task<> until_written(std::uint64_t bytes) {
    while (slots.header(0).written_bytes < bytes)
      co_await cairn::yield();
  }

  SharedSlots slots = SharedSlots::create(1);
  const std::vector<std::byte> image;

 private:
  const std::uint64_t capacity_;
  std::byte* window_ = nullptr;
  cairn::Notifier written_;
};

/// What an attempt to write ended with.
struct Outcome {
  std::vector<Digest> digests;
  std::error_code code;
  std::string what;
  bool done = false;
};

Task<> write(cairn::uring::FileIo& io, std::filesystem::path path, SlotJob& job, Outcome& outcome) {
  try {
    cairn::uring::File file = co_await cairn::uring::File::open(io, path, O_RDWR | O_CREAT | O_DIRECT);
    outcome.digests = co_await cairn::executor::write_image(file, job);
  } catch (const Error& error) {
    outcome.code = error.code();
    outcome.what = error.what();
  }
  outcome.done = true;
}

Task<> feed_and_write(cairn::uring::FileIo& io, std::filesystem::path path, StagingSide& side, SlotJob& job,
                      std::uint64_t step, Outcome& outcome) {
  Scope both;
  both.spawn(side.feed(job, side.image.size(), step));
  both.spawn(write(io, path, job, outcome));
  co_await both.join();
}

/// Feeds `first` bytes, waits until they are in the file, and has the writer give up: what a death leaves behind.
Task<> write_partly(cairn::uring::FileIo& io, std::filesystem::path path, StagingSide& side, SlotJob& job,
                    std::uint64_t first, Outcome& outcome) {
  Scope both;
  both.spawn(write(io, path, job, outcome));
  co_await side.feed(job, first, MiB);
  co_await side.until_written(first);
  job.stop.request_stop();
  job.changed().notify_all();
  co_await both.join();
}

/// With everything staged: waits until `held` writes hang, notes whether the writer has given up before they ended,
/// then `free_them`.
Task<> write_while_held(FaultyFileIo& io, std::filesystem::path path, StagingSide& side, SlotJob& job, bool stop_it,
                        Outcome& outcome, bool& was_done_before) {
  Scope both;
  co_await side.feed(job, side.image.size(), side.image.size());
  both.spawn(write(io, path, job, outcome));
  while (io.held() == 0)
    co_await cairn::yield();
  for (int turn = 0; turn < 100; ++turn)
    co_await cairn::yield();
  was_done_before = outcome.done;
  if (stop_it) {
    job.stop.request_stop();
  } else {
    io.release();
  }
  co_await both.join();
}

std::vector<Backend> backends() {
  std::vector<Backend> all = {Backend::threads};
  if (cairn::test::ring_available()) all.push_back(Backend::uring);
  return all;
}

struct Writing {
  explicit Writing(StagingSide& side, Backend backend = Backend::threads)
      : on([&](cairn::loop::Loop& loop) {
          auto made = std::make_unique<FaultyFileIo>(cairn::uring::FileIo::make(loop, backend));
          io = made.get();
          return made;
        }),
        mapped(std::make_unique<MappedSlots>(side.slots, *on.io)) {}

  FaultyFileIo* io = nullptr;
  cairn::test::IoLoop on;
  std::unique_ptr<MappedSlots> mapped;
};

}  // namespace

TEST_CASE("an image is written while it is staged, with the digests of its bytes") {
  const cairn::test::TempDir dir;
  for (const Backend backend : backends()) {
    for (const std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{4096}, block, block + 1, 5 * block - 4097}) {
      for (const bool populated : {false, true}) {
        INFO("backend " << static_cast<int>(backend) << ", " << bytes << " bytes, populated " << populated);
        StagingSide side(bytes, (bytes + block - 1) / block * block, populated);
        Writing writing(side, backend);
        SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
        side.listen_to(job);
        Outcome outcome;
        writing.on.run(feed_and_write(*writing.io, dir / "image", side, job, MiB + 3, outcome));
        CHECK(outcome.what == "");
        CHECK(read_file(dir / "image") == side.image);
        CHECK(outcome.digests == digests_of(side.image));
        CHECK(side.slots.header(0).written_bytes == bytes);
        std::filesystem::remove(dir / "image");
      }
    }
  }
}

TEST_CASE("an image larger than its window streams through it") {
  const cairn::test::TempDir dir;
  for (const Backend backend : backends()) {
    for (const std::uint64_t bytes : {3 * block, 9 * block + 4097}) {
      INFO("backend " << static_cast<int>(backend) << ", " << bytes << " bytes");
      StagingSide side(bytes, 2 * block, true);
      Writing writing(side, backend);
      SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
      side.listen_to(job);
      Outcome outcome;
      writing.on.run(feed_and_write(*writing.io, dir / "image", side, job, MiB, outcome));
      CHECK(outcome.what == "");
      CHECK(read_file(dir / "image") == side.image);
      CHECK(outcome.digests == digests_of(side.image));
      CHECK(side.slots.read_request(0) == "request");
      std::filesystem::remove(dir / "image");
    }
  }
}

TEST_CASE("a streaming image goes on where the worker before ended, with the digests of all of it") {
  const cairn::test::TempDir dir;
  StagingSide side(6 * block + 100, 2 * block, false);
  {
    Writing writing(side);
    SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
    side.listen_to(job);
    Outcome outcome;
    writing.on.run(write_partly(*writing.io, dir / "image", side, job, 4 * block, outcome));
    REQUIRE(outcome.code == Errc::cancelled);
  }
  Writing writing(side);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  side.listen_to(job);
  Outcome outcome;
  writing.on.run(feed_and_write(*writing.io, dir / "image", side, job, MiB, outcome));
  CHECK(outcome.what == "");
  CHECK(writing.io->count(Kind::write) == 3);
  CHECK(read_file(dir / "image") == side.image);
  CHECK(outcome.digests == digests_of(side.image));
}

TEST_CASE("a whole window is written again after a death, whatever the file holds") {
  const cairn::test::TempDir dir;
  StagingSide side(2 * block + 5, 3 * block, false);
  {
    Writing writing(side);
    SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
    Outcome outcome;
    writing.on.run(write_partly(*writing.io, dir / "image", side, job, block, outcome));
    REQUIRE(outcome.code == Errc::cancelled);
  }
  std::ofstream(dir / "image", std::ios::binary) << std::string(20 * MiB, 'x');
  Writing writing(side);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  writing.on.run(feed_and_write(*writing.io, dir / "image", side, job, MiB, outcome));
  CHECK(outcome.what == "");
  CHECK(read_file(dir / "image") == side.image);
  CHECK(outcome.digests == digests_of(side.image));
}

TEST_CASE("short writes are continued") {
  const cairn::test::TempDir dir;
  StagingSide side(2 * block + 100, 3 * block, false);
  Writing writing(side);
  writing.io->shorten(Kind::write, 1, 4096);
  writing.io->shorten(Kind::write, 2, MiB);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  writing.on.run(feed_and_write(*writing.io, dir / "image", side, job, MiB, outcome));
  CHECK(outcome.what == "");
  CHECK(read_file(dir / "image") == side.image);
}

TEST_CASE("after a failed write the blocks in flight are awaited, and the error names file and offset") {
  const cairn::test::TempDir dir;
  StagingSide side(6 * block, 6 * block, false);
  Writing writing(side);
  writing.io->hold(Kind::write, 1);
  writing.io->fail(Kind::write, 2, EIO);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  bool was_done_before = true;
  writing.on.run(write_while_held(*writing.io, dir / "image", side, job, false, outcome, was_done_before));
  CHECK_FALSE(was_done_before);
  CHECK(outcome.code == std::error_code(EIO, std::system_category()));
  CHECK(outcome.what.find((dir / "image").string()) != std::string::npos);
  CHECK(outcome.what.find(std::to_string(block)) != std::string::npos);
  CHECK(side.slots.header(0).written_bytes < block * 2);
}

TEST_CASE("a stop ends a hung write") {
  const cairn::test::TempDir dir;
  StagingSide side(2 * block, 2 * block, false);
  Writing writing(side);
  writing.io->hold(Kind::write, 1);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  bool was_done_before = true;
  writing.on.run(write_while_held(*writing.io, dir / "image", side, job, true, outcome, was_done_before));
  CHECK_FALSE(was_done_before);
  CHECK(outcome.code == Errc::cancelled);
}

TEST_CASE("a write that fails while nothing more is staged ends the waiting for data") {
  const cairn::test::TempDir dir;
  StagingSide side(4 * block, 4 * block, false);
  Writing writing(side);
  writing.io->fail(Kind::write, 1, EIO);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  const auto feed_one_block = [](Writing& on, std::filesystem::path path, StagingSide& from, SlotJob& slot_job,
                                 Outcome& into) -> Task<> {
    co_await from.feed(slot_job, block, block);
    co_await write(*on.io, path, slot_job, into);
  };
  writing.on.run(feed_one_block(writing, dir / "image", side, job, outcome));
  CHECK(outcome.code == std::error_code(EIO, std::system_category()));
}

TEST_CASE("a full disk is said before a byte is written") {
  const cairn::test::TempDir dir;
  StagingSide side(block, block, false);
  Writing writing(side);
  writing.io->fail(Kind::fallocate, 1, ENOSPC);
  SlotJob job(side.slots, *writing.mapped, 0, 1, "request");
  Outcome outcome;
  writing.on.run(write(*writing.io, dir / "image", job, outcome));
  CHECK(outcome.code == std::error_code(ENOSPC, std::system_category()));
  CHECK(writing.io->count(Kind::write) == 0);
}
