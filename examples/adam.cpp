#include "adam.hpp"

#include <cmath>

namespace example {

namespace {

constexpr float first_decay = 0.9F;
constexpr float second_decay = 0.99F;
constexpr float epsilon = 1e-8F;

}  // namespace

Adam::Adam(const std::vector<Parameter*>& parameters, float learning_rate) : learning_rate_(learning_rate) {
  for (Parameter* parameter : parameters) {
    const Matrix& value = parameter->value;
    moments_.push_back({parameter, Matrix(value.rows(), value.columns()), Matrix(value.rows(), value.columns())});
  }
}

void Adam::update(std::int64_t step) {
  const float first_share = 1 - std::pow(first_decay, static_cast<float>(step));
  const float second_share = 1 - std::pow(second_decay, static_cast<float>(step));
  for (Moments& moments : moments_) {
    Parameter& parameter = *moments.parameter;
    for (std::size_t i = 0; i < parameter.gradient.rows(); ++i) {
      const std::size_t row = parameter.touched_rows ? (*parameter.touched_rows)[i] : i;
      const float* gradient = parameter.gradient.row(i);
      float* value = parameter.value.row(row);
      float* first = moments.first.row(row);
      float* second = moments.second.row(row);
      for (std::size_t j = 0; j < parameter.value.columns(); ++j) {
        first[j] = first_decay * first[j] + (1 - first_decay) * gradient[j];
        second[j] = second_decay * second[j] + (1 - second_decay) * gradient[j] * gradient[j];
        value[j] -= learning_rate_ * (first[j] / first_share) / (std::sqrt(second[j] / second_share) + epsilon);
      }
    }
  }
}

}  // namespace example
