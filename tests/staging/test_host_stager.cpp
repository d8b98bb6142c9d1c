#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/run.hpp"
#include "cairn/scope.hpp"
#include "cairn/tensor.hpp"
#include "core/event.hpp"
#include "core/slot.hpp"
#include "core/work_pool.hpp"
#include "staging/arena.hpp"
#include "staging/host_stager.hpp"
#include "staging/packed.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

using cairn::DType;
using cairn::Errc;
using cairn::Error;
using cairn::SharedSlots;
using cairn::slot_block_bytes;
using cairn::SlotHeader;
using cairn::StagingConfig;
using cairn::Task;
using cairn::TensorView;
using cairn::WorkPool;
using cairn::format::Image;
using cairn::format::Piece;
using cairn::staging::Arena;
using cairn::staging::HostStager;
using cairn::staging::SlotMemory;
using Shape = std::vector<std::int64_t>;

constexpr std::uint64_t MiB = 1 << 20;

std::vector<std::byte> random_bytes(std::uint64_t bytes, std::mt19937_64& random) {
  std::vector<std::byte> made(bytes + 8);
  for (std::uint64_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = random();
    std::memcpy(made.data() + at, &word, sizeof word);
  }
  made.resize(bytes);
  return made;
}

/// An image, and what the file of it must be.
class Subject {
 public:
  explicit Subject(std::mt19937_64& random) : random_(random) {
    image_.header.assign(4096, 'h');
    image_.bytes = 4096;
    const auto* const header = reinterpret_cast<const std::byte*>(image_.header.data());
    file_.assign(header, header + image_.header.size());
  }

  /// A contiguous tensor at some alignment.
  void add(std::uint64_t bytes) {
    const std::uint64_t offset = random_() % 64;
    memory_.push_back(random_bytes(bytes + offset, random_));
    add(cairn::tensor(static_cast<const void*>(memory_.back().data() + offset), DType::u8,
                      Shape{static_cast<std::int64_t>(bytes)}));
  }

  /// Columns of a matrix of floats: rows × columns, transposed.
  void add_transposed(std::int64_t rows, std::int64_t columns) {
    memory_.push_back(random_bytes(static_cast<std::uint64_t>(rows * columns) * 4, random_));
    const void* const data = memory_.back().data();
    add(cairn::tensor(data, DType::f32, Shape{columns, rows}).strided(Shape{1, columns}));
  }

  void add(TensorView view) {
    Piece piece;
    piece.file_offset = image_.bytes;
    piece.bytes = view.size_bytes();
    piece.source = view;
    const std::vector<std::byte> packed = cairn::test::packed_by_definition(view);
    file_.insert(file_.end(), packed.begin(), packed.end());
    image_.bytes += piece.bytes;
    image_.pieces.push_back(std::move(piece));
  }

  const Image& image() const { return image_; }
  const std::vector<std::byte>& file() const { return file_; }

 private:
  std::mt19937_64& random_;
  std::vector<std::vector<std::byte>> memory_;
  Image image_;
  std::vector<std::byte> file_;
};

/// The executor's part: takes what is ready out of the window into a "file", a block or less at a time and late, and
/// says so in written_bytes. Before it does, the bytes must not be overwritten: else the file is wrong.
class Writer {
 public:
  /// A lazy one writes only what somebody waits for, and the rest when all of it is ready.
  Writer(SlotHeader& header, const SlotMemory& memory, std::uint64_t image_bytes, std::uint64_t seed, bool lazy = false)
      : header_(header), memory_(memory), image_bytes_(image_bytes), random_(seed), lazy_(lazy) {}

  void on_ready(std::uint64_t ready_bytes) {
    ++reports;
    increasing = increasing && ready_bytes > reported_bytes;
    reported_bytes = ready_bytes;
    changed_.notify_all();
  }

  Task<void> wait_written(std::uint64_t needed_bytes) {
    ++waits;
    wanted_bytes_ = needed_bytes;
    changed_.notify_all();
    while (header_.written_bytes < needed_bytes)
      co_await changed_.next();
  }

  Task<void> run() {
    while (file.size() < image_bytes_) {
      const bool dozes = lazy_ && file.size() >= wanted_bytes_ && reported_bytes < image_bytes_;
      if (dozes || file.size() == reported_bytes) {
        co_await changed_.next();
        continue;
      }
      const std::uint64_t window_offset = file.size() % memory_.capacity_bytes();
      const std::uint64_t bytes =
          std::min({reported_bytes - file.size(), slot_block_bytes - file.size() % slot_block_bytes,
                    1 + random_() % slot_block_bytes});
      const std::byte* const from = memory_.data() + window_offset;
      file.insert(file.end(), from, from + bytes);
      header_.written_bytes.store(file.size(), std::memory_order_release);
      changed_.notify_all();
    }
  }

