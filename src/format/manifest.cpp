#include "format/manifest.hpp"

#include <algorithm>
#include <set>

#include "cairn/error.hpp"
#include "format/file_name.hpp"
#include "format/json.hpp"
#include "format/sidecar.hpp"

namespace cairn::format {

namespace {

constexpr unsigned manifest_depth_max = 16;

// The text ends with these, around 32 hexadecimal digits. The digest is of everything before the name of this member.
constexpr std::string_view digest_prefix = "\"digest\": \"";
constexpr std::string_view digest_suffix = "\"\n}\n";
constexpr std::size_t digest_digits = 32;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(Errc::damaged, where + ": " + what);
}

void check_digest(std::string_view text, const std::string& where) {
  constexpr std::size_t tail_bytes = digest_prefix.size() + digest_digits + digest_suffix.size();
  if (text.size() < tail_bytes) refuse(where, "cut short");
  const std::string_view content = text.substr(0, text.size() - tail_bytes);
  const std::string_view tail = text.substr(content.size());
  if (!tail.starts_with(digest_prefix) || !tail.ends_with(digest_suffix)) refuse(where, "does not end with its digest");
  const std::optional<Digest> expected = from_hex(tail.substr(digest_prefix.size(), digest_digits));
  if (!expected || digest(content) != *expected) refuse(where, "wrong digest");
}

FileEntry read_file_entry(const Json& json, const std::string& where) {
  FileEntry entry;
  entry.name = json.member("name", where).string(where + " name");
  if (!is_plain_file_name(entry.name)) refuse(where, "name \"" + entry.name + "\" leaves the directory");
  entry.bytes = json.member("bytes", where).uint64(where + " bytes");
  const std::optional<Digest> digest = from_hex(json.member("digest", where).string(where + " digest"));
  if (!digest) refuse(where, "a digest that is not 32 hexadecimal digits");
  entry.digest = *digest;
  const std::string& kind = json.member("kind", where).string(where + " kind");
  if (kind != "data" && kind != "sidecar") refuse(where, "unknown kind \"" + kind + "\"");
  entry.kind = kind == "data" ? FileEntry::Kind::data : FileEntry::Kind::sidecar;
  return entry;
}

// One data file and one sidecar for each rank, and nothing else.
void check_files(const Manifest& manifest, const std::string& where) {
  std::set<std::string_view> names;
  for (const FileEntry& entry : manifest.files)
    if (!names.insert(entry.name).second) refuse(where, "file \"" + entry.name + "\" is listed twice");
  if (manifest.world_size < 1 || static_cast<std::uint64_t>(manifest.world_size) != manifest.files.size() / 2 ||
      manifest.files.size() % 2 != 0)
    refuse(where,
           std::to_string(manifest.files.size()) + " files for a world size of " + std::to_string(manifest.world_size));
  for (std::int64_t rank = 0; rank < manifest.world_size; ++rank) {
    const std::string data = rank_file_name(rank, manifest.world_size, ".safetensors");
    const std::string sidecar = rank_file_name(rank, manifest.world_size, ".json");
    if (!names.contains(data)) refuse(where, "does not list " + data);
    if (!names.contains(sidecar)) refuse(where, "does not list " + sidecar);
  }
  for (const FileEntry& entry : manifest.files)
    if ((entry.kind == FileEntry::Kind::data) != entry.name.ends_with(".safetensors"))
      refuse(where, "file \"" + entry.name + "\" is of the wrong kind");
}

void append_text(std::string& json, std::string_view text, const std::string& what) {
  if (!is_utf8(text)) throw Error(Errc::bad_argument, "write manifest: " + what + " is not valid UTF-8");
  append_json_string(json, text);
}

}  // namespace

const FileEntry* Manifest::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(files, name, &FileEntry::name);
  return found == files.end() ? nullptr : &*found;
}

std::string write_manifest(const Manifest& manifest) {
  std::string json = "{\n\"format_version\": " + std::to_string(manifest.format_version);
  json += ",\n\"library_version\": ";
  append_text(json, manifest.library_version, "library_version");
  json += ",\n\"world_size\": " + std::to_string(manifest.world_size);
  json += ",\n\"step\": " + (manifest.step ? std::to_string(*manifest.step) : std::string("null"));
  json += ",\n\"attempt\": ";
  append_text(json, manifest.attempt, "attempt");
  json += ",\n\"created\": ";
  append_text(json, manifest.created, "created");
  json += ",\n\"files\": [";
  for (const FileEntry& entry : manifest.files) {
    json += &entry == manifest.files.data() ? "\n" : ",\n";
    json += "{\"name\": ";
    append_text(json, entry.name, "file name");
    json += ", \"kind\": ";
    json += entry.kind == FileEntry::Kind::data ? "\"data\"" : "\"sidecar\"";
    json += ", \"bytes\": " + std::to_string(entry.bytes) + ", \"digest\": \"" + to_hex(entry.digest) + "\"}";
  }
  json += "],\n\"metadata\": {";
  bool first = true;
  for (const auto& [key, value] : manifest.metadata) {
    json += first ? "\n" : ",\n";
    first = false;
    append_text(json, key, "a metadata key");
    json += ": ";
    append_text(json, value, "metadata \"" + key + "\"");
  }
  json += "},\n";
  const Digest content = digest(json);
  json += digest_prefix;
  json += to_hex(content);
  json += digest_suffix;
  return json;
}

Manifest parse_manifest(std::string_view text, const std::string& file) {
  const std::string where = "read manifest " + file;
  check_digest(text, where);
  const Json json = parse_json(text, manifest_depth_max, where);

  Manifest manifest;
  manifest.format_version = json.member("format_version", where).int64(where + " format_version");
  if (manifest.format_version != manifest_format_version)
    refuse(where, "format version " + std::to_string(manifest.format_version) + ", this library reads " +
                      std::to_string(manifest_format_version));
  manifest.library_version = json.member("library_version", where).string(where + " library_version");
  manifest.world_size = json.member("world_size", where).int64(where + " world_size");
  const Json& step = json.member("step", where);
  if (!step.is_null()) manifest.step = step.int64(where + " step");
  manifest.attempt = json.member("attempt", where).string(where + " attempt");
  manifest.created = json.member("created", where).string(where + " created");
  for (const Json& entry : json.member("files", where).array(where + " files"))
    manifest.files.push_back(read_file_entry(entry, where + " files"));
  for (const auto& [key, value] : json.member("metadata", where).object(where + " metadata"))
    manifest.metadata.emplace(key, value.string(where + " metadata"));
  check_files(manifest, where);
  return manifest;
}

}  // namespace cairn::format
