#include "format/safetensors.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "cairn/error.hpp"
#include "format/json.hpp"

namespace cairn::format {

namespace {

// Object of entries, entry, shape or offsets.
constexpr unsigned header_depth_max = 4;
constexpr std::string_view metadata_name = "__metadata__";

[[noreturn]] void refuse(const std::string& file_name, const std::string& what) {
  throw Error(Errc::damaged, "read header of " + file_name + ": " + what);
}

std::string quoted(std::string_view name) {
  std::string text;
  append_json_string(text, name);
  return text;
}

// Bytes of a tensor, or nothing when they overflow or are not whole.
std::optional<std::uint64_t> packed_bytes(DType dtype, const std::vector<std::int64_t>& shape) {
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  std::uint64_t bits = bits_per_element(dtype);
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(extent), &bits)) return std::nullopt;
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

Entry read_entry(const std::string& name, const Json& json, const std::string& file_name) {
  const std::string where = "read header of " + file_name + ": tensor " + quoted(name);
  Entry entry;
  entry.name = name;
  if (name.find('\0') != std::string::npos) throw Error(Errc::damaged, where + ": NUL in the name");

  const std::string& dtype_name = json.member("dtype", where).string(where + " dtype");
  const std::optional<DType> dtype = dtype_from_string(dtype_name);
  if (!dtype) throw Error(Errc::damaged, where + ": unknown dtype " + quoted(dtype_name));
  entry.dtype = *dtype;

  for (const Json& extent : json.member("shape", where).array(where + " shape")) {
    const std::uint64_t value = extent.uint64(where + " shape");
    if (!std::in_range<std::int64_t>(value)) throw Error(Errc::damaged, where + ": extent out of range");
    entry.shape.push_back(static_cast<std::int64_t>(value));
  }

  const Json::Array& offsets = json.member("data_offsets", where).array(where + " data_offsets");
  if (offsets.size() != 2) throw Error(Errc::damaged, where + ": data_offsets are not two");
  entry.begin = offsets[0].uint64(where + " data_offsets");
  entry.end = offsets[1].uint64(where + " data_offsets");
  if (entry.end < entry.begin) throw Error(Errc::damaged, where + ": ends before it begins");

  const std::optional<std::uint64_t> bytes = packed_bytes(entry.dtype, entry.shape);
  if (!bytes || *bytes != entry.end - entry.begin)
    throw Error(Errc::damaged, where + ": dtype, shape and data_offsets do not agree");
  return entry;
}

// Offsets follow one another from 0 to the end of the file.
void check_offsets(const std::vector<Entry>& entries, std::uint64_t data_bytes, const std::string& file_name) {
  std::uint64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected)
      refuse(file_name, "tensor " + quoted(entry.name) + " begins at " + std::to_string(entry.begin) + " where " +
                            std::to_string(expected) + " is due");
    expected = entry.end;
  }
  if (expected != data_bytes)
    refuse(file_name,
           "tensors end at " + std::to_string(expected) + " of " + std::to_string(data_bytes) + " bytes of data");
}

}  // namespace

const Entry* Header::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(entries, name, &Entry::name);
  return found == entries.end() ? nullptr : &*found;
}

std::uint64_t header_json_bytes(std::span<const std::byte> first_bytes, std::uint64_t file_bytes,
                                const std::string& file_name) {
  if (file_bytes < header_prefix_bytes || first_bytes.size() < header_prefix_bytes)
    refuse(file_name, "shorter than the length of a header");
  std::uint64_t length = 0;
  for (std::size_t index = header_prefix_bytes; index-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(first_bytes[index]);
  if (length < 2) refuse(file_name, "length " + std::to_string(length) + " is too short for JSON");
  if (length > header_json_bytes_max)
    refuse(file_name, "length " + std::to_string(length) + " is over " + std::to_string(header_json_bytes_max));
  if (length > file_bytes - header_prefix_bytes)
    refuse(file_name, "length " + std::to_string(length) + " reaches past the end of the file");
  return length;
}

Header parse_header(std::span<const std::byte> json, std::uint64_t file_bytes, const std::string& file_name) {
  Header header;
  header.header_bytes = header_prefix_bytes + json.size();
  if (json.size() > header_json_bytes_max || header.header_bytes > file_bytes)
    refuse(file_name, "reaches past the end of the file");
  const std::string_view text(reinterpret_cast<const char*>(json.data()), json.size());
  if (!text.starts_with('{')) refuse(file_name, "does not begin with {");

  const std::string where = "read header of " + file_name;
  const Json parsed = parse_json(text, header_depth_max, where);
  for (const auto& [name, value] : parsed.object(where)) {
    if (name == metadata_name) {
      for (const auto& [key, member] : value.object(where + " __metadata__"))
        header.metadata.emplace(key, member.string(where + " __metadata__"));
    } else {
      header.entries.push_back(read_entry(name, value, file_name));
    }
  }
  std::ranges::sort(header.entries, {}, [](const Entry& entry) {
    return std::tuple<std::uint64_t, std::uint64_t, std::string_view>(entry.begin, entry.end, entry.name);
  });
  check_offsets(header.entries, file_bytes - header.header_bytes, file_name);
  return header;
}

void append_members(std::string& json, const Entry& entry) {
  json += "\"dtype\":\"";
  json += to_string(entry.dtype);
  json += "\",\"shape\":[";
  for (std::size_t dimension = 0; dimension < entry.shape.size(); ++dimension) {
    if (dimension > 0) json += ',';
    json += std::to_string(entry.shape[dimension]);
  }
  json += "],\"data_offsets\":[";
  json += std::to_string(entry.begin);
  json += ',';
  json += std::to_string(entry.end);
  json += ']';
}

std::string frame_header(std::string json) {
  const std::uint64_t end = header_prefix_bytes + json.size();
  const std::uint64_t padded = (end + data_alignment_bytes - 1) / data_alignment_bytes * data_alignment_bytes;
  const std::uint64_t length = padded - header_prefix_bytes;
  if (length > header_json_bytes_max)
    throw Error(Errc::bad_argument, "header of " + std::to_string(length) + " bytes, at most " +
                                        std::to_string(header_json_bytes_max) + " can be read");
  std::string header;
  header.reserve(padded);
  for (unsigned shift = 0; shift < 64; shift += 8)
    header += static_cast<char>(length >> shift & 0xFF);
  header += json;
  header.resize(padded, ' ');
  return header;
}

}  // namespace cairn::format
