#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cairn/device.hpp"
#include "cairn/dtype.hpp"

namespace cairn {

/// What serves as a shape or as strides beside a std::vector (and a braced list, which makes one): anything that a span
/// of std::int64_t can view.
template <class T>
concept ExtentRange =
    std::convertible_to<const T&, std::span<const std::int64_t>> && !std::same_as<T, std::vector<std::int64_t>>;

namespace detail {

/// A shape or strides: up to eight numbers in place, more on the heap, so that a copy of an ordinary view allocates
/// nothing.
class Extents {
 public:
  Extents() noexcept = default;
  explicit Extents(std::span<const std::int64_t> values);
  Extents(const Extents& other) : Extents(other.values()) {}
  Extents(Extents&& other) noexcept;
  Extents& operator=(Extents other) noexcept;

  std::span<const std::int64_t> values() const noexcept { return {data(), size_}; }
  std::span<std::int64_t> values() noexcept { return {heap_ ? heap_.get() : inline_.data(), size_}; }

 private:
  static constexpr std::size_t inline_size = 8;

  const std::int64_t* data() const noexcept { return heap_ ? heap_.get() : inline_.data(); }

  std::size_t size_ = 0;
  std::unique_ptr<std::int64_t[]> heap_;
  std::array<std::int64_t, inline_size> inline_;
};

}  // namespace detail

/// A tensor in memory that belongs to somebody else: pointer, dtype, shape, strides, device. Owns nothing; whoever
/// makes one keeps the memory alive for as long as it is used (for a save: until `staged`).
///
/// Strides count elements, not bytes, and may be zero or negative. Any number of dimensions; shape [] is a scalar with
/// one element; a shape that holds a zero has none.
class TensorView {
 public:
  /// No memory: dtype u8, shape [0].
  TensorView();

  /// A contiguous (C order) tensor. `is_mutable` false means that nothing may be loaded into it.
  /// Throws bad_argument for a negative extent, for more than 2^63 - 1 bytes, and when the elements of a dtype smaller
  /// than a byte do not fill whole bytes.
  TensorView(const void* data, bool is_mutable, DType dtype, std::span<const std::int64_t> shape);

  /// The same memory with these strides (elements), one for each dimension. Throws bad_argument for another number of
  /// strides, and for dtypes smaller than a byte, which are contiguous only.
  TensorView strided(const std::vector<std::int64_t>& strides) const { return with_strides(strides); }
  template <ExtentRange Strides>
  TensorView strided(const Strides& strides) const {
    return with_strides(strides);
  }

  /// The same, in memory of that device.
  TensorView on(Device device) const;

  /// The same layout over other memory.
  TensorView at(const void* data, bool is_mutable) const;

  /// First element. Null only where there are no elements.
  const void* data() const noexcept { return data_; }

  /// The same, to be written to. Throws bad_argument for a view of const memory.
  void* mutable_data() const;
  bool is_mutable() const noexcept { return mutable_; }

  DType dtype() const noexcept { return dtype_; }
  Device device() const noexcept { return device_; }

  /// Extent of each dimension, outermost first. Valid as long as this view.
  std::span<const std::int64_t> shape() const noexcept { return shape_.values(); }

  /// Elements from one index to the next, for each dimension. Valid as long as this view.
  std::span<const std::int64_t> strides() const noexcept { return strides_.values(); }

  std::uint64_t element_count() const noexcept { return element_count_; }

  /// Bytes of the packed elements, as they stand in a file.
  std::uint64_t size_bytes() const noexcept { return element_count_ * bits_per_element(dtype_) / 8; }

  /// True where the elements lie packed in C order, so that size_bytes() from data() are the tensor.
  bool is_contiguous() const noexcept { return contiguous_; }

  /// Same dtype, shape and device, and strides that mean the same; data() is not compared.
  bool same_layout(const TensorView& other) const noexcept;

 private:
  TensorView with_strides(std::span<const std::int64_t> strides) const;

  const void* data_ = nullptr;
  std::uint64_t element_count_ = 0;
  Device device_;
  DType dtype_ = DType::u8;
  bool mutable_ = false;
  bool contiguous_ = true;
  detail::Extents shape_;
  detail::Extents strides_;
};

/// Same dtype, shape and content. Tensors of a device, which the host cannot read, are equal when they view the same
/// memory in the same way.
bool operator==(const TensorView& left, const TensorView& right);

/// A counted handle on host memory: copies share it, and the last one gives it back. Converts to a TensorView of it,
/// which does not keep it alive.
class Tensor {
 public:
  /// No memory: dtype u8, shape [0].
  Tensor() = default;

