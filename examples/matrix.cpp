// The few matrix operations of the language model. A dot product cannot be vectorised without changing the order of
// its additions, and so its result; here every inner loop runs over independent sums instead, which can.

#include "matrix.hpp"

#include <algorithm>
#include <cassert>

namespace example {

namespace {

/// As many sums as the sixteen vector registers of plain x86-64 hold with room for the factors.
constexpr std::size_t sums_at_once = 32;

}  // namespace

void multiply_add(const Matrix& a, const Matrix& b, Matrix& sum) {
  assert(a.columns() == b.rows() && sum.rows() == a.rows() && sum.columns() == b.columns());
  const std::size_t columns = b.columns();
  const std::size_t whole = columns - columns % sums_at_once;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    const float* factors = a.row(i);
    for (std::size_t j = 0; j < whole; j += sums_at_once) {
      float sums[sums_at_once];
      std::copy_n(sum.row(i) + j, sums_at_once, sums);
      for (std::size_t k = 0; k < a.columns(); ++k) {
        const float factor = factors[k];
        const float* values = b.row(k) + j;
        for (std::size_t l = 0; l < sums_at_once; ++l)
          sums[l] += factor * values[l];
      }
      std::copy_n(sums, sums_at_once, sum.row(i) + j);
    }
    for (std::size_t k = 0; k < a.columns(); ++k)
      for (std::size_t j = whole; j < columns; ++j)
        sum.row(i)[j] += factors[k] * b.row(k)[j];
  }
}

Matrix multiplied(const Matrix& a, const Matrix& b) {
  Matrix product(a.rows(), b.columns());
  multiply_add(a, b, product);
  return product;
}

Matrix transposed(const Matrix& a) {
  Matrix result(a.columns(), a.rows());
  for (std::size_t i = 0; i < a.rows(); ++i)
    for (std::size_t j = 0; j < a.columns(); ++j)
      result.row(j)[i] = a.row(i)[j];
  return result;
}

void add(const Matrix& a, Matrix& sum) {
  assert(a.rows() == sum.rows() && a.columns() == sum.columns());
  for (std::size_t i = 0; i < a.size(); ++i)
    sum.data()[i] += a.data()[i];
}

Matrix block(const Matrix& whole, std::size_t row, std::size_t column, std::size_t rows, std::size_t columns) {
  assert(row + rows <= whole.rows() && column + columns <= whole.columns());
  Matrix result(rows, columns);
  for (std::size_t i = 0; i < rows; ++i)
    std::copy_n(whole.row(row + i) + column, columns, result.row(i));
  return result;
}

void add_block(const Matrix& block, std::size_t row, std::size_t column, Matrix& sum) {
  assert(row + block.rows() <= sum.rows() && column + block.columns() <= sum.columns());
  for (std::size_t i = 0; i < block.rows(); ++i)
    for (std::size_t j = 0; j < block.columns(); ++j)
      sum.row(row + i)[column + j] += block.row(i)[j];
}

}  // namespace example
