#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "checkpoint/chunk_plan.hpp"
#include "checkpoint/read_buffers.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using namespace cairn::checkpoint;

namespace {

constexpr std::uint64_t mib = 1 << 20;

Transfer transfer(std::uint64_t offset, std::uint64_t bytes, std::size_t file = 0) {
  Transfer made;
  made.file = file;
  made.offset = offset;
  made.bytes = bytes;
  return made;
}

std::uint64_t bytes_of(const ChunkPlan& plan) {
  std::uint64_t bytes = 0;
  for (const Chunk& chunk : plan.chunks())
    bytes += chunk.bytes;
  return bytes;
}

}  // namespace

TEST_CASE("A whole file is read in full buffers, the end as long as it is") {
  const std::vector<FileExtent> files = {FileExtent{10 * mib + 100, mib, true}};
  const std::vector<Transfer> transfers = {transfer(4096, 5 * mib), transfer(4096 + 5 * mib, 5 * mib + 100 - 4096)};
  const ChunkPlan plan(files, transfers);
  REQUIRE(plan.chunks().size() == 3);
  CHECK(plan.chunks()[0].offset == mib);
  CHECK(plan.chunks()[0].bytes == 3 * mib);
  CHECK(plan.chunks()[1].offset == 4 * mib);
  CHECK(plan.chunks()[1].bytes == 4 * mib);
  CHECK(plan.chunks()[2].bytes == 2 * mib + 100);
  REQUIRE(plan.pieces_in_memory().size() == 1);
  CHECK(plan.pieces_in_memory()[0].bytes == mib - 4096);
}

TEST_CASE("Only digest blocks that hold needed bytes are read; without digests, only pages") {
  const std::vector<Transfer> transfers = {transfer(5 * mib + 10, 20), transfer(17 * mib - 1, 2)};
  SECTION("blocks") {
    const std::vector<FileExtent> files = {FileExtent{100 * mib, 0, true}};
    const ChunkPlan plan(files, transfers);
    CHECK(bytes_of(plan) == 3 * mib);
    CHECK(plan.chunks().front().offset == 5 * mib);
  }
  SECTION("pages") {
    const std::vector<FileExtent> files = {FileExtent{100 * mib, 0, false}};
    const ChunkPlan plan(files, transfers);
    CHECK(bytes_of(plan) == 3 * 4096);
  }
}

TEST_CASE("Chunks never overlap, keep to blocks and buffers, and pieces bring every byte once") {
  std::mt19937_64 random(cairn::test::seed());
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  for (int round = 0; round < 200; ++round) {
    std::vector<FileExtent> files;
    for (std::uint64_t file = 0; file <= below(3); ++file) {
      const std::uint64_t bytes = 1 + below(30 * mib);
      files.push_back(FileExtent{bytes, std::min(bytes, below(3) * mib), below(2) == 0});
    }
    std::vector<Transfer> transfers;
    for (std::uint64_t count = below(40); count > 0; --count) {
      const std::size_t file = below(files.size());
      const std::uint64_t offset = below(files[file].bytes);
      const std::uint64_t bytes = below(std::min(files[file].bytes - offset, below(2) == 0 ? 20 * mib : 5000) + 1);
      transfers.push_back(transfer(offset, bytes, file));
    }
    const ChunkPlan plan(files, transfers);

    std::set<std::pair<std::size_t, std::uint64_t>> needed_units;
    for (const Transfer& each : transfers) {
      const std::uint64_t unit = files[each.file].by_block ? mib : 4096;
      for (std::uint64_t at = std::max(each.offset, files[each.file].in_memory); at < each.offset + each.bytes;
           at = (at / unit + 1) * unit) {
        needed_units.emplace(each.file, at / unit);
      }
    }

    std::vector<std::uint64_t> brought(transfers.size());
    const auto take = [&](const Piece& piece, std::uint64_t begin, std::uint64_t end) {
      REQUIRE(piece.offset >= begin);
      REQUIRE(piece.offset + piece.bytes <= end);
      const Transfer& whole = transfers[piece.transfer];
      REQUIRE(piece.offset >= whole.offset);
      REQUIRE(piece.offset + piece.bytes <= whole.offset + whole.bytes);
      brought[piece.transfer] += piece.bytes;
    };
    for (const Piece& piece : plan.pieces_in_memory())
      take(piece, 0, files[transfers[piece.transfer].file].in_memory);
    for (std::size_t at = 0; at < plan.chunks().size(); ++at) {
      const Chunk& chunk = plan.chunks()[at];
      const FileExtent& file = files[chunk.file];
      const std::uint64_t unit = file.by_block ? mib : 4096;
      REQUIRE(chunk.bytes > 0);
      REQUIRE(chunk.bytes <= ReadBuffers::buffer_bytes);
      REQUIRE(chunk.offset % unit == 0);
      REQUIRE((chunk.end() % unit == 0 || chunk.end() == file.bytes));
      if (at > 0 && plan.chunks()[at - 1].file == chunk.file) REQUIRE(plan.chunks()[at - 1].end() <= chunk.offset);
      for (std::uint64_t unit_at = chunk.offset; unit_at < chunk.end(); unit_at += unit) {
        REQUIRE(needed_units.erase({chunk.file, unit_at / unit}) == 1);
      }
      for (const Piece& piece : plan.pieces(at))
        take(piece, chunk.offset, chunk.end());
    }
    REQUIRE(needed_units.empty());
    for (std::size_t at = 0; at < transfers.size(); ++at)
      REQUIRE(brought[at] == transfers[at].bytes);
  }
}
