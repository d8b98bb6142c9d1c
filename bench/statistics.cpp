#include "statistics.hpp"

#include <algorithm>
#include <cstddef>

#include "cairn/error.hpp"

namespace cairn::bench {

double percentile(std::vector<double> samples, double share) {
  if (samples.empty()) throw Error(Errc::bad_argument, "take a percentile of no samples");
  std::sort(samples.begin(), samples.end());
  const double position = share * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (position - static_cast<double>(below)) * (samples[above] - samples[below]);
}

}  // namespace cairn::bench
