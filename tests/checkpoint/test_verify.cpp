#include <cairn/error.hpp>

#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "checkpoint/verify.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn;
using namespace cairn::test;
using cairn::checkpoint::verify_checkpoint;
using cairn::checkpoint::VerifyReport;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t block_bytes = 1 << 20;

StateDict large_state() {
  StateDict state;
  state["big"] = counted<std::uint32_t>({7 << 19});  // 14 MiB
  return state;
}

}  // namespace

TEST_CASE("verify reads everything and finds a whole checkpoint whole") {
  const IoBackend backend = GENERATE(IoBackend::automatic, IoBackend::threads);
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const auto progress = [&](std::uint64_t bytes, std::uint64_t of) {
    last = bytes;
    total = of;
  };
  const VerifyReport report = verify_checkpoint(dir / "a", progress, backend);
  CHECK(report.whole());
  CHECK(report.files_verified == 2);
  CHECK(report.bytes_verified ==
        fs::file_size(dir / "a" / data_file_name) + fs::file_size(dir / "a" / sidecar_file_name));
  CHECK(last == report.bytes_verified);
  CHECK(total == report.bytes_verified);
}

TEST_CASE("verify names every damaged block") {
  TempDir dir;
  write_checkpoint(dir / "a", large_state());
  for (const std::uint64_t block : {0, 5, 13})
    flip_byte(dir / "a" / data_file_name, block * block_bytes + 4096);
  const VerifyReport report = verify_checkpoint(dir / "a");
  REQUIRE(report.damages.size() == 3);
  CHECK(contains(report.damages[0], "block 0 "));
  CHECK(contains(report.damages[1], "block 13 "));
  CHECK(contains(report.damages[2], "block 5 "));
  for (const std::string& damage : report.damages)
    CHECK(contains(damage, data_file_name));
}

TEST_CASE("verify finds damage of every file") {
  TempDir dir;
  CheckpointText text(large_state());
  text.write(dir / "a");
  std::string named;
  SECTION("the last byte of the data") {
    flip_byte(dir / "a" / data_file_name, text.data.size() - 1);
    named = data_file_name;
  }
  SECTION("the sidecar") {
    flip_byte(dir / "a" / sidecar_file_name, 100);
    named = sidecar_file_name;
  }
  SECTION("the manifest") {
    flip_byte(dir / "a" / "manifest.json", 100);
    named = "manifest.json";
  }
  SECTION("a shorter file") {
    fs::resize_file(dir / "a" / data_file_name, text.data.size() - 4096);
    named = data_file_name;
  }
  SECTION("a missing file") {
    fs::remove(dir / "a" / sidecar_file_name);
    named = sidecar_file_name;
  }
  SECTION("a header that its writer got wrong") {
    text.data[8] = '[';
    text.write(dir / "a");
    named = data_file_name;
  }
  const VerifyReport report = verify_checkpoint(dir / "a");
  REQUIRE(report.damages.size() == 1);
  CHECK(contains(report.damages[0], named));
}

TEST_CASE("verify checks the files of each rank") {
  TempDir dir;
  CheckpointText text(large_state());
  text.world_size = 2;
  const std::string first = text.sidecar();
  text.write(dir / "a");
  text.rank = 1;
  write_text(dir / "a" / text.data_name(), text.data);
  write_text(dir / "a" / text.sidecar_name(), text.sidecar());
  // The manifest of the support code vouches for one sidecar's digest twice: the second rank's is another.
  const VerifyReport report = verify_checkpoint(dir / "a");
  REQUIRE(report.damages.size() == 1);
  CHECK(contains(report.damages[0], "rank-00001-of-00002.json"));
  CHECK(report.files_verified == 2);
}

TEST_CASE("verify does not answer for what is no checkpoint") {
  TempDir dir;
  fs::create_directory(dir / "empty");
  CHECK(error_of([&] { verify_checkpoint(dir / "absent"); }).code() == std::errc::no_such_file_or_directory);
  CHECK(error_of([&] { verify_checkpoint(dir / "empty"); }).code() == Errc::not_a_checkpoint);
}
