#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "cairn/rank_info.hpp"

namespace cairn::checkpoint {

/// What stands in a slot beside the image: all that must be known to write and commit it without the trainer.
struct SaveRequest {
  std::filesystem::path path;  ///< absolute
  std::string attempt;
  RankInfo rank;
  std::optional<std::int64_t> step;
  std::optional<std::int64_t> keep_last;
  std::map<std::string, std::string> metadata;
  std::string tensors_json;  ///< for the sidecar

  std::string encode() const;
  static SaveRequest decode(std::string_view text);
};

}  // namespace cairn::checkpoint
