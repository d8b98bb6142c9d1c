#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/tensor.hpp"
#include "staging/pack.hpp"
#include "staging/packed.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

namespace {

using cairn::DType;
using cairn::TensorView;
using cairn::staging::PackedView;
using cairn::test::packed_by_definition;
using Shape = std::vector<std::int64_t>;

std::vector<std::byte> packed_part(const PackedView& view, std::uint64_t begin, std::uint64_t end) {
  std::vector<std::byte> part(end - begin + 1, std::byte{0x5A});
  view.copy(part.data(), begin, end);
  REQUIRE(part.back() == std::byte{0x5A});
  part.pop_back();
  return part;
}

void check_every_part(const TensorView& view) {
  const std::vector<std::byte> whole = packed_by_definition(view);
  const PackedView packed(view);
  REQUIRE(packed.size_bytes() == whole.size());
  for (std::uint64_t begin = 0; begin <= whole.size(); ++begin) {
    for (std::uint64_t end = begin; end <= whole.size(); ++end) {
      INFO("bytes " << begin << " to " << end);
      const auto first = whole.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto last = whole.begin() + static_cast<std::ptrdiff_t>(end);
      REQUIRE(packed_part(packed, begin, end) == std::vector<std::byte>(first, last));
    }
  }
}

std::vector<std::byte> counting_bytes(std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (std::size_t at = 0; at < bytes; ++at)
    made[at] = static_cast<std::byte>(at * 31 + at / 256);
  return made;
}

}  // namespace

TEST_CASE("pack: any part of any small strided view (SEED 43: non-contiguous slices keep their content)") {
  const std::vector<std::byte> memory = counting_bytes(4096);
  const void* const middle = memory.data() + 2048;
  SECTION("transposed") {
    check_every_part(cairn::tensor(middle, DType::f32, Shape{3, 5}).strided(Shape{1, 3}));
  }
  SECTION("a column") {
    check_every_part(cairn::tensor(middle, DType::f64, Shape{7, 1}).strided(Shape{9, 1}));
  }
  SECTION("rows with gaps") {
    check_every_part(cairn::tensor(middle, DType::u8, Shape{6, 10}).strided(Shape{17, 1}));
  }
  SECTION("rows with gaps, merged") {
    check_every_part(cairn::tensor(middle, DType::i16, Shape{2, 3, 5}).strided(Shape{24, 8, 1}));
  }
  SECTION("every second element") {
    check_every_part(cairn::tensor(middle, DType::u8, Shape{40}).strided(Shape{2}));
  }
  SECTION("broadcast of a row") {
    check_every_part(cairn::tensor(middle, DType::i16, Shape{4, 9}).strided(Shape{0, 1}));
  }
  SECTION("broadcast of a scalar") {
    check_every_part(cairn::tensor(middle, DType::c64, Shape{3, 2}).strided(Shape{0, 0}));
  }
  SECTION("backwards") {
    check_every_part(cairn::tensor(middle, DType::i32, Shape{4, 4}).strided(Shape{-4, -1}));
  }
  SECTION("backwards and permuted") {
    check_every_part(cairn::tensor(middle, DType::bf16, Shape{2, 3, 4}).strided(Shape{-5, 40, 7}));
  }
  SECTION("one element with a stride of nonsense") {
    check_every_part(cairn::tensor(middle, DType::f32, Shape{1, 1}).strided(Shape{1000000, -77}));
  }
}

TEST_CASE("pack: contiguous views, empty ones and scalars (SEED 44)") {
  const std::vector<std::byte> memory = counting_bytes(256);
  check_every_part(cairn::tensor(memory.data(), DType::f32, Shape{2, 5}));
  check_every_part(cairn::tensor(memory.data(), DType::f64, Shape{}));
  check_every_part(cairn::tensor(memory.data(), DType::f32, Shape{3, 0, 5}));
  check_every_part(cairn::tensor(memory.data(), DType::f32, Shape{3, 0, 5}).strided(Shape{7, 9, 2}));
  REQUIRE(PackedView(cairn::tensor(memory.data(), DType::f32, Shape{2, 5})).contiguous());
  REQUIRE_FALSE(PackedView(cairn::tensor(memory.data(), DType::f32, Shape{2, 5}).strided(Shape{1, 2})).contiguous());
}

TEST_CASE("pack: elements smaller than a byte are copied as they stand") {
  const std::vector<std::byte> memory = counting_bytes(64);
  const TensorView four_bits = cairn::tensor(memory.data(), DType::f4, Shape{3, 6});
  const TensorView six_bits = cairn::tensor(memory.data(), DType::f6_e2m3, Shape{8});
  REQUIRE(packed_part(PackedView(four_bits), 0, 9) == std::vector<std::byte>(memory.begin(), memory.begin() + 9));
  REQUIRE(packed_part(PackedView(six_bits), 2, 6) == std::vector<std::byte>(memory.begin() + 2, memory.begin() + 6));
}

TEST_CASE("pack: random views, cut at random places") {
  std::mt19937_64 random(cairn::test::seed());
  const std::vector<std::byte> memory = counting_bytes(1 << 20);
  const DType dtypes[] = {DType::u8, DType::bf16, DType::f32, DType::c64};
  for (int round = 0; round < 300; ++round) {
    Shape shape;
    Shape strides;
    for (std::uint64_t dimension = 0, count = random() % 5; dimension < count; ++dimension) {
      shape.push_back(static_cast<std::int64_t>(random() % 7 + (random() % 8 != 0)));
      strides.push_back(static_cast<std::int64_t>(random() % 600) - 300);
    }
    if (!strides.empty() && random() % 2 == 0) strides.back() = 1;
    const DType dtype = dtypes[random() % 4];
    const TensorView view = cairn::tensor(memory.data() + memory.size() / 2, dtype, shape).strided(strides);
    const std::vector<std::byte> whole = packed_by_definition(view);
    const PackedView packed(view);
    std::vector<std::byte> joined;
    for (std::uint64_t begin = 0; begin < whole.size();) {
      const std::uint64_t end = std::min<std::uint64_t>(whole.size(), begin + 1 + random() % 97);
      const std::vector<std::byte> part = packed_part(packed, begin, end);
      joined.insert(joined.end(), part.begin(), part.end());
      begin = end;
    }
    INFO("round " << round);
    REQUIRE(joined == whole);
  }
}

TEST_CASE("pack: memory of a device is refused") {
  const TensorView view = cairn::tensor(static_cast<float*>(nullptr), Shape{0}).on(cairn::Device::cuda(0));
  REQUIRE_THROWS_AS(PackedView(view), cairn::Error);
}
