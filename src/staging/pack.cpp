#include "staging/pack.hpp"

#include <algorithm>
#include <cstring>

#include "cairn/error.hpp"
#include "staging/copy.hpp"

namespace cairn::staging {
namespace {

template <std::size_t Bytes>
void gather(std::byte* destination, const std::byte* source, std::uint64_t count, std::int64_t stride_bytes) noexcept {
  for (std::uint64_t at = 0; at < count; ++at) {
    // The size is a constant: one load and one store. Indexing, since a pointer past the last element may be out of
    // bounds.
    std::memcpy(destination + at * Bytes, source + static_cast<std::int64_t>(at) * stride_bytes, Bytes);
  }
}

/// `count` runs of `run_bytes` that lie `stride_bytes` apart.
void copy_runs(std::byte* destination, const std::byte* source, std::uint64_t count, std::int64_t stride_bytes,
               std::uint64_t run_bytes) noexcept {
  switch (run_bytes) {
    case 1:
      return gather<1>(destination, source, count, stride_bytes);
    case 2:
      return gather<2>(destination, source, count, stride_bytes);
    case 4:
      return gather<4>(destination, source, count, stride_bytes);
    case 8:
      return gather<8>(destination, source, count, stride_bytes);
    case 16:
      return gather<16>(destination, source, count, stride_bytes);
    default:
      for (std::uint64_t at = 0; at < count; ++at) {
        copy_bytes(destination + at * run_bytes, source + static_cast<std::int64_t>(at) * stride_bytes, run_bytes);
      }
  }
}

}  // namespace

PackedView::PackedView(const TensorView& view)
    : data_(static_cast<const std::byte*>(view.data())), size_bytes_(view.size_bytes()), run_bytes_(size_bytes_) {
  if (!view.device().is_host()) {
    throw Error(Errc::bad_argument, "stage a tensor in memory of " + to_string(view.device()));
  }
  if (view.is_contiguous() || size_bytes_ == 0) return;

  const auto shape = view.shape();
  const auto strides = view.strides();
  const std::int64_t element_bytes = bits_per_element(view.dtype()) / 8;
  run_bytes_ = static_cast<std::uint64_t>(element_bytes);
  for (std::size_t at = shape.size(); at-- > 0;) {
    if (shape[at] == 1) continue;  // its stride is never used, and may be anything
    const auto count = static_cast<std::uint64_t>(shape[at]);
    const std::int64_t stride_bytes = strides[at] * element_bytes;
    if (dimensions_.empty() && stride_bytes == static_cast<std::int64_t>(run_bytes_)) {
      run_bytes_ *= count;
      continue;
    }
    if (!dimensions_.empty()) {
      Dimension& inner = dimensions_.back();
      if (stride_bytes == inner.stride_bytes * static_cast<std::int64_t>(inner.count)) {
        inner.count *= count;
        continue;
      }
    }
    dimensions_.push_back(Dimension{count, stride_bytes});
  }
  std::reverse(dimensions_.begin(), dimensions_.end());
}

void PackedView::copy(std::byte* destination, std::uint64_t begin, std::uint64_t end) const {
  if (begin == end) return;
  if (contiguous()) return copy_bytes(destination, data_ + begin, end - begin);

  // The index of the run that holds `begin`, digit by digit.
  std::vector<std::uint64_t> index(dimensions_.size());
  std::uint64_t run = begin / run_bytes_;
  std::uint64_t within = begin % run_bytes_;
  for (std::size_t at = dimensions_.size(); at-- > 0;) {
    index[at] = run % dimensions_[at].count;
    run /= dimensions_[at].count;
  }

  const Dimension& row = dimensions_.back();
  std::uint64_t left = end - begin;
  while (left > 0) {
    std::int64_t offset = 0;
    for (std::size_t at = 0; at < index.size(); ++at) {
      offset += static_cast<std::int64_t>(index[at]) * dimensions_[at].stride_bytes;
    }
    const std::byte* const source = data_ + offset;
    std::uint64_t runs = std::min(row.count - index.back(), left / run_bytes_);
    std::uint64_t copied = runs * run_bytes_;
    if (within != 0 || runs == 0) {  // begins or ends inside a run
      runs = 1;
      copied = std::min(run_bytes_ - within, left);
      copy_bytes(destination, source + within, copied);
      within = 0;
    } else {
      copy_runs(destination, source, runs, row.stride_bytes, run_bytes_);
    }
    destination += copied;
    left -= copied;

    index.back() += runs;
    for (std::size_t at = index.size() - 1; at > 0 && index[at] == dimensions_[at].count; --at) {
      index[at] = 0;
      ++index[at - 1];
    }
  }
}

void pack(std::byte* destination, const TensorView& view, std::uint64_t begin, std::uint64_t end) {
  PackedView(view).copy(destination, begin, end);
}

}  // namespace cairn::staging
