#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "staging/copy.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

using cairn::staging::CopyKernel;

constexpr std::size_t guard_bytes = 256;
constexpr std::byte guard{0xA5};

std::vector<std::byte> random_bytes(std::size_t bytes, std::mt19937_64& random) {
  std::vector<std::byte> made(bytes);
  for (std::byte& byte : made)
    byte = static_cast<std::byte>(random());
  return made;
}

/// Copies `bytes` between these offsets from a line's start; false when a byte is wrong or a guard byte was touched.
template <class Copy>
bool copies_exactly(const Copy& copy, const std::vector<std::byte>& source, std::size_t source_offset,
                    std::size_t destination_offset, std::size_t bytes) {
  static std::vector<std::byte> memory;
  memory.assign(guard_bytes + 64 + destination_offset + bytes + guard_bytes, guard);
  std::byte* line = memory.data() + guard_bytes;
  line += 64 - reinterpret_cast<std::uintptr_t>(line) % 64;
  std::byte* const destination = line + destination_offset;
  copy(destination, source.data() + source_offset, bytes);
  const std::byte* const end = memory.data() + memory.size();
  for (const std::byte* at = memory.data(); at != end; ++at) {
    const bool inside = at >= destination && at < destination + bytes;
    if (*at != (inside ? source[source_offset + static_cast<std::size_t>(at - destination)] : guard)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("copy: every kernel copies every size and alignment around its edges, and nothing beside") {
  std::mt19937_64 random(cairn::test::seed());
  const std::vector<std::byte> source = random_bytes(70000, random);
  const CopyKernel kernel = GENERATE(CopyKernel::avx512, CopyKernel::avx2, CopyKernel::plain);
  if (!cairn::staging::has_kernel(kernel)) CAIRN_SKIP("this processor lacks the kernel");
  const auto copy = [kernel](std::byte* destination, const std::byte* from, std::size_t bytes) {
    cairn::staging::copy_bytes_with(kernel, destination, from, bytes);
  };

  SECTION("all small sizes at all alignments of the destination") {
    for (std::size_t offset = 0; offset < 64; ++offset) {
      for (std::size_t bytes = 0; bytes <= 200; ++bytes) {
        INFO("offset " << offset << ", bytes " << bytes);
        REQUIRE(copies_exactly(copy, source, (offset * 7 + bytes) % 64, offset, bytes));
      }
    }
  }

  SECTION("sizes around lines and groups of pages") {
    for (const std::size_t edge : {64, 128, 4096, 16384, 32768, 65536}) {
      for (std::size_t offset = 0; offset < 64; offset += 3) {
        for (std::size_t bytes = edge - 2; bytes <= edge + 2; ++bytes) {
          INFO("offset " << offset << ", bytes " << bytes);
          REQUIRE(copies_exactly(copy, source, (offset * 5) % 64, offset, bytes));
        }
        INFO("offset " << offset << " behind " << edge);
        REQUIRE(copies_exactly(copy, source, 0, offset, edge + 64 - offset));
      }
    }
  }

  SECTION("random") {
    for (int round = 0; round < 200; ++round) {
      const std::size_t bytes = random() % 69000;
      const std::size_t from = random() % 900;
      const std::size_t to = random() % 64;
      INFO("from " << from << " to " << to << ", bytes " << bytes);
      REQUIRE(copies_exactly(copy, source, from, to, bytes));
    }
  }
}

TEST_CASE("copy: the chosen way copies small and large sizes exactly") {
  std::mt19937_64 random(cairn::test::seed());
  const std::vector<std::byte> source = random_bytes(70000, random);
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096},
                                  std::size_t{4097}, std::size_t{65535}, std::size_t{69000}}) {
    for (std::size_t offset = 0; offset < 64; offset += 7) {
      INFO("offset " << offset << ", bytes " << bytes);
      REQUIRE(copies_exactly(cairn::staging::copy_bytes, source, (offset * 3) % 64, offset, bytes));
    }
  }
}

TEST_CASE("copy: nothing from nowhere to nowhere is allowed") {
  cairn::staging::copy_bytes(nullptr, nullptr, 0);
  for (const CopyKernel kernel : {CopyKernel::avx512, CopyKernel::avx2, CopyKernel::plain}) {
    if (cairn::staging::has_kernel(kernel)) cairn::staging::copy_bytes_with(kernel, nullptr, nullptr, 0);
  }
  REQUIRE(cairn::staging::has_kernel(CopyKernel::plain));
}

TEST_CASE("copy: what one thread copied, another sees after it was told") {
  constexpr std::size_t bytes = 1 << 20;
  const std::vector<std::byte> source(bytes, std::byte{7});
  std::vector<std::byte> destination(bytes);
  std::thread copier([&] { cairn::staging::copy_bytes(destination.data(), source.data(), bytes); });
  copier.join();
  REQUIRE(destination == source);
}
