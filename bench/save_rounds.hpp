#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "fio.hpp"
#include "result.hpp"

namespace cairn::bench {

/// Saves and loads of one large state, each beside its limit.
class SaveRounds {
 public:
  static constexpr unsigned tensors = 300;

  /// `directory` is empty and on the disk to be measured; `random` decides every order.
  SaveRounds(std::filesystem::path directory, std::uint64_t state_bytes, unsigned rounds, std::mt19937_64& random);

  /// Throws Error, also when what is on disk is not what was saved.
  std::vector<Result> run();

 private:
  std::filesystem::path directory_;
  std::uint64_t state_bytes_;
  unsigned rounds_;
  std::mt19937_64& random_;
};

}  // namespace cairn::bench
