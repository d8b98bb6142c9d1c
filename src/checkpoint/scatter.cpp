#include "checkpoint/scatter.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cairn/error.hpp"
#include "staging/copy.hpp"

namespace cairn::checkpoint {
namespace {

template <std::size_t Bytes>
void spread(std::byte* target, const std::byte* source, std::uint64_t count, std::int64_t stride_bytes) noexcept {
  for (std::uint64_t at = 0; at < count; ++at) {
    // The size is a constant: one load and one store.
    std::memcpy(target + static_cast<std::int64_t>(at) * stride_bytes, source + at * Bytes, Bytes);
  }
}

/// `count` runs of `run_bytes`, to places that lie `stride_bytes` apart.
void put_runs(std::byte* target, const std::byte* source, std::uint64_t count, std::int64_t stride_bytes,
              std::uint64_t run_bytes) noexcept {
  switch (run_bytes) {
    case 1:
      return spread<1>(target, source, count, stride_bytes);
    case 2:
      return spread<2>(target, source, count, stride_bytes);
    case 4:
      return spread<4>(target, source, count, stride_bytes);
    case 8:
      return spread<8>(target, source, count, stride_bytes);
    default:
      for (std::uint64_t at = 0; at < count; ++at) {
        staging::copy_bytes(target + static_cast<std::int64_t>(at) * stride_bytes, source + at * run_bytes, run_bytes);
      }
  }
}

/// Whether two different indices may be the same place: each dimension, from the smallest stride up, must step over all
/// that the ones below it span. Refuses a few interleavings that would be sound; no framework makes those.
bool overlaps_itself(const TensorView& view) {
  std::vector<std::pair<std::int64_t, std::int64_t>> steps;  // stride, extent
  for (std::size_t at = 0; at < view.shape().size(); ++at) {
    if (view.shape()[at] > 1) steps.emplace_back(std::abs(view.strides()[at]), view.shape()[at]);
  }
  std::sort(steps.begin(), steps.end());
  std::int64_t span = 1;
  for (const auto& [stride, extent] : steps) {
    if (stride < span) return true;
    span = stride * (extent - 1) + span;
  }
  return false;
}

}  // namespace

ScatterView::ScatterView(const TensorView& target, const std::string& key)
    : size_bytes_(target.size_bytes()), run_bytes_(size_bytes_) {
  if (!target.device().is_host()) {
    throw Error(Errc::bad_argument, "load \"" + key + "\" into memory of " + to_string(target.device()));
  }
  if (size_bytes_ == 0) return;
  if (!target.is_mutable()) throw Error(Errc::bad_argument, "load \"" + key + "\" into const memory");
  data_ = static_cast<std::byte*>(target.mutable_data());
  if (target.is_contiguous()) return;
  if (overlaps_itself(target)) {
    throw Error(Errc::bad_argument, "load \"" + key + "\" into a tensor whose elements share memory");
  }

  const std::int64_t element_bytes = bits_per_element(target.dtype()) / 8;
  run_bytes_ = static_cast<std::uint64_t>(element_bytes);
  for (std::size_t at = target.shape().size(); at-- > 0;) {
    const auto count = static_cast<std::uint64_t>(target.shape()[at]);
    if (count == 1) continue;  // its stride is never used, and may be anything
    const std::int64_t stride_bytes = target.strides()[at] * element_bytes;
    if (dimensions_.empty() && stride_bytes == static_cast<std::int64_t>(run_bytes_)) {
      run_bytes_ *= count;
    } else {
      dimensions_.push_back(Dimension{count, stride_bytes});
    }
  }
  std::reverse(dimensions_.begin(), dimensions_.end());
}

void ScatterView::put(const std::byte* source, std::uint64_t begin, std::uint64_t end) const {
  if (begin == end) return;
  if (dimensions_.empty()) return staging::copy_bytes(data_ + begin, source, end - begin);

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
    std::byte* const target = data_ + offset;
    std::uint64_t runs = std::min(row.count - index.back(), left / run_bytes_);
    std::uint64_t done = runs * run_bytes_;
    if (within != 0 || runs == 0) {  // begins or ends inside a run
      done = std::min(run_bytes_ - within, left);
      std::memcpy(target + within, source, done);
      runs = within + done == run_bytes_ ? 1 : 0;
      within = 0;
    } else {
      put_runs(target, source, runs, row.stride_bytes, run_bytes_);
    }
    source += done;
    left -= done;

    index.back() += runs;
    for (std::size_t at = index.size() - 1; at > 0 && index[at] == dimensions_[at].count; --at) {
      index[at] = 0;
      ++index[at - 1];
    }
  }
}

}  // namespace cairn::checkpoint
