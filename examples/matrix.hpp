#pragma once

#include <cstddef>
#include <vector>

namespace example {

/// Rows of floats, one after the other.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), values_(rows * columns) {}

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t size() const { return values_.size(); }

  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  float* row(std::size_t index) { return values_.data() + index * columns_; }
  const float* row(std::size_t index) const { return values_.data() + index * columns_; }

  void fill(float value) { values_.assign(values_.size(), value); }

 private:
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::vector<float> values_;
};

/// sum += a · b. The sums are always formed in the same order: the same numbers give the same bits.
void multiply_add(const Matrix& a, const Matrix& b, Matrix& sum);

/// a · b
Matrix multiplied(const Matrix& a, const Matrix& b);

Matrix transposed(const Matrix& a);

/// sum += a
void add(const Matrix& a, Matrix& sum);

/// The block of `rows` × `columns` whose upper left corner is (row, column), and its way back: sum += block, there.
Matrix block(const Matrix& whole, std::size_t row, std::size_t column, std::size_t rows, std::size_t columns);
void add_block(const Matrix& block, std::size_t row, std::size_t column, Matrix& sum);

}  // namespace example
