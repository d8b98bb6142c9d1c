// The layers of the language model, each with its derivative by hand.

#include "layers.hpp"

#include <algorithm>
#include <cmath>

namespace example {

namespace {

Parameter make_parameter(std::string name, std::size_t rows, std::size_t columns) {
  return {std::move(name), Matrix(rows, columns), Matrix(rows, columns), std::nullopt};
}

void randomise(Matrix& matrix, float scale, Random& random) {
  for (std::size_t i = 0; i < matrix.size(); ++i)
    matrix.data()[i] = random.uniform(scale);
}

/// Row i keeps its first i + 1 numbers, as weights that add up to one.
void causal_softmax(Matrix& scores) {
  for (std::size_t i = 0; i < scores.rows(); ++i) {
    float* row = scores.row(i);
    const float highest = *std::max_element(row, row + i + 1);
    float total = 0;
    for (std::size_t j = 0; j <= i; ++j)
      total += row[j] = std::exp(row[j] - highest);
    for (std::size_t j = 0; j <= i; ++j)
      row[j] /= total;
    std::fill(row + i + 1, row + scores.columns(), 0.0F);
  }
}

/// From the gradient by the weights to the gradient by the scores, in place.
void causal_softmax_backward(const Matrix& weights, Matrix& gradient) {
  for (std::size_t i = 0; i < weights.rows(); ++i) {
    const float* weight = weights.row(i);
    float* row = gradient.row(i);
    float mean = 0;
    for (std::size_t j = 0; j <= i; ++j)
      mean += weight[j] * row[j];
    for (std::size_t j = 0; j < weights.columns(); ++j)
      row[j] = weight[j] * (row[j] - mean);
  }
}

}  // namespace

Linear::Linear(std::string name, std::size_t inputs, std::size_t outputs, Random& random)
    : weight(make_parameter(std::move(name), inputs, outputs)) {
  randomise(weight.value, std::sqrt(3.0F / static_cast<float>(inputs)), random);
}

Matrix Linear::forward(Matrix input) {
  input_ = std::move(input);
  return multiplied(input_, weight.value);
}

Matrix Linear::backward(const Matrix& output_gradient) {
  multiply_add(transposed(input_), output_gradient, weight.gradient);
  return multiplied(output_gradient, transposed(weight.value));
}

RmsNorm::RmsNorm(std::string name, std::size_t width) : gain(make_parameter(std::move(name), 1, width)) {
  gain.value.fill(1);
}

Matrix RmsNorm::forward(const Matrix& input) {
  const std::size_t width = input.columns();
  normalised_ = Matrix(input.rows(), width);
  scales_.assign(input.rows(), 0);
  Matrix output(input.rows(), width);
  for (std::size_t i = 0; i < input.rows(); ++i) {
    float squares = 0;
    for (std::size_t j = 0; j < width; ++j)
      squares += input.row(i)[j] * input.row(i)[j];
    scales_[i] = 1 / std::sqrt(squares / static_cast<float>(width) + 1e-5F);
    for (std::size_t j = 0; j < width; ++j) {
      normalised_.row(i)[j] = input.row(i)[j] * scales_[i];
      output.row(i)[j] = normalised_.row(i)[j] * gain.value.data()[j];
    }
  }
  return output;
}

Matrix RmsNorm::backward(const Matrix& output_gradient) {
  const std::size_t width = output_gradient.columns();
  const float* gains = gain.value.data();
  Matrix input_gradient(output_gradient.rows(), width);
  for (std::size_t i = 0; i < output_gradient.rows(); ++i) {
    const float* gradient = output_gradient.row(i);
    const float* normalised = normalised_.row(i);
    float along = 0;  // the part that only changes the row's length, which the division takes away
    for (std::size_t j = 0; j < width; ++j)
      along += gradient[j] * gains[j] * normalised[j];
    along /= static_cast<float>(width);
    for (std::size_t j = 0; j < width; ++j) {
      gain.gradient.data()[j] += gradient[j] * normalised[j];
      input_gradient.row(i)[j] = scales_[i] * (gradient[j] * gains[j] - normalised[j] * along);
    }
  }
  return input_gradient;
}

Matrix Silu::forward(Matrix input) {
  input_ = std::move(input);
  Matrix output(input_.rows(), input_.columns());
  for (std::size_t i = 0; i < input_.size(); ++i) {
    const float x = input_.data()[i];
    output.data()[i] = x / (1 + std::exp(-x));
  }
  return output;
}

Matrix Silu::backward(const Matrix& output_gradient) const {
  Matrix input_gradient(input_.rows(), input_.columns());
  for (std::size_t i = 0; i < input_.size(); ++i) {
    const float x = input_.data()[i];
    const float sigmoid = 1 / (1 + std::exp(-x));
    input_gradient.data()[i] = output_gradient.data()[i] * sigmoid * (1 + x * (1 - sigmoid));
  }
  return input_gradient;
}

CausalAttention::CausalAttention(const std::string& name, std::size_t width, std::size_t heads,
                                 std::size_t sequence_length, Random& random)
    : queries_keys_values(name + ".queries_keys_values", width, 3 * width, random),
      output(name + ".output", width, width, random),
      width_(width),
      heads_(heads),
      sequence_length_(sequence_length) {}

Matrix CausalAttention::forward(Matrix input) {
  const Matrix projected = queries_keys_values.forward(std::move(input));
  const std::size_t head_width = width_ / heads_;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  Matrix mixed(projected.rows(), width_);
  kept_.clear();
  for (std::size_t first = 0; first < projected.rows(); first += sequence_length_) {
    for (std::size_t column = 0; column < width_; column += head_width) {
      const auto part = [&](std::size_t which) {
        return block(projected, first, which * width_ + column, sequence_length_, head_width);
      };
      Head head{part(0), part(1), part(2), Matrix()};
      for (std::size_t i = 0; i < head.queries.size(); ++i)
        head.queries.data()[i] *= scale;
      head.weights = multiplied(head.queries, transposed(head.keys));
      causal_softmax(head.weights);
      add_block(multiplied(head.weights, head.values), first, column, mixed);
      kept_.push_back(std::move(head));
    }
  }
  return output.forward(std::move(mixed));
}

Matrix CausalAttention::backward(const Matrix& output_gradient) {
  const Matrix mixed_gradient = output.backward(output_gradient);
  const std::size_t head_width = width_ / heads_;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  Matrix projected_gradient(mixed_gradient.rows(), 3 * width_);
  auto head = kept_.begin();
  for (std::size_t first = 0; first < mixed_gradient.rows(); first += sequence_length_) {
    for (std::size_t column = 0; column < width_; column += head_width, ++head) {
      const Matrix gradient = block(mixed_gradient, first, column, sequence_length_, head_width);
      Matrix scores_gradient = multiplied(gradient, transposed(head->values));
      causal_softmax_backward(head->weights, scores_gradient);
      Matrix queries_gradient = multiplied(scores_gradient, head->keys);
      for (std::size_t i = 0; i < queries_gradient.size(); ++i)
        queries_gradient.data()[i] *= scale;
      add_block(queries_gradient, first, column, projected_gradient);
      add_block(multiplied(transposed(scores_gradient), head->queries), first, width_ + column, projected_gradient);
      add_block(multiplied(transposed(head->weights), gradient), first, 2 * width_ + column, projected_gradient);
    }
  }
  return queries_keys_values.backward(projected_gradient);
}

NgramEmbedding::NgramEmbedding(std::size_t length, std::size_t rows, std::size_t width, Random& random)
    : table{"embedding." + std::to_string(length), Matrix(rows, width), Matrix(), std::vector<std::size_t>()},
      length_(length) {
  randomise(table.value, 0.1F, random);
}

void NgramEmbedding::add_forward(const std::vector<std::uint8_t>& bytes, std::size_t sequence_length, Matrix& sum) {
  row_and_position_.clear();
  for (std::size_t position = 0; position < bytes.size(); ++position) {
    // Near the start of a sequence there are fewer bytes to look back on: those there are take the place.
    const std::size_t available = std::min(length_, position % sequence_length + 1);
    std::uint64_t key = 0;
    for (std::size_t back = available; back-- > 0;)
      key = key << 8 | bytes[position - back];
    const std::uint64_t hash = length_ == 1 ? key : Random(key << 8 | available).next();
    const std::size_t row = hash % table.value.rows();
    row_and_position_.emplace_back(row, position);
    for (std::size_t j = 0; j < sum.columns(); ++j)
      sum.row(position)[j] += table.value.row(row)[j];
  }
}

void NgramEmbedding::backward(const Matrix& output_gradient) {
  // Sorted, so that equal rows stand together and their sums are always formed in the same order.
  std::sort(row_and_position_.begin(), row_and_position_.end());
  auto& touched = *table.touched_rows;
  touched.clear();
  for (const auto& [row, position] : row_and_position_)
    if (touched.empty() || touched.back() != row) touched.push_back(row);
  table.gradient = Matrix(touched.size(), output_gradient.columns());
  std::size_t index = 0;
  for (const auto& [row, position] : row_and_position_) {
    if (touched[index] != row) ++index;
    for (std::size_t j = 0; j < output_gradient.columns(); ++j)
      table.gradient.row(index)[j] += output_gradient.row(position)[j];
  }
}

double cross_entropy(const Matrix& logits, const std::vector<std::uint8_t>& targets, Matrix& logits_gradient) {
  const double share = 1.0 / static_cast<double>(logits.rows());
  logits_gradient = Matrix(logits.rows(), logits.columns());
  double loss = 0;
  for (std::size_t i = 0; i < logits.rows(); ++i) {
    const float* row = logits.row(i);
    float* gradient = logits_gradient.row(i);
    const float highest = *std::max_element(row, row + logits.columns());
    double total = 0;
    for (std::size_t j = 0; j < logits.columns(); ++j)
      total += gradient[j] = std::exp(row[j] - highest);
    loss += share * (std::log(total) - static_cast<double>(row[targets[i]] - highest));
    for (std::size_t j = 0; j < logits.columns(); ++j)
      gradient[j] *= static_cast<float>(share / total);
    gradient[targets[i]] -= static_cast<float>(share);
  }
  return loss;
}

}  // namespace example
