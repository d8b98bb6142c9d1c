#include "copy_limit.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "staging/copy.hpp"
#include "statistics.hpp"

namespace cairn::bench {
namespace {

constexpr std::uint64_t chunk_bytes = std::uint64_t{4} << 20;

void copy_in_one(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  std::memcpy(destination, source, bytes);
}

void copy_in_chunks(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  for (std::uint64_t at = 0; at < bytes; at += chunk_bytes)
    std::memcpy(destination + at, source + at, std::min(chunk_bytes, bytes - at));
}

/// Chunks taken in turn by the threads, as the stager does, but with nothing besides.
void copy_past_cache(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  for (std::uint64_t at = 0; at < bytes; at += chunk_bytes)
    staging::copy_bytes(destination + at, source + at, std::min(chunk_bytes, bytes - at));
}

void copy_past_cache_in_one(std::byte* destination, const std::byte* source, std::uint64_t bytes) {
  staging::copy_bytes(destination, source, bytes);
}

}  // namespace

CopyLimit::CopyLimit(const Memory& destination, const Memory& source, std::uint64_t bytes, std::mt19937_64& random)
    : destination_(destination), source_(source), bytes_(bytes) {
  struct Way {
    std::string name;
    Copy copy;
    std::vector<double> speeds;
  };
  std::vector<Way> ways;
  ways.push_back({"one memcpy a thread", copy_in_one, {}});
  ways.push_back({"memcpy of 4 MiB", copy_in_chunks, {}});
  ways.push_back({"non-temporal, 4 MiB", copy_past_cache, {}});
  ways.push_back({"non-temporal, one part a thread", copy_past_cache_in_one, {}});
  for (int round = 0; round < 3; ++round) {
    std::shuffle(ways.begin(), ways.end(), random);
    for (Way& way : ways)
      way.speeds.push_back(run(way.copy));
  }
  const auto best = std::max_element(ways.begin(), ways.end(), [](const Way& left, const Way& right) {
    return median(left.speeds) < median(right.speeds);
  });
  name_ = best->name;
  best_ = best->copy;
}

double CopyLimit::run() const {
  return run(best_);
}

double CopyLimit::run(const Copy& copy) const {
  const Stopwatch watch;
  in_parts(bytes_, [&](std::uint64_t begin, std::uint64_t end) {
    copy(destination_.data() + begin, source_.data() + begin, end - begin);
  });
  return static_cast<double>(bytes_) / watch.seconds();
}

}  // namespace cairn::bench
