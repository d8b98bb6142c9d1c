#pragma once

#include <cairn/state.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace cairn::test {

/// A checkpoint as the executor leaves it, in memory: for tests of reading that want to change something before it is
/// written, and that do without processes.
class CheckpointText {
 public:
  explicit CheckpointText(const StateDict& state, std::optional<std::int64_t> step = std::nullopt);

  std::string data;  ///< the safetensors file
  std::string attempt = "0123456789abcdef0123456789abcdef";
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  std::optional<std::int64_t> step;
  std::map<std::string, std::string> metadata;
  std::string tensors_json;

  std::string data_name() const;
  std::string sidecar_name() const;
  std::string sidecar() const;

  /// With the digests of `data` and `sidecar` as they are.
  std::string manifest(const std::string& sidecar_text) const;

  /// Writes the directory. What is in `data` by now is what the digests vouch for.
  void write(const std::filesystem::path& path) const;
};

/// Writes `state` as a whole checkpoint.
void write_checkpoint(const std::filesystem::path& path, const StateDict& state,
                      std::optional<std::int64_t> step = std::nullopt);

void write_text(const std::filesystem::path& file, const std::string& text);
std::string read_text(const std::filesystem::path& file);

/// Inverts all bits of one byte.
void flip_byte(const std::filesystem::path& file, std::uint64_t offset);

inline constexpr const char* data_file_name = "rank-00000-of-00001.safetensors";
inline constexpr const char* sidecar_file_name = "rank-00000-of-00001.json";

}  // namespace cairn::test
