#include <array>
#include <complex>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/tensor.hpp"
#include "support/catch.hpp"

using cairn::Device;
using cairn::DType;
using cairn::Errc;
using cairn::Error;
using cairn::Tensor;
using cairn::TensorView;

namespace {

template <class Function>
std::error_code code_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  return {};
}

}  // namespace

TEST_CASE("dtype: every C++ element type has its dtype") {
  CHECK(cairn::dtype_of<float> == DType::f32);
  CHECK(cairn::dtype_of<double> == DType::f64);
  CHECK(cairn::dtype_of<bool> == DType::boolean);
  CHECK(cairn::dtype_of<std::int8_t> == DType::i8);
  CHECK(cairn::dtype_of<std::uint8_t> == DType::u8);
  CHECK(cairn::dtype_of<std::int16_t> == DType::i16);
  CHECK(cairn::dtype_of<std::uint16_t> == DType::u16);
  CHECK(cairn::dtype_of<std::int32_t> == DType::i32);
  CHECK(cairn::dtype_of<std::uint32_t> == DType::u32);
  CHECK(cairn::dtype_of<std::int64_t> == DType::i64);
  CHECK(cairn::dtype_of<std::uint64_t> == DType::u64);
  CHECK(cairn::dtype_of<long long> == DType::i64);
  CHECK(cairn::dtype_of<std::complex<float>> == DType::c64);
  CHECK(cairn::dtype_of<std::byte> == DType::u8);
}

TEST_CASE("dtype: names go both ways") {
  for (unsigned index = 0; index < cairn::dtype_count; ++index) {
    const auto dtype = static_cast<DType>(index);
    INFO(cairn::to_string(dtype));
    const bool same = cairn::dtype_from_string(cairn::to_string(dtype)) == dtype;
    CHECK(same);
  }
  CHECK(cairn::to_string(DType::f8_e4m3fnuz) == "F8_E4M3FNUZ");
  CHECK(cairn::to_string(DType::f6_e3m2) == "F6_E3M2");
  CHECK_FALSE(cairn::dtype_from_string("f32").has_value());
  CHECK_FALSE(cairn::dtype_from_string("").has_value());
}

TEST_CASE("tensor: a view knows pointer, dtype, shape, strides and size, and copies nothing") {
  std::vector<float> data(6);
  const TensorView view = cairn::tensor(data.data(), {2, 3});
  CHECK(view.data() == data.data());
  CHECK(view.mutable_data() == data.data());
  CHECK(view.dtype() == DType::f32);
  CHECK(view.element_count() == 6);
  CHECK(view.size_bytes() == 24);
  CHECK(view.is_contiguous());
  CHECK(view.device() == Device::host());
  CHECK(std::vector<std::int64_t>(view.shape().begin(), view.shape().end()) == std::vector<std::int64_t>{2, 3});
  CHECK(std::vector<std::int64_t>(view.strides().begin(), view.strides().end()) == std::vector<std::int64_t>{3, 1});
}

TEST_CASE("tensor: scalars and zero sizes are ordinary") {
  double number = 1;
  const TensorView scalar = cairn::tensor(&number, {});
  CHECK(scalar.shape().empty());
  CHECK(scalar.element_count() == 1);
  CHECK(scalar.size_bytes() == 8);
  CHECK(scalar.is_contiguous());
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{0}, {0, 0}, {0, 0, 0}, {0, std::int64_t{1} << 62, 16}}) {
    const TensorView empty = cairn::tensor(static_cast<float*>(nullptr), shape);
    CHECK(empty.element_count() == 0);
    CHECK(empty.size_bytes() == 0);
    CHECK(empty.shape().size() == shape.size());
  }
}

TEST_CASE("tensor: const memory, spans and shapes of other types are taken") {
  std::array<int, 6> data{1, 2, 3, 4, 5, 6};
  const int* constant = data.data();
  const TensorView view = cairn::tensor(constant, {6});
  CHECK_FALSE(view.is_mutable());
  CHECK(code_of([&] { view.mutable_data(); }) == Errc::bad_argument);

  CHECK(cairn::tensor(std::span(data)).shape()[0] == 6);
  CHECK(cairn::tensor(std::span<const int>(data)).is_mutable() == false);
  CHECK(cairn::tensor(std::span(data), {2, 3}).shape()[1] == 3);
  CHECK(code_of([&] { cairn::tensor(std::span(data), {2, 2}); }) == Errc::bad_argument);

  const std::array<std::int64_t, 2> shape{3, 2};
  CHECK(cairn::tensor(data.data(), shape).shape()[0] == 3);
  CHECK(cairn::tensor(data.data(), std::span<const std::int64_t>(shape)).shape()[0] == 3);
  void* memory = data.data();
  CHECK(cairn::tensor(memory, DType::bf16, {12}).size_bytes() == 24);
  CHECK(cairn::tensor(static_cast<const void*>(memory), DType::bf16, shape).is_mutable() == false);
}