  /// Memory of its own, contiguous, not initialised, beginning on a 4096-byte boundary. Large blocks are not touched
  /// before they are used. Throws bad_argument for a shape that TensorView refuses, too_little_memory.
  static Tensor empty(DType dtype, const std::vector<std::int64_t>& shape) { return allocate(dtype, shape); }
  template <ExtentRange Shape>
  static Tensor empty(DType dtype, const Shape& shape) {
    return allocate(dtype, shape);
  }

  /// Memory that `owner` keeps alive.
  static Tensor adopt(TensorView view, std::shared_ptr<void> owner) {
    return Tensor(std::move(view), std::move(owner));
  }

  const TensorView& view() const noexcept { return view_; }
  operator const TensorView&() const noexcept { return view_; }  // NOLINT: the conversion is the point

  const void* data() const noexcept { return view_.data(); }
  void* mutable_data() const { return view_.mutable_data(); }
  DType dtype() const noexcept { return view_.dtype(); }
  Device device() const noexcept { return view_.device(); }
  std::span<const std::int64_t> shape() const noexcept { return view_.shape(); }
  std::span<const std::int64_t> strides() const noexcept { return view_.strides(); }
  std::uint64_t element_count() const noexcept { return view_.element_count(); }
  std::uint64_t size_bytes() const noexcept { return view_.size_bytes(); }
  bool is_contiguous() const noexcept { return view_.is_contiguous(); }

  /// What keeps the memory alive; null for a default-constructed one.
  const std::shared_ptr<void>& owner() const noexcept { return owner_; }

  /// As for the views of them.
  friend bool operator==(const Tensor& left, const Tensor& right) { return left.view_ == right.view_; }

 private:
  static Tensor allocate(DType dtype, std::span<const std::int64_t> shape);

  Tensor(TensorView view, std::shared_ptr<void> owner) : view_(std::move(view)), owner_(std::move(owner)) {}

  TensorView view_;
  std::shared_ptr<void> owner_;
};

/// A view of `data`, contiguous: float* → f32, bool* → boolean, ... Nothing is copied. Nothing can be loaded into const
/// memory. Throws bad_argument as TensorView does.
template <Element T>
TensorView tensor(T* data, const std::vector<std::int64_t>& shape) {
  return TensorView(data, !std::is_const_v<T>, dtype_of<T>, shape);
}
template <Element T, ExtentRange Shape>
TensorView tensor(T* data, const Shape& shape) {
  return TensorView(data, !std::is_const_v<T>, dtype_of<T>, shape);
}

/// The same for memory whose dtype has no C++ type.
inline TensorView tensor(void* data, DType dtype, const std::vector<std::int64_t>& shape) {
  return TensorView(data, true, dtype, shape);
}
inline TensorView tensor(const void* data, DType dtype, const std::vector<std::int64_t>& shape) {
  return TensorView(data, false, dtype, shape);
}
template <ExtentRange Shape>
TensorView tensor(void* data, DType dtype, const Shape& shape) {
  return TensorView(data, true, dtype, shape);
}
template <ExtentRange Shape>
TensorView tensor(const void* data, DType dtype, const Shape& shape) {
  return TensorView(data, false, dtype, shape);
}

namespace detail {
/// Gives `view` back. Throws bad_argument when it has not exactly `elements` elements.
TensorView of_span(TensorView view, std::size_t elements);
}  // namespace detail

/// A view of a span: one dimension, or `shape`, which must have as many elements as the span (else bad_argument).
template <Element T, std::size_t Size>
TensorView tensor(std::span<T, Size> data) {
  const std::array<std::int64_t, 1> shape{static_cast<std::int64_t>(data.size())};
  return tensor(data.data(), shape);
}
template <Element T, std::size_t Size>
TensorView tensor(std::span<T, Size> data, const std::vector<std::int64_t>& shape) {
  return detail::of_span(tensor(data.data(), shape), data.size());
}
template <Element T, std::size_t Size, ExtentRange Shape>
TensorView tensor(std::span<T, Size> data, const Shape& shape) {
  return detail::of_span(tensor(data.data(), shape), data.size());
}

}  // namespace cairn
