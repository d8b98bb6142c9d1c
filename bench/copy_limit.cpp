#include "copy_limit.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "staging/copy.hpp"
#include "statistics.hpp"

namespace cairn::bench {
namespace {

constexpr std::uint64_t chunk_bytes = std::uint64_t{4} << 20;
constexpr int rounds = 3;

void copy_temporal(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  std::memcpy(destination, source, bytes);
}

void copy_past_cache(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  staging::copy_bytes(destination, source, bytes);
}

}  // namespace

CopyLimit::CopyLimit(const Memory& destination, const Memory& source, std::uint64_t bytes, std::mt19937_64& random)
    : destination_(destination), source_(source), bytes_(bytes) {
  struct Candidate {
    Way way;
    std::vector<double> speeds;
  };
  std::vector<Candidate> candidates;
  candidates.push_back({{"memcpy, a part a thread", copy_temporal, false}, {}});
  candidates.push_back({{"memcpy of 4 MiB in turn", copy_temporal, true}, {}});
  candidates.push_back({{"non-temporal, a part a thread", copy_past_cache, false}, {}});
  candidates.push_back({{"non-temporal, 4 MiB in turn", copy_past_cache, true}, {}});
  for (int round = 0; round < rounds; ++round) {
    std::shuffle(candidates.begin(), candidates.end(), random);
    for (Candidate& candidate : candidates)
      candidate.speeds.push_back(run(candidate.way));
  }
  const auto best = std::max_element(
      candidates.begin(), candidates.end(),
      [](const Candidate& left, const Candidate& right) { return median(left.speeds) < median(right.speeds); });
  best_ = best->way;
}

double CopyLimit::run() const {
  return run(best_);
}

double CopyLimit::run(const Way& way) const {
  std::atomic<std::uint64_t> next{0};
  const Stopwatch watch;
  in_parts(bytes_, [&](std::uint64_t begin, std::uint64_t end) {
    if (!way.in_turn) return way.copy(destination_.data() + begin, source_.data() + begin, end - begin);
    for (std::uint64_t at = next.fetch_add(chunk_bytes); at < bytes_; at = next.fetch_add(chunk_bytes))
      way.copy(destination_.data() + at, source_.data() + at, std::min(chunk_bytes, bytes_ - at));
  });
  return static_cast<double>(bytes_) / watch.seconds();
}

}  // namespace cairn::bench
