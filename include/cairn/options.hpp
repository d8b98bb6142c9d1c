#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "cairn/device.hpp"

namespace cairn {

/// What may be said about one save. `SaveOptions().step(7).metadata("loss", "2.31")`
class SaveOptions {
 public:
  SaveOptions() = default;

  /// Reaches the hooks and stands in the manifest.
  SaveOptions& metadata(std::string key, std::string value) {
    metadata_.insert_or_assign(std::move(key), std::move(value));
    return *this;
  }
  SaveOptions& metadata(std::map<std::string, std::string> entries) {
    for (auto& [key, value] : entries)
      metadata_.insert_or_assign(key, std::move(value));
    return *this;
  }

  /// The training step: what `latest_checkpoint` orders by.
  SaveOptions& step(std::int64_t step) {
    step_ = step;
    return *this;
  }

  /// After this save is durable, the checkpoints beside it are deleted but for the newest `count` (this one counts).
  SaveOptions& keep_last(unsigned count) {
    keep_last_ = count;
    return *this;
  }

  /// A stop before the commit is decided ends the save with Errc::cancelled; after it, it has no effect.
  SaveOptions& stop_token(std::stop_token token) {
    stop_token_ = std::move(token);
    return *this;
  }

  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  std::optional<std::int64_t> step() const noexcept { return step_; }
  std::optional<unsigned> keep_last() const noexcept { return keep_last_; }
  const std::stop_token& stop_token() const noexcept { return stop_token_; }

 private:
  std::map<std::string, std::string> metadata_;
  std::optional<std::int64_t> step_;
  std::optional<unsigned> keep_last_;
  std::stop_token stop_token_;
};

/// What may be said about one load.
class LoadOptions {
 public:
  LoadOptions() = default;

  /// true (default): every key of the target must be in the checkpoint. false: LoadReport::missing_keys lists the rest.
  LoadOptions& strict(bool strict) {
    strict_ = strict;
    return *this;
  }

  /// false: digests are not checked (sizes and headers still are).
  LoadOptions& verify(bool verify) {
    verify_ = verify;
    return *this;
  }

  /// Where tensors go that the load itself makes.
  LoadOptions& map_location(Device device) {
    map_location_ = device;
    return *this;
  }

  /// Only these key paths ("model.layers[0].weight"; a path that names a subtree means all of it).
  LoadOptions& keys(std::vector<std::string> paths) {
    keys_ = std::move(paths);
    return *this;
  }

  bool strict() const noexcept { return strict_; }
  bool verify() const noexcept { return verify_; }
  std::optional<Device> map_location() const noexcept { return map_location_; }
  const std::vector<std::string>& keys() const noexcept { return keys_; }

 private:
  bool strict_ = true;
  bool verify_ = true;
  std::optional<Device> map_location_;
  std::vector<std::string> keys_;
};

}  // namespace cairn