  std::vector<std::byte> file;
  std::uint64_t reported_bytes = 0;
  bool increasing = true;
  unsigned reports = 0;
  unsigned waits = 0;

 private:
  SlotHeader& header_;
  const SlotMemory& memory_;
  const std::uint64_t image_bytes_;
  std::mt19937_64 random_;
  const bool lazy_;
  std::uint64_t wanted_bytes_ = 0;
  cairn::Notifier changed_;
};

/// One slot with all that stages into it.
class Stand {
 public:
  explicit Stand(std::uint64_t window_bytes_max = 0, unsigned threads = 2)
      : slots_(SharedSlots::create(1)),
        arena_(slots_, bounded(window_bytes_max)),
        pool_(threads, "test-copy"),
        stager_(pool_, threads) {}

  SlotMemory& prepare(std::uint64_t image_bytes) {
    header().written_bytes = 0;
    return arena_.prepare(0, image_bytes);
  }

  SlotHeader& header() { return slots_.header(0); }
  HostStager& stager() { return stager_; }
  std::uint64_t allocated_bytes() const {
    struct stat status{};
    REQUIRE(::fstat(slots_.data_fd(0, false), &status) == 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  }

 private:
  static StagingConfig bounded(std::uint64_t bytes) {
    StagingConfig config;
    config.staging_bytes_max = bytes;
    return config;
  }

  SharedSlots slots_;
  Arena arena_;
  WorkPool pool_;
  HostStager stager_;
};

HostStager::WaitWritten nobody_writes() {
  return [](std::uint64_t) -> Task<void> { throw Error(Errc::bad_argument, "wait for a writer"); };
}

HostStager::OnReady nobody_asks() {
  return [](std::uint64_t) {};
}

Task<void> stage_beside_writer(Stand& stand, const Image& image, SlotMemory& memory, Writer& writer) {
  HostStager::OnReady on_ready = [&writer](std::uint64_t bytes) { writer.on_ready(bytes); };
  HostStager::WaitWritten wait = [&writer](std::uint64_t bytes) { return writer.wait_written(bytes); };
  Image copied = image;
  cairn::Scope scope;
  scope.spawn(writer.run());
  scope.spawn(stand.stager().stage(std::move(copied), memory, stand.header(), std::move(on_ready), std::move(wait),
                                   std::stop_token()));
  co_await scope.join();
}

/// Stages without a writer, into a window that holds the image.
void stage_whole(Stand& stand, const Image& image) {
  SlotMemory& memory = stand.prepare(image.bytes);
  Image copied = image;
  cairn::run(stand.stager().stage(std::move(copied), memory, stand.header(), nobody_asks(), nobody_writes(),
                                  std::stop_token()));
}

std::optional<Error> error_of(Task<void> task) {
  try {
    cairn::run(std::move(task));
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("host stager: the window holds the file, its tail zeroed to 4096") {
  std::mt19937_64 random(cairn::test::seed());
  const unsigned threads = GENERATE(1U, 2U, 4U);
  Subject subject(random);
  subject.add(3);
  subject.add(slot_block_bytes);
  subject.add_transposed(600, 700);
  subject.add(9 * MiB + 5);
  Stand stand(0, threads);
  SlotMemory& memory = stand.prepare(subject.image().bytes);
  memory.populate(memory.blocks() - 1);
  std::memset(memory.data() + memory.capacity_bytes() - slot_block_bytes, 0xEE, slot_block_bytes);

  std::vector<std::uint64_t> reports;
  std::thread::id reporting_thread;
  HostStager::OnReady on_ready = [&](std::uint64_t bytes) {
    reports.push_back(bytes);
    reporting_thread = std::this_thread::get_id();
  };
  Image image = subject.image();
  cairn::run(stand.stager().stage(std::move(image), memory, stand.header(), std::move(on_ready), nobody_writes(),
                                  std::stop_token()));

  const std::uint64_t bytes = subject.file().size();
  REQUIRE(std::memcmp(memory.data(), subject.file().data(), bytes) == 0);
  for (std::uint64_t at = bytes; at % 4096 != 0; ++at)
    REQUIRE(memory.data()[at] == std::byte{0});
  REQUIRE(stand.header().ready_bytes == bytes);
  REQUIRE(stand.header().populated == 1);
  REQUIRE(reporting_thread == std::this_thread::get_id());
  REQUIRE(reports.back() == bytes);
  REQUIRE(std::is_sorted(reports.begin(), reports.end()));
  REQUIRE(reports.size() <= memory.blocks());
}

TEST_CASE("host stager: an image larger than the window streams, and no block is overwritten before it is written") {
  std::mt19937_64 random(cairn::test::seed());
  const unsigned threads = GENERATE(1U, 2U, 4U);
  const std::uint64_t window_blocks = GENERATE(2U, 3U);
  const bool lazy = GENERATE(false, true);
  Subject subject(random);
  subject.add(13 * MiB + 77);
  subject.add_transposed(1000, 900);
  subject.add(1);
  subject.add(15 * MiB - 3);
  Stand stand(window_blocks * slot_block_bytes, threads);
  SlotMemory& memory = stand.prepare(subject.image().bytes);
  REQUIRE(memory.blocks() == window_blocks);
  Writer writer(stand.header(), memory, subject.image().bytes, random(), lazy);
  cairn::run(stage_beside_writer(stand, subject.image(), memory, writer));
  REQUIRE(writer.file == subject.file());
  REQUIRE(writer.increasing);
  if (lazy) REQUIRE(writer.waits > 0);
  REQUIRE(stand.header().ready_bytes == subject.image().bytes);
}

TEST_CASE("host stager: random images through random windows") {
  std::mt19937_64 random(cairn::test::seed());
  for (int round = 0; round < 12; ++round) {
    Subject subject(random);
    for (std::uint64_t pieces = random() % 12; pieces > 0; --pieces) {
      if (random() % 3 == 0) {
        subject.add_transposed(static_cast<std::int64_t>(1 + random() % 900),
                               static_cast<std::int64_t>(1 + random() % 900));
      } else {
        subject.add(1 + random() % (random() % 2 == 0 ? 500 : 3 * MiB));
      }
    }
    Stand stand((2 + random() % 3) * slot_block_bytes, 1 + static_cast<unsigned>(random() % 3));
    for (int save = 0; save < 2; ++save) {
      SlotMemory& memory = stand.prepare(subject.image().bytes);
      Writer writer(stand.header(), memory, subject.image().bytes, random());
      cairn::run(stage_beside_writer(stand, subject.image(), memory, writer));
      INFO("round " << round << ", save " << save);
      REQUIRE(writer.file == subject.file());
    }
  }
}

TEST_CASE("SEED 41: changing the sources after staging leaves the image in the window unchanged") {
  std::mt19937_64 random(cairn::test::seed());
  std::vector<std::byte> source = random_bytes(6 * MiB, random);
  Subject subject(random);
  subject.add(cairn::tensor(source.data(), DType::u8, Shape{static_cast<std::int64_t>(source.size())}));
  Stand stand;
  stage_whole(stand, subject.image());
  std::fill(source.begin(), source.end(), std::byte{0});
  REQUIRE(std::memcmp(stand.prepare(1).data(), subject.file().data(), subject.file().size()) == 0);
}

TEST_CASE("SEED 48: fifty saves take no more memory than the first") {
  std::mt19937_64 random(cairn::test::seed());
  Subject subject(random);
  subject.add(17 * MiB);
  Stand stand;
  stage_whole(stand, subject.image());
  const std::uint64_t after_first = stand.allocated_bytes();
  const std::byte* const window = stand.prepare(subject.image().bytes).data();
  REQUIRE(after_first == 20 * MiB);
  for (int save = 1; save < 50; ++save)
    stage_whole(stand, subject.image());
  REQUIRE(stand.allocated_bytes() == after_first);
  REQUIRE(stand.prepare(subject.image().bytes).data() == window);
}

TEST_CASE("SEED 44: empty tensors, scalars and elements smaller than a byte") {
  std::mt19937_64 random(cairn::test::seed());
  const double scalar = 0.1;
  const std::vector<std::byte> small = random_bytes(12, random);
  Subject subject(random);
  subject.add(cairn::tensor(&scalar, Shape{}));
  subject.add(cairn::tensor(static_cast<const void*>(small.data()), DType::f4, Shape{2, 5}));
  subject.add(cairn::tensor(static_cast<const void*>(small.data()), DType::f6_e3m2, Shape{16}));
  Stand stand;
  stage_whole(stand, subject.image());
  REQUIRE(stand.header().ready_bytes == 4096 + 8 + 5 + 12);
  REQUIRE(std::memcmp(stand.prepare(1).data(), subject.file().data(), subject.file().size()) == 0);

  Image nothing;
  nothing.header.assign(4096, ' ');
  nothing.bytes = 4096;
  stage_whole(stand, nothing);
  REQUIRE(stand.header().ready_bytes == 4096);
}

TEST_CASE("host stager: a stop is answered with cancelled, and no copy is running any more") {
  std::mt19937_64 random(cairn::test::seed());
  Subject subject(random);
  subject.add(30 * MiB);
  Stand stand(2 * slot_block_bytes);
  SlotMemory& memory = stand.prepare(subject.image().bytes);
  std::stop_source stop;
  Image image = subject.image();

  SECTION("before the first block") {
    stop.request_stop();
    const auto error = error_of(stand.stager().stage(std::move(image), memory, stand.header(), nobody_asks(),
                                                     nobody_writes(), stop.get_token()));
    REQUIRE(error);
    REQUIRE(error->code() == Errc::cancelled);
    REQUIRE(stand.header().ready_bytes == 0);
  }
  SECTION("between blocks") {
    HostStager::OnReady stop_at_once = [&stop](std::uint64_t) { stop.request_stop(); };
    const auto error = error_of(stand.stager().stage(std::move(image), memory, stand.header(), std::move(stop_at_once),
                                                     nobody_writes(), stop.get_token()));
    REQUIRE(error);
    REQUIRE(error->code() == Errc::cancelled);
    REQUIRE(stand.header().ready_bytes <= 2 * slot_block_bytes);
  }
  SECTION("a stop after the last block changes nothing") {
    HostStager::OnReady stop_at_end = [&](std::uint64_t bytes) {
      if (bytes == subject.image().bytes) stop.request_stop();
    };
    Stand wide;
    SlotMemory& whole = wide.prepare(subject.image().bytes);
    REQUIRE_FALSE(error_of(wide.stager().stage(std::move(image), whole, wide.header(), std::move(stop_at_end),
                                               nobody_writes(), stop.get_token())));
    REQUIRE(wide.header().ready_bytes == subject.image().bytes);
  }
}

TEST_CASE("host stager: errors of the callbacks reach the one who awaits") {
  std::mt19937_64 random(cairn::test::seed());
  Subject subject(random);
  subject.add(30 * MiB);
  Stand stand(2 * slot_block_bytes);
  SlotMemory& memory = stand.prepare(subject.image().bytes);
  Image image = subject.image();
  HostStager::OnReady on_ready = nobody_asks();
  Errc expected = Errc::bad_argument;
  SECTION("the writer is gone") {}
  SECTION("the report fails") {
    expected = Errc::executor_died;
    on_ready = [](std::uint64_t) { throw Error(Errc::executor_died, "report"); };
  }
  const auto error = error_of(stand.stager().stage(std::move(image), memory, stand.header(), std::move(on_ready),
                                                   nobody_writes(), std::stop_token()));
  REQUIRE(error);
  REQUIRE(error->code() == expected);
}

TEST_CASE("host stager: pages that cannot be had fail the staging, not the process") {
  std::mt19937_64 random(cairn::test::seed());
  Subject subject(random);
  subject.add(15 * MiB);
  const cairn::UniqueFd file(::memfd_create("cairn-test", MFD_CLOEXEC));
  REQUIRE(::ftruncate(file.get(), 2 * slot_block_bytes) == 0);
  cairn::staging::MemoryWindow window(file.get(), 4 * slot_block_bytes, false, "test window");
  Stand stand(0, 3);
  Image image = subject.image();
  const auto error = error_of(stand.stager().stage(std::move(image), window, stand.header(), nobody_asks(),
                                                   nobody_writes(), std::stop_token()));
  REQUIRE(error);
  REQUIRE(error->code() == Errc::too_little_memory);
  REQUIRE(stand.header().ready_bytes <= 2 * slot_block_bytes);
  REQUIRE(stand.header().populated == 0);
}

TEST_CASE("host stager: memory of a device is refused before anything is copied") {
  Image image;
  image.header.assign(4096, ' ');
  image.bytes = 4100;
  Piece piece;
  piece.file_offset = 4096;
  piece.bytes = 4;
  piece.source = cairn::tensor(reinterpret_cast<float*>(64), Shape{1}).on(cairn::Device::cuda(1));
  image.pieces.push_back(piece);
  Stand stand;
  SlotMemory& memory = stand.prepare(image.bytes);
  const auto error = error_of(stand.stager().stage(std::move(image), memory, stand.header(), nobody_asks(),
                                                   nobody_writes(), std::stop_token()));
  REQUIRE(error);
  REQUIRE(error->code() == Errc::bad_argument);
  REQUIRE(std::string(error->what()).find("cuda:1") != std::string::npos);
}

TEST_CASE("host stager: the number of threads has a sensible default") {
  REQUIRE(cairn::staging::default_copy_threads() >= 1);
  REQUIRE(cairn::staging::default_copy_threads() <= 4);
}
