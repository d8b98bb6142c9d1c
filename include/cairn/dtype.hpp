#pragma once

#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace cairn {

/// The element types of safetensors. cairn never converts between them.
enum class DType : std::uint8_t {
  boolean,
  u8,
  i8,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
  c64,  ///< complex of two f32
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  f4,       ///< 4 bits an element; a tensor of it must fill whole bytes
  f6_e2m3,  ///< 6 bits an element; a tensor of it must fill whole bytes
  f6_e3m2,  ///< 6 bits an element; a tensor of it must fill whole bytes
};

/// Number of dtypes: their values are 0 to dtype_count - 1.
inline constexpr unsigned dtype_count = 22;

/// Bits of one element: 4, 6, 8, 16, 32 or 64.
constexpr unsigned bits_per_element(DType dtype) noexcept {
  switch (dtype) {
    case DType::f4:
      return 4;
    case DType::f6_e2m3:
    case DType::f6_e3m2:
      return 6;
    case DType::boolean:
    case DType::u8:
    case DType::i8:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f8_e8m0:
    case DType::f8_e4m3fnuz:
    case DType::f8_e5m2fnuz:
      return 8;
    case DType::i16:
    case DType::u16:
    case DType::f16:
    case DType::bf16:
      return 16;
    case DType::i32:
    case DType::u32:
    case DType::f32:
      return 32;
    case DType::f64:
    case DType::i64:
    case DType::u64:
    case DType::c64:
      return 64;
  }
  return 8;
}

/// Alignment of the elements in a file, in bytes; 1 for elements smaller than a byte.
constexpr unsigned alignment_bytes(DType dtype) noexcept {
  const unsigned bits = bits_per_element(dtype);
  return bits < 8 ? 1 : bits / 8;
}

/// The name in a safetensors header: "F32", "BOOL", "F8_E4M3", ...
std::string_view to_string(DType dtype) noexcept;

/// The dtype of a safetensors name, or nothing.
std::optional<DType> dtype_from_string(std::string_view name) noexcept;

namespace detail {

template <class T>
inline constexpr bool is_element = std::integral<T> || std::same_as<T, float> || std::same_as<T, double> ||
                                   std::same_as<T, std::complex<float>> || std::same_as<T, std::byte>;

template <class T>
constexpr DType dtype_of_element() noexcept {
  if constexpr (std::same_as<T, bool>) {
    return DType::boolean;
  } else if constexpr (std::same_as<T, float>) {
    return DType::f32;
  } else if constexpr (std::same_as<T, double>) {
    return DType::f64;
  } else if constexpr (std::same_as<T, std::complex<float>>) {
    return DType::c64;
  } else if constexpr (std::same_as<T, std::byte>) {
    return DType::u8;
  } else if constexpr (sizeof(T) == 1) {
    return std::is_signed_v<T> ? DType::i8 : DType::u8;
  } else if constexpr (sizeof(T) == 2) {
    return std::is_signed_v<T> ? DType::i16 : DType::u16;
  } else if constexpr (sizeof(T) == 4) {
    return std::is_signed_v<T> ? DType::i32 : DType::u32;
  } else {
    static_assert(sizeof(T) == 8);
    return std::is_signed_v<T> ? DType::i64 : DType::u64;
  }
}

}  // namespace detail

/// A C++ type that is an element type as it stands: the integers, bool, float, double, std::complex<float>, std::byte.
template <class T>
concept Element = detail::is_element<std::remove_cv_t<T>>;

/// float → f32, bool → boolean, std::uint16_t → u16, std::complex<float> → c64, std::byte → u8, ...
template <Element T>
inline constexpr DType dtype_of = detail::dtype_of_element<std::remove_cv_t<T>>();

}  // namespace cairn
