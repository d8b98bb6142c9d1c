#include "format/sidecar.hpp"

#include <cstdio>

#include "cairn/error.hpp"
#include "format/file_name.hpp"
#include "format/json.hpp"

namespace cairn::format {

namespace {

// Tensors are arrays of objects with arrays; fields to come may nest a little deeper.
constexpr unsigned sidecar_depth_max = 16;

}  // namespace

std::string rank_file_name(std::int64_t rank, std::int64_t world_size, std::string_view extension) {
  if (rank < 0 || rank >= world_size)
    throw Error(Errc::bad_argument, "rank " + std::to_string(rank) + " of " + std::to_string(world_size));
  char name[64];
  std::snprintf(name, sizeof(name), "rank-%05lld-of-%05lld", static_cast<long long>(rank),
                static_cast<long long>(world_size));
  return std::string(name).append(extension);
}

std::string write_sidecar(const Sidecar& sidecar) {
  std::string json = "{\n\"format_version\": " + std::to_string(sidecar.format_version);
  json += ",\n\"attempt\": ";
  append_json_string(json, sidecar.attempt);
  json += ",\n\"rank\": " + std::to_string(sidecar.rank);
  json += ",\n\"world_size\": " + std::to_string(sidecar.world_size);
  json += ",\n\"data_file\": ";
  append_json_string(json, sidecar.data_file);
  json += ",\n\"data_bytes\": " + std::to_string(sidecar.data_bytes);
  json += ",\n\"digest_block_bytes\": " + std::to_string(digest_block_bytes);
  json += ",\n\"digests\": [";
  for (std::size_t block = 0; block < sidecar.digests.size(); ++block)
    json += (block == 0 ? "\n\"" : ",\n\"") + to_hex(sidecar.digests[block]) + "\"";
  json += "],\n\"tensors\": " + sidecar.tensors_json + "\n}\n";
  return json;
}

Sidecar parse_sidecar(std::string_view text, const std::string& file) {
  const std::string where = "read sidecar " + file;
  const auto require = [&where](bool condition, const char* what) {
    if (!condition) throw Error(Errc::damaged, where + ": " + what);
  };
  const Json json = parse_json(text, sidecar_depth_max, where);

  Sidecar sidecar;
  sidecar.format_version = json.member("format_version", where).int64(where + " format_version");
  if (sidecar.format_version != sidecar_format_version)
    throw Error(Errc::damaged, where + ": format version " + std::to_string(sidecar.format_version) +
                                   ", this library reads " + std::to_string(sidecar_format_version));
  sidecar.attempt = json.member("attempt", where).string(where + " attempt");
  sidecar.rank = json.member("rank", where).int64(where + " rank");
  sidecar.world_size = json.member("world_size", where).int64(where + " world_size");
  require(sidecar.rank >= 0 && sidecar.rank < sidecar.world_size, "rank outside of the world size");
  sidecar.data_file = json.member("data_file", where).string(where + " data_file");
  require(is_plain_file_name(sidecar.data_file), "data_file is not a file name");
  sidecar.data_bytes = json.member("data_bytes", where).uint64(where + " data_bytes");
  require(json.member("digest_block_bytes", where).uint64(where + " digest_block_bytes") == digest_block_bytes,
          "digest_block_bytes is not 1 MiB");

  const Json::Array& digests = json.member("digests", where).array(where + " digests");
  const std::uint64_t blocks =
      sidecar.data_bytes / digest_block_bytes + (sidecar.data_bytes % digest_block_bytes != 0 ? 1 : 0);
  require(digests.size() == blocks, "digests and data_bytes do not agree");
  sidecar.digests.reserve(digests.size());
  for (const Json& hex : digests) {
    const std::optional<Digest> digest = from_hex(hex.string(where + " digests"));
    require(digest.has_value(), "a digest that is not 32 hexadecimal digits");
    sidecar.digests.push_back(*digest);
  }
  json.member("tensors", where).array(where + " tensors");
  return sidecar;
}

}  // namespace cairn::format
