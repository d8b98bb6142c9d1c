#pragma once

#include <algorithm>
#include <array>
#include <cairn/state.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace cairn::test {

/// A model whose tensors all hold one number, the step: so a mixture of two saves shows itself.
class UniformState {
 public:
  static constexpr std::size_t tensors = 4;

  explicit UniformState(std::int64_t bytes) {
    const std::int64_t elements = bytes / static_cast<std::int64_t>(tensors * sizeof(std::int64_t));
    for (std::size_t at = 0; at < tensors; ++at) {
      memory_[at].resize(static_cast<std::size_t>(elements));
      const std::vector<std::int64_t> shape(1, elements);
      state_["model"][std::to_string(at)] = tensor(memory_[at].data(), shape);
    }
    fill(0);
  }

  void fill(std::int64_t step) {
    for (auto& each : memory_)
      std::fill(each.begin(), each.end(), step);
    state_["step"] = step;
  }

  StateDict& state() noexcept { return state_; }
  std::int64_t step() const { return state_.at("step").as<std::int64_t>(); }

  bool is_uniform() const {
    return std::all_of(memory_.begin(), memory_.end(), [this](const auto& each) {
      return std::all_of(each.begin(), each.end(), [this](std::int64_t element) { return element == step(); });
    });
  }

 private:
  std::array<std::vector<std::int64_t>, tensors> memory_;
  StateDict state_;
};

}  // namespace cairn::test
