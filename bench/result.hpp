#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cairn::bench {

/// What a figure should reach, and whether it does.
struct Goal {
  enum class Of { value, ratio };
  enum class Side { at_least, at_most };

  Of of = Of::ratio;
  Side side = Side::at_least;
  double bound = 0;
};

/// One pair of runs: cairn's, and what the machine can do at most.
struct Pair {
  double value = 0;
  double baseline = 0;
};

/// One row of the report. Values are medians.
struct Result {
  std::string name;
  double value = 0;
  std::string unit;
  std::optional<double> baseline;
  std::optional<double> ratio;  ///< of value to baseline: the median of the pairs' ratios
  double ratio_min = 0;
  double ratio_max = 0;
  unsigned samples = 0;
  double min = 0;  ///< of the values
  double max = 0;
  std::optional<Goal> goal;
  std::string what;  ///< what was measured against what, for people
};

/// Throws bad_argument without samples.
Result of_samples(std::string name, std::string unit, const std::vector<double>& samples);
Result of_pairs(std::string name, std::string unit, const std::vector<Pair>& pairs);

}  // namespace cairn::bench
