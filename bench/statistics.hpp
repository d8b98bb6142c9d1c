#pragma once

#include <utility>
#include <vector>

namespace cairn::bench {

/// The sample below which `share` (0 to 1) of the others lie, between two of them where it falls there. Throws
/// bad_argument without samples.
double percentile(std::vector<double> samples, double share);

inline double median(std::vector<double> samples) {
  return percentile(std::move(samples), 0.5);
}

}  // namespace cairn::bench
