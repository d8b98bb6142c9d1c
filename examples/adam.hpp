#pragma once

#include <cstdint>
#include <vector>

#include "layers.hpp"

namespace example {

/// Adam (Kingma and Ba, 2015). Rows of a table that a step did not touch are left alone, moments too.
class Adam {
 public:
  struct Moments {
    Parameter* parameter;
    Matrix first;
    Matrix second;
  };

  /// The parameters must outlive the optimizer.
  Adam(const std::vector<Parameter*>& parameters, float learning_rate);

  /// Moves every parameter by its gradient. `step` counts from 1.
  void update(std::int64_t step);

  /// What a checkpoint must hold beside the parameters; in their order.
  std::vector<Moments>& moments() { return moments_; }

 private:
  float learning_rate_;
  std::vector<Moments> moments_;
};

}  // namespace example
