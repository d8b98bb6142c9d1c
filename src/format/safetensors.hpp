#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/dtype.hpp"

namespace cairn::format {

/// Readers of safetensors refuse longer headers (JSON, padding included).
inline constexpr std::uint64_t header_json_bytes_max = 100'000'000;

/// The u64 before the JSON.
inline constexpr std::uint64_t header_prefix_bytes = 8;

/// The data of files that cairn writes begins on a multiple of this.
inline constexpr std::uint64_t data_alignment_bytes = 4096;

/// One tensor of a file. [begin, end) is relative to the data, that is to Header::header_bytes.
struct Entry {
  std::string name;
  DType dtype = DType::u8;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct Header {
  std::vector<Entry> entries;                   ///< in the order of the data
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
  std::uint64_t header_bytes = 0;               ///< where the data begins: 8 + length of the JSON

  /// The entry of this name, or null. Linear; for many look-ups make an index.
  const Entry* find(std::string_view name) const noexcept;
};

/// The length of the JSON, from the first eight bytes of a file. Throws damaged, naming the file, when there are fewer
/// bytes, when the JSON would be longer than readers take or reach past the end of the file, or is too short to be one.
std::uint64_t header_json_bytes(std::span<const std::byte> first_bytes, std::uint64_t file_bytes,
                                const std::string& file_name);

/// Reads the JSON of a header (what follows the first eight bytes) with every check that the safetensors format asks
/// for: names come once, are valid and not reserved; dtypes are known; sizes do not overflow and agree with shape and
/// dtype; the data has no gap and no overlap, and ends where the file ends. Throws damaged, naming the file.
Header parse_header(std::span<const std::byte> json, std::uint64_t file_bytes, const std::string& file_name);

/// Adds `"dtype":…,"shape":[…],"data_offsets":[…]`, the members of an entry.
void append_members(std::string& json, const Entry& entry);

/// Puts the length before the JSON (which it gets as a whole, braces included) and pads it with spaces so that the data
/// begins on a multiple of 4096. Throws bad_argument when it is longer than readers take.
std::string frame_header(std::string json);

}  // namespace cairn::format
