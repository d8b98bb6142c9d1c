#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "matrix.hpp"
#include "random.hpp"

namespace example {

/// What training changes: a matrix of weights, and the gradient of the loss by them.
struct Parameter {
  std::string name;
  Matrix value;
  /// One row for each row of `value`; or, where `touched_rows` is given, one for each row named there, the others
  /// having no gradient. So a table of many gigabytes costs a step only the rows that it read.
  Matrix gradient;
  std::optional<std::vector<std::size_t>> touched_rows;
};

/// Every layer keeps from forward() what backward() needs. backward() takes the gradient of the loss by the layer's
/// output, adds to its parameters' gradients, and returns the gradient by its input. A row is one position of the text.

/// output = input · weight
class Linear {
 public:
  Linear(std::string name, std::size_t inputs, std::size_t outputs, Random& random);
  Matrix forward(Matrix input);
  Matrix backward(const Matrix& output_gradient);

  Parameter weight;

 private:
  Matrix input_;
};

/// Divides each row by its root mean square, then multiplies each column by its gain.
class RmsNorm {
 public:
  RmsNorm(std::string name, std::size_t width);
  Matrix forward(const Matrix& input);
  Matrix backward(const Matrix& output_gradient);

  Parameter gain;

 private:
  Matrix normalised_;
  std::vector<float> scales_;
};

/// x · sigmoid(x), number by number.
class Silu {
 public:
  Matrix forward(Matrix input);
  Matrix backward(const Matrix& output_gradient) const;

 private:
  Matrix input_;
};

/// Self-attention with several heads; a position sees itself and what is before it in its own sequence.
class CausalAttention {
 public:
  /// `sequence_length` rows of the input make one sequence; `width` is a multiple of `heads`.
  CausalAttention(const std::string& name, std::size_t width, std::size_t heads, std::size_t sequence_length,
                  Random& random);
  Matrix forward(Matrix input);
  Matrix backward(const Matrix& output_gradient);

  Linear queries_keys_values;
  Linear output;

 private:
  struct Head {
    Matrix queries, keys, values, weights;
  };

  std::size_t width_;
  std::size_t heads_;
  std::size_t sequence_length_;
  std::vector<Head> kept_;
};

/// One row for each sequence of `length` bytes that ends at a position, found by a hash of the bytes (or, for single
/// bytes, by the byte itself). Sequences that fall on the same row share it.
class NgramEmbedding {
 public:
  NgramEmbedding(std::size_t length, std::size_t rows, std::size_t width, Random& random);

  /// Adds the rows for every position of `bytes`, in sequences of `sequence_length`, to `sum`.
  void add_forward(const std::vector<std::uint8_t>& bytes, std::size_t sequence_length, Matrix& sum);
  void backward(const Matrix& output_gradient);

  Parameter table;

 private:
  std::size_t length_;
  std::vector<std::pair<std::size_t, std::size_t>> row_and_position_;
};

/// The mean of -log softmax(logits)[target] over the rows, and its gradient by the logits.
double cross_entropy(const Matrix& logits, const std::vector<std::uint8_t>& targets, Matrix& logits_gradient);

}  // namespace example
