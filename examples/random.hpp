#pragma once

#include <cmath>
#include <cstdint>

namespace example {

/// SplitMix64: a random generator whose whole state is one integer, so that it goes into a checkpoint as one.
class Random {
 public:
  explicit Random(std::uint64_t state) : state_(state) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  /// Uniform in [0, bound); the bias of the remainder does not matter for bounds far below 2^64.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  /// Uniform in [-scale, scale).
  float uniform(float scale) { return (static_cast<float>(next() >> 40) * 0x1p-23F - 1.0F) * scale; }

  std::uint64_t state() const { return state_; }

 private:
  std::uint64_t state_;
};

}  // namespace example
