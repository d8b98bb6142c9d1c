#include "result.hpp"

#include <algorithm>
#include <utility>

#include "statistics.hpp"

namespace cairn::bench {

Result of_samples(std::string name, std::string unit, const std::vector<double>& samples) {
  Result result;
  result.name = std::move(name);
  result.unit = std::move(unit);
  result.value = median(samples);
  result.samples = static_cast<unsigned>(samples.size());
  result.min = *std::min_element(samples.begin(), samples.end());
  result.max = *std::max_element(samples.begin(), samples.end());
  return result;
}

Result of_pairs(std::string name, std::string unit, const std::vector<Pair>& pairs) {
  std::vector<double> values;
  std::vector<double> baselines;
  std::vector<double> ratios;
  for (const Pair& pair : pairs) {
    values.push_back(pair.value);
    baselines.push_back(pair.baseline);
    ratios.push_back(pair.value / pair.baseline);
  }
  Result result = of_samples(std::move(name), std::move(unit), values);
  result.baseline = median(std::move(baselines));
  result.ratio_min = *std::min_element(ratios.begin(), ratios.end());
  result.ratio_max = *std::max_element(ratios.begin(), ratios.end());
  result.ratio = median(std::move(ratios));
  return result;
}

}  // namespace cairn::bench
