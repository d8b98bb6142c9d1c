#include "cairn/dtype.hpp"

#include <array>
#include <string>

#include "cairn/device.hpp"

namespace cairn {

namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, dtype_count> names = {
    "BOOL", "U8",  "I8",  "I16",     "U16",     "F16",     "BF16",        "I32",         "U32", "F32",     "F64",
    "I64",  "U64", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4",  "F6_E2M3", "F6_E3M2"};

}  // namespace

std::string_view to_string(DType dtype) noexcept {
  return names[static_cast<std::size_t>(dtype)];
}

std::optional<DType> dtype_from_string(std::string_view name) noexcept {
  for (std::size_t index = 0; index < names.size(); ++index)
    if (names[index] == name) return static_cast<DType>(index);
  return std::nullopt;
}

std::string to_string(Device device) {
  return device.is_host() ? "host" : "cuda:" + std::to_string(device.index());
}

}  // namespace cairn
