#include <algorithm>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_order.hpp"
#include "support/catch.hpp"

using cairn::checkpoint::CheckpointRank;
using cairn::checkpoint::compare_natural;
using cairn::checkpoint::newer;
using cairn::checkpoint::number_at_end;

TEST_CASE("Digits in names count as numbers") {
  CHECK(compare_natural("step-9", "step-10") < 0);
  CHECK(compare_natural("a10b2", "a10b10") < 0);
  CHECK(compare_natural("a", "b") < 0);
  CHECK(compare_natural("a", "a1") < 0);
  CHECK(compare_natural("step-10", "step-10") == 0);
  CHECK(compare_natural("99999999999999999999999", "100000000000000000000000") < 0);
  CHECK(compare_natural("step-010", "step-9") > 0);
  CHECK(compare_natural("step-010", "step-10") != 0);
  CHECK(compare_natural("", "") == 0);
}

TEST_CASE("The number at the end of a name") {
  CHECK(number_at_end("step-001200") == "1200");
  CHECK(number_at_end("12") == "12");
  CHECK(number_at_end("step-000") == "0");
  CHECK(number_at_end("3-final").empty());
  CHECK(number_at_end("").empty());
}

TEST_CASE("The newest has the highest step, else the highest number at the end, else the last name") {
  // Newest first.
  const std::vector<CheckpointRank> expected = {
      {20, "a"},
      {10, "z-7"},
      {10, "b"},
      {-1, "x"},
      {std::nullopt, "other-1000"},
      {std::nullopt, "step-200"},
      {std::nullopt, "a-0"},
      {std::nullopt, "last"},
      {std::nullopt, "best"},
  };
  for (std::size_t left = 0; left < expected.size(); ++left) {
    for (std::size_t right = 0; right < expected.size(); ++right) {
      INFO(expected[left].name << " and " << expected[right].name);
      CHECK(newer(expected[left], expected[right]) == (left < right));
    }
  }
}
