#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cairn/tensor.hpp"

namespace cairn::staging {

/// The packed form (C order, no gaps) of a strided view, of which any part can be copied at any time.
///
/// Strides may be zero (a broadcast: the element is repeated) or negative (data() is then the element of index 0, as in
/// NumPy). Elements smaller than a byte are always contiguous: TensorView has seen to it. The memory must outlive it.
class PackedView {
 public:
  /// Throws Error(Errc::bad_argument) for a view of memory that is not the host's.
  explicit PackedView(const TensorView& view);

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  /// The packed form is the memory itself.
  bool contiguous() const noexcept { return dimensions_.empty(); }

  /// Copies bytes [begin, end) of the packed form to `destination`; begin and end may lie inside an element.
  void copy(std::byte* destination, std::uint64_t begin, std::uint64_t end) const;

 private:
  struct Dimension {
    std::uint64_t count;
    std::int64_t stride_bytes;
  };

  const std::byte* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t run_bytes_ = 0;        ///< bytes that lie together, the innermost dimensions
  std::vector<Dimension> dimensions_;  ///< of runs, outermost first, neighbours merged; empty: all of it is one run
};

/// Bytes [begin, end) of the packed form of `view`, once.
void pack(std::byte* destination, const TensorView& view, std::uint64_t begin, std::uint64_t end);

}  // namespace cairn::staging
