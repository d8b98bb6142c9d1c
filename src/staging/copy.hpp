#pragma once

#include <cstddef>

namespace cairn::staging {

/// Copies `bytes` bytes from `source` to `destination`, which do not overlap, of any alignment. Large copies go past
/// the cache (non-temporal stores) and are complete for other threads when the call returns, as those of memcpy are.
///
/// Made for filling memory that this thread does not read soon. Any thread.
void copy_bytes(std::byte* destination, const std::byte* source, std::size_t bytes) noexcept;

/// The ways of copying, from the widest to the one that every processor has.
enum class CopyKernel { avx512, avx2, plain };

/// Whether this processor (and this build) has it.
bool has_kernel(CopyKernel kernel) noexcept;

/// copy_bytes by one kernel, whatever the size; for tests and benchmarks. `kernel` must be one that has_kernel() has.
void copy_bytes_with(CopyKernel kernel, std::byte* destination, const std::byte* source, std::size_t bytes) noexcept;

}  // namespace cairn::staging
