#include "cairn/tensor.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "cairn/error.hpp"

namespace cairn {

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + "]";
}

[[noreturn]] void refuse(DType dtype, std::span<const std::int64_t> shape, const char* why) {
  throw Error(Errc::bad_argument, "tensor " + std::string(to_string(dtype)) + " " + shape_text(shape) + ": " + why);
}

std::uint64_t count_elements(DType dtype, std::span<const std::int64_t> shape) {
  for (const std::int64_t extent : shape)
    if (extent < 0) refuse(dtype, shape, "a negative extent");
  // A zero anywhere makes the tensor empty, however large the other extents are.
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  const unsigned bits = bits_per_element(dtype);
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(extent), &count)) refuse(dtype, shape, "too large");
  if (count > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / bits)
    refuse(dtype, shape, "too large");
  if (count * bits % 8 != 0) refuse(dtype, shape, "the elements do not fill whole bytes");
  return count;
}

// Extents of one say nothing about where elements lie, so their strides do not count.
bool is_packed(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) {
  std::int64_t packed = 1;
  for (std::size_t dimension = shape.size(); dimension-- > 0;) {
    if (shape[dimension] == 1) continue;
    if (strides[dimension] != packed) return false;
    packed *= shape[dimension];
  }
  return true;
}

void equal_strided(const TensorView& left, const std::byte* left_data, const TensorView& right,
                   const std::byte* right_data, std::size_t dimension, std::size_t element_bytes, bool& equal) {
  if (!equal) return;
  if (dimension == left.shape().size()) {
    equal = std::memcmp(left_data, right_data, element_bytes) == 0;
    return;
  }
  const auto bytes = static_cast<std::int64_t>(element_bytes);
  for (std::int64_t index = 0; index < left.shape()[dimension]; ++index)
    equal_strided(left, left_data + index * left.strides()[dimension] * bytes, right,
                  right_data + index * right.strides()[dimension] * bytes, dimension + 1, element_bytes, equal);
}

}  // namespace

namespace detail {

Extents::Extents(std::span<const std::int64_t> values) : size_(values.size()) {
  if (size_ > inline_size) heap_ = std::make_unique<std::int64_t[]>(size_);
  std::ranges::copy(values, this->values().begin());
}

Extents::Extents(Extents&& other) noexcept : size_(std::exchange(other.size_, 0)), heap_(std::move(other.heap_)) {
  if (!heap_) std::copy_n(other.inline_.begin(), size_, inline_.begin());
}

Extents& Extents::operator=(Extents other) noexcept {
  size_ = std::exchange(other.size_, 0);
  heap_ = std::move(other.heap_);
  if (!heap_) std::copy_n(other.inline_.begin(), size_, inline_.begin());
  return *this;
}

TensorView of_span(TensorView view, std::size_t elements) {
  if (view.element_count() != elements)
    throw Error(Errc::bad_argument,
                "tensor " + shape_text(view.shape()) + " over a span of " + std::to_string(elements) + " elements");
  return view;
}

}  // namespace detail

TensorView::TensorView() : TensorView(nullptr, true, DType::u8, std::array<std::int64_t, 1>{0}) {}

TensorView::TensorView(const void* data, bool is_mutable, DType dtype, std::span<const std::int64_t> shape)
    : data_(data),
      element_count_(count_elements(dtype, shape)),
      dtype_(dtype),
      mutable_(is_mutable),
      shape_(shape),
      strides_(shape) {
  const std::span<std::int64_t> strides = strides_.values();
  std::int64_t packed = 1;
  for (std::size_t dimension = strides.size(); dimension-- > 0;) {
    strides[dimension] = packed;
    // Wraps only where there are no elements, and so no strides that matter.
    packed =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(packed) * static_cast<std::uint64_t>(shape[dimension]));
  }
}

TensorView TensorView::with_strides(std::span<const std::int64_t> strides) const {
  if (strides.size() != shape().size())
    refuse(dtype_, shape(), ("strides " + shape_text(strides) + " have another number of dimensions").c_str());
  const bool packed = element_count_ == 0 || is_packed(shape(), strides);
  if (!packed && bits_per_element(dtype_) < 8)
    refuse(dtype_, shape(), "elements smaller than a byte are contiguous only");
  TensorView view = *this;
  view.strides_ = detail::Extents(strides);
  view.contiguous_ = packed;
  return view;
}

TensorView TensorView::on(Device device) const {
  TensorView view = *this;
  view.device_ = device;
  return view;
}

TensorView TensorView::at(const void* data, bool is_mutable) const {
  TensorView view = *this;
  view.data_ = data;
  view.mutable_ = is_mutable;
  return view;
}

void* TensorView::mutable_data() const {
  if (!mutable_)
    throw Error(Errc::bad_argument,
                "write to a tensor of const memory: " + std::string(to_string(dtype_)) + " " + shape_text(shape()));
  return const_cast<void*>(data_);
}

bool TensorView::same_layout(const TensorView& other) const noexcept {
  if (dtype_ != other.dtype_ || device_ != other.device_ || contiguous_ != other.contiguous_) return false;
  if (!std::ranges::equal(shape(), other.shape())) return false;
  return contiguous_ || std::ranges::equal(strides(), other.strides());
}

bool operator==(const TensorView& left, const TensorView& right) {
  if (left.dtype() != right.dtype() || !std::ranges::equal(left.shape(), right.shape())) return false;
  if (left.element_count() == 0) return true;
  if (left.data() == right.data() && left.same_layout(right)) return true;
  if (!left.device().is_host() || !right.device().is_host()) return false;
  if (left.is_contiguous() && right.is_contiguous())
    return std::memcmp(left.data(), right.data(), left.size_bytes()) == 0;
  bool equal = true;
  equal_strided(left, static_cast<const std::byte*>(left.data()), right, static_cast<const std::byte*>(right.data()), 0,
                bits_per_element(left.dtype()) / 8, equal);
  return equal;
}

Tensor Tensor::allocate(DType dtype, std::span<const std::int64_t> shape) {
  const TensorView layout(nullptr, true, dtype, shape);
  const std::size_t bytes = std::max<std::size_t>(layout.size_bytes(), 1);
  const std::size_t alignment = bytes >= 2 * huge_page_bytes ? huge_page_bytes : page_bytes;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* const memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr)
    throw Error(Errc::too_little_memory, "allocate " + std::to_string(rounded) + " bytes for a tensor");
  std::shared_ptr<void> owner(memory, [](void* block) { std::free(block); });
  // Fewer page faults while it is filled; where it is refused, nothing is lost.
  if (alignment == huge_page_bytes) ::madvise(memory, rounded, MADV_HUGEPAGE);
  return Tensor(layout.at(memory, true), std::move(owner));
}

}  // namespace cairn