TEST_CASE("tensor: any number of dimensions, copied and moved") {
  std::vector<std::int64_t> shape(20, 1);
  shape[3] = 7;
  std::vector<float> data(7);
  TensorView view = cairn::tensor(data.data(), shape);
  CHECK(view.shape().size() == 20);
  TensorView copy = view;
  TensorView moved = std::move(view);
  CHECK(copy.shape()[3] == 7);
  CHECK(moved.shape()[3] == 7);
  CHECK(copy.same_layout(moved));
  copy = cairn::tensor(data.data(), {7});
  CHECK(copy.shape().size() == 1);
  moved = std::move(copy);
  CHECK(moved.shape().size() == 1);
  CHECK(moved.shape()[0] == 7);
}

TEST_CASE("tensor: strides and device are chained on") {
  std::vector<float> data(12);
  const TensorView transposed = cairn::tensor(data.data(), {3, 4}).strided({1, 3}).on(Device::cuda(2));
  CHECK_FALSE(transposed.is_contiguous());
  CHECK(transposed.device() == Device::cuda(2));
  CHECK(transposed.strides()[1] == 3);
  CHECK(cairn::to_string(transposed.device()) == "cuda:2");
  // Extents of one say nothing about where elements lie.
  CHECK(cairn::tensor(data.data(), {1, 12}).strided({99, 1}).is_contiguous());
  CHECK(code_of([&] { cairn::tensor(data.data(), {3, 4}).strided({1}); }) == Errc::bad_argument);
}

TEST_CASE("tensor: shapes that cannot be are refused") {
  float* none = nullptr;
  constexpr std::int64_t large = std::int64_t{1} << 40;
  CHECK(code_of([&] { cairn::tensor(none, {2, -1}); }) == Errc::bad_argument);
  CHECK(code_of([&] { cairn::tensor(none, {large, large}); }) == Errc::bad_argument);
  CHECK(code_of([&] { cairn::tensor(none, {std::numeric_limits<std::int64_t>::max()}); }) == Errc::bad_argument);
}

TEST_CASE("tensor: elements smaller than a byte fill whole bytes and are contiguous") {
  std::array<std::byte, 16> memory{};
  void* data = memory.data();
  CHECK(cairn::tensor(data, DType::f4, {2, 3}).size_bytes() == 3);
  CHECK(cairn::tensor(data, DType::f6_e2m3, {4}).size_bytes() == 3);
  CHECK(code_of([&] { cairn::tensor(data, DType::f4, {3}); }) == Errc::bad_argument);
  CHECK(code_of([&] { cairn::tensor(data, DType::f6_e3m2, {2}); }) == Errc::bad_argument);
  CHECK(code_of([&] { cairn::tensor(data, DType::f4, {2, 4}).strided({1, 2}); }) == Errc::bad_argument);
  CHECK(cairn::tensor(data, DType::f4, {2, 4}).strided({4, 1}).is_contiguous());
}

TEST_CASE("tensor: equality is dtype, shape and content, whatever the strides") {
  std::array<float, 6> rows{1, 2, 3, 4, 5, 6};
  std::array<float, 6> columns{1, 4, 2, 5, 3, 6};
  const TensorView view = cairn::tensor(rows.data(), {2, 3});
  CHECK(view == cairn::tensor(columns.data(), {2, 3}).strided({1, 2}));
  CHECK_FALSE(view == cairn::tensor(columns.data(), {2, 3}));
  CHECK_FALSE(view == cairn::tensor(rows.data(), {3, 2}));
  CHECK_FALSE(view == cairn::tensor(static_cast<void*>(rows.data()), DType::i32, {2, 3}));
  // Reversed: data() is the element of index 0.
  std::array<float, 6> reversed{6, 5, 4, 3, 2, 1};
  CHECK(cairn::tensor(rows.data(), {6}) == cairn::tensor(reversed.data() + 5, {6}).strided({-1}));
}

TEST_CASE("tensor: Tensor::empty gives aligned memory that copies share") {
  Tensor tensor = Tensor::empty(DType::f32, {3, 5});
  CHECK(reinterpret_cast<std::uintptr_t>(tensor.data()) % 4096 == 0);
  std::memset(tensor.mutable_data(), 0x5A, tensor.size_bytes());
  const Tensor copy = tensor;
  CHECK(copy.data() == tensor.data());
  CHECK(copy.owner().use_count() == 2);
  tensor = Tensor::empty(DType::u8, {0});
  CHECK(tensor.size_bytes() == 0);
  CHECK(static_cast<const unsigned char*>(copy.data())[59] == 0x5A);
  const TensorView view = copy;
  CHECK(view.data() == copy.data());
  CHECK(Tensor::empty(DType::f64, {}).element_count() == 1);

  const Tensor large = Tensor::empty(DType::u8, {std::int64_t{9} << 20});
  CHECK(reinterpret_cast<std::uintptr_t>(large.data()) % 4096 == 0);
  static_cast<char*>(large.mutable_data())[large.size_bytes() - 1] = 1;
}

TEST_CASE("tensor: adopted memory lives as long as the last handle") {
  auto owner = std::make_shared<std::vector<float>>(4, 1.5F);
  const std::weak_ptr<std::vector<float>> watch = owner;
  Tensor tensor = Tensor::adopt(cairn::tensor(owner->data(), {4}), owner);
  owner.reset();
  CHECK_FALSE(watch.expired());
  CHECK(static_cast<const float*>(tensor.data())[3] == 1.5F);
  tensor = Tensor();
  CHECK(watch.expired());
}
