#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cairn/tensor.hpp"

namespace cairn::test {

/// The packed bytes of a view by their definition: element after element in C order. Slow.
inline std::vector<std::byte> packed_by_definition(const TensorView& view) {
  const auto* const data = static_cast<const std::byte*>(view.data());
  std::vector<std::byte> packed;
  if (view.element_count() == 0) return packed;
  if (view.is_contiguous()) return std::vector<std::byte>(data, data + view.size_bytes());
  const std::size_t element_bytes = bits_per_element(view.dtype()) / 8;
  packed.reserve(view.size_bytes());
  std::vector<std::int64_t> index(view.shape().size());
  for (std::uint64_t count = 0; count < view.element_count(); ++count) {
    std::int64_t offset = 0;
    for (std::size_t at = 0; at < index.size(); ++at)
      offset += index[at] * view.strides()[at];
    const std::byte* const from = data + offset * static_cast<std::int64_t>(element_bytes);
    packed.insert(packed.end(), from, from + element_bytes);
    for (std::size_t at = index.size(); at-- > 0;) {
      if (++index[at] < view.shape()[at]) break;
      index[at] = 0;
    }
  }
  return packed;
}

}  // namespace cairn::test
