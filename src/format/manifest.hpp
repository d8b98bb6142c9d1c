#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/digest.hpp"

namespace cairn::format {

inline constexpr std::int64_t manifest_format_version = 1;

/// One file of a checkpoint.
struct FileEntry {
  enum class Kind { data, sidecar };

  std::string name;  ///< in the checkpoint's directory
  std::uint64_t bytes = 0;
  Digest digest;  ///< data: of the concatenated block digests; sidecar: of its bytes
  Kind kind = Kind::data;
};

/// What makes a directory a checkpoint. Field by field: docs/format.md.
struct Manifest {
  std::int64_t format_version = manifest_format_version;
  std::string library_version;
  std::int64_t world_size = 1;
  std::optional<std::int64_t> step;
  std::string attempt;
  std::string created;  ///< ISO 8601, for people: nothing depends on it
  std::vector<FileEntry> files;
  std::map<std::string, std::string> metadata;  ///< the user's

  /// The entry of this name, or null.
  const FileEntry* find(std::string_view name) const noexcept;
};

/// Its last member, "digest", is the digest of all bytes before it.
/// Throws bad_argument, naming the key, for metadata that is not valid UTF-8.
std::string write_manifest(const Manifest& manifest);

/// Throws damaged, naming `file`: wrong digest, missing or wrong fields, another format version, a file name that
/// leaves the directory or comes twice, a rank whose data file or sidecar is not listed.
Manifest parse_manifest(std::string_view text, const std::string& file);

}  // namespace cairn::format
