#include "checkpoint/checkpoint_order.hpp"

#include <algorithm>

namespace cairn::checkpoint {
namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

std::string_view without_leading_zeros(std::string_view digits) noexcept {
  const auto first = std::min(digits.find_first_not_of('0'), digits.size());
  return digits.substr(first);
}

/// Of digits without leading zeros, of any length.
int compare_numbers(std::string_view left, std::string_view right) noexcept {
  if (left.size() != right.size()) return left.size() < right.size() ? -1 : 1;
  return left.compare(right);
}

/// Takes the digits at the beginning away.
std::string_view take_digits(std::string_view& text) noexcept {
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  const std::string_view digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(digits.size());
  return digits;
}

}  // namespace

int compare_natural(std::string_view left, std::string_view right) noexcept {
  const std::string_view whole_left = left;
  const std::string_view whole_right = right;
  while (!left.empty() && !right.empty()) {
    if (is_digit(left.front()) && is_digit(right.front())) {
      const int order =
          compare_numbers(without_leading_zeros(take_digits(left)), without_leading_zeros(take_digits(right)));
      if (order != 0) return order;
    } else {
      if (left.front() != right.front()) {
        return static_cast<unsigned char>(left.front()) < static_cast<unsigned char>(right.front()) ? -1 : 1;
      }
      left.remove_prefix(1);
      right.remove_prefix(1);
    }
  }
  if (left.empty() != right.empty()) return left.empty() ? -1 : 1;
  return whole_left.compare(whole_right);
}

std::string_view number_at_end(std::string_view name) noexcept {
  const auto begin = std::find_if_not(name.rbegin(), name.rend(), is_digit).base();
  const std::string_view digits = name.substr(static_cast<std::size_t>(begin - name.begin()));
  const std::string_view number = without_leading_zeros(digits);
  return number.empty() && !digits.empty() ? digits.substr(digits.size() - 1) : number;
}

bool newer(const CheckpointRank& left, const CheckpointRank& right) noexcept {
  if (left.step != right.step) return left.step > right.step;  // nothing is less than any step
  // Empty (no number) is shorter than any number.
  const int numbers = compare_numbers(number_at_end(left.name), number_at_end(right.name));
  if (numbers != 0) return numbers > 0;
  return compare_natural(left.name, right.name) > 0;
}

}  // namespace cairn::checkpoint
