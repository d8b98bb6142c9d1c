#pragma once

#include <cstddef>
#include <cstdint>

#include "format/plan.hpp"

namespace cairn::staging {

/// Copies bytes [begin, end) of the file that `image` describes to `destination`, which has room for end - begin. A
/// piece may begin and end anywhere. Bytes that no piece holds become zero. Any thread.
void copy_image(const format::Image& image, std::uint64_t begin, std::uint64_t end, std::byte* destination);

}  // namespace cairn::staging
