#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "memory.hpp"

namespace cairn::bench {

/// The fastest way there is here to copy much memory, with as many threads as cairn copies with.
class CopyLimit {
 public:
  /// Tries several ways on the first `bytes` of the two, three times each in random order, and keeps the best one.
  CopyLimit(const Memory& destination, const Memory& source, std::uint64_t bytes, std::mt19937_64& random);

  /// What won.
  const std::string& name() const noexcept { return best_.name; }

  /// Copies all of it once more; bytes per second.
  double run() const;

 private:
  struct Way {
    std::string name;
    void (*copy)(std::byte* destination, const std::byte* source, std::uint64_t bytes) = nullptr;
    bool in_turn = false;  ///< threads take the next chunk when they are done with one; else each has its part
  };
  double run(const Way& way) const;

  const Memory& destination_;
  const Memory& source_;
  std::uint64_t bytes_;
  Way best_;
};

}  // namespace cairn::bench
