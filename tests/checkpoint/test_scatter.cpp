#include <cairn/error.hpp>
#include <numeric>
#include <random>

#include "checkpoint/scatter.hpp"
#include "staging/pack.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using namespace cairn;
using cairn::checkpoint::ScatterView;

namespace {

using Extents = std::vector<std::int64_t>;

/// Puts 0, 1, 2, ... in random portions, then reads the tensor back by packing it.
template <class T>
void check_scatter(const TensorView& view, std::mt19937_64& random) {
  std::vector<T> source(view.element_count());
  std::iota(source.begin(), source.end(), T(1));
  const ScatterView target(view, "key");
  REQUIRE(target.size_bytes() == source.size() * sizeof(T));
  const auto* const bytes = reinterpret_cast<const std::byte*>(source.data());
  for (std::uint64_t at = 0; at < target.size_bytes();) {
    const std::uint64_t end = std::min(target.size_bytes(), at + 1 + random() % (3 * sizeof(T) * 5));
    target.put(bytes + at, at, end);
    at = end;
  }
  std::vector<T> packed(source.size());
  staging::pack(reinterpret_cast<std::byte*>(packed.data()), view, 0, view.size_bytes());
  CHECK(packed == source);
}

template <class T>
void check_layouts(std::mt19937_64& random) {
  std::vector<T> memory(4096);
  const DType dtype = dtype_of<T>;
  const auto view = [&](Extents shape, Extents strides, std::size_t first = 0) {
    return TensorView(memory.data() + first, true, dtype, shape).strided(strides);
  };
  check_scatter<T>(view({5, 7}, {7, 1}), random);
  check_scatter<T>(view({5, 7}, {1, 5}), random);
  check_scatter<T>(view({5, 7}, {20, 2}), random);
  check_scatter<T>(view({3, 4, 5}, {100, 5, 1}), random);
  check_scatter<T>(view({3, 4, 5}, {1, 3, 12}), random);
  check_scatter<T>(view({6, 5}, {-5, 1}, 25), random);
  check_scatter<T>(view({2, 1, 3}, {3, 999, 1}), random);
  check_scatter<T>(view({1}, {0}), random);
  check_scatter<T>(view({}, {}), random);
}

}  // namespace

TEST_CASE("Bytes go to their elements whatever the strides, in portions of any size") {
  std::mt19937_64 random(cairn::test::seed());
  for (int round = 0; round < 20; ++round) {
    check_layouts<std::uint8_t>(random);
    check_layouts<std::uint16_t>(random);
    check_layouts<float>(random);
    check_layouts<double>(random);
  }
}

TEST_CASE("Memory between the elements is left alone") {
  std::vector<int> memory(30, -1);
  const std::vector<int> source = {1, 2, 3, 4};
  const ScatterView target(tensor(memory.data() + 5, Extents{2, 2}).strided(Extents{10, 3}), "key");
  target.put(reinterpret_cast<const std::byte*>(source.data()), 0, 16);
  std::vector<int> expected(30, -1);
  expected[5] = 1;
  expected[8] = 2;
  expected[15] = 3;
  expected[18] = 4;
  CHECK(memory == expected);
}

TEST_CASE("Targets that cannot be filled are refused") {
  float memory[4] = {};
  const float fixed[4] = {};
  const auto refused = [](const TensorView& view) {
    try {
      const ScatterView made(view, "a.key");
    } catch (const Error& error) {
      return error.code() == Errc::bad_argument && std::string(error.what()).find("a.key") != std::string::npos;
    }
    return false;
  };
  CHECK(refused(tensor(fixed, Extents{4})));
  CHECK(refused(tensor(memory, Extents{4}).on(Device::cuda(0))));
  CHECK(refused(tensor(memory, Extents{4}).strided(Extents{0})));
  CHECK(refused(tensor(memory, Extents{2, 2}).strided(Extents{1, 1})));
  CHECK_FALSE(refused(tensor(memory, Extents{2, 2}).strided(Extents{2, 1})));
  CHECK_FALSE(refused(tensor(fixed, Extents{0})));
}
