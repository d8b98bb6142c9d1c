#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cairn/tensor.hpp"

namespace cairn::checkpoint {

/// A tensor as a place for packed bytes (C order, no gaps), any part of which can be put there at any time: what
/// staging::PackedView is for the other direction. The memory must outlive it.
class ScatterView {
 public:
  ScatterView() = default;

  /// Throws bad_argument, naming `key`, for memory that is const or not the host's, and for strides that put several
  /// elements in one place, since then it is not said which of them is wanted.
  ScatterView(const TensorView& target, const std::string& key);

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  /// Puts bytes [begin, end) of the packed form, which are at `source`, into place; both may lie inside an element.
  /// Threads may put different bytes at the same time.
  void put(const std::byte* source, std::uint64_t begin, std::uint64_t end) const;

 private:
  struct Dimension {
    std::uint64_t count;
    std::int64_t stride_bytes;
  };

  std::byte* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t run_bytes_ = 0;        ///< bytes that lie together: the innermost dimensions
  std::vector<Dimension> dimensions_;  ///< of runs, outermost first; empty: all of it is one run
};

}  // namespace cairn::checkpoint
