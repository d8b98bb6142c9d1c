#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/digest.hpp"

namespace cairn::format {

inline constexpr std::int64_t sidecar_format_version = 1;

/// What stands beside a rank's data file. Field by field: docs/format.md.
struct Sidecar {
  std::int64_t format_version = sidecar_format_version;
  std::string attempt;  ///< id of the save that wrote it
  std::int64_t rank = 0;
  std::int64_t world_size = 1;
  std::string data_file;  ///< name in the same directory
  std::uint64_t data_bytes = 0;
  std::vector<Digest> digests;      ///< of each digest_block_bytes of the data file
  std::string tensors_json = "[]";  ///< JSON array: what tensors there are and where, as Image::tensors_json has it
};

std::string write_sidecar(const Sidecar& sidecar);

/// Throws damaged, naming `file`, unless every field is there and they agree. Fields that are not known are let be;
/// another format version is damaged as well, saying so. Read `tensors_json` from the data file's header instead: the
/// parsed sidecar has it empty.
Sidecar parse_sidecar(std::string_view text, const std::string& file);

/// "rank-00001-of-00004" + extension. Throws bad_argument unless 0 <= rank < world_size.
std::string rank_file_name(std::int64_t rank, std::int64_t world_size, std::string_view extension);

}  // namespace cairn::format
