#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>

#include "memory.hpp"

namespace cairn::bench {

/// The fastest way there is here to copy much memory, with as many threads as cairn copies with.
class CopyLimit {
 public:
  /// Tries several ways on the first `bytes` of the two, three times each in random order, and keeps the best one.
  CopyLimit(const Memory& destination, const Memory& source, std::uint64_t bytes, std::mt19937_64& random);

  /// What won: "memcpy of one part each", ...
  const std::string& name() const noexcept { return name_; }

  /// Copies all of it once more; bytes per second.
  double run() const;

 private:
  using Copy = std::function<void(std::byte* destination, const std::byte* source, std::uint64_t bytes)>;
  double run(const Copy& copy) const;

  const Memory& destination_;
  const Memory& source_;
  std::uint64_t bytes_;
  std::string name_;
  Copy best_;
};

}  // namespace cairn::bench
