#include <random>
#include <string>

#include "cairn/error.hpp"
#include "format/manifest.hpp"
#include "format/sidecar.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::format::Digest;
using cairn::format::digest;
using cairn::format::FileEntry;
using cairn::format::Manifest;
using cairn::format::parse_manifest;
using cairn::format::parse_sidecar;
using cairn::format::rank_file_name;
using cairn::format::Sidecar;
using cairn::format::write_manifest;
using cairn::format::write_sidecar;

namespace {

Manifest sample(std::int64_t world_size = 2) {
  Manifest manifest;
  manifest.library_version = "1.2.3";
  manifest.world_size = world_size;
  manifest.step = 1200;
  manifest.attempt = "0123456789abcdef";
  manifest.created = "2025-01-01T00:00:00Z";
  for (std::int64_t rank = 0; rank < world_size; ++rank) {
    FileEntry entry;
    entry.name = rank_file_name(rank, world_size, ".safetensors");
    entry.bytes = 4096;
    entry.digest = digest(std::string_view("data"));
    manifest.files.push_back(entry);
    entry.name = rank_file_name(rank, world_size, ".json");
    entry.kind = FileEntry::Kind::sidecar;
    manifest.files.push_back(entry);
  }
  manifest.metadata = {{"loss", "2.31"}, {"quote \" and ü", "line\nbreak"}};
  return manifest;
}

template <class Parse>
bool refused(const std::string& text, Parse parse) {
  try {
    parse(text, "dir/file.json");
  } catch (const Error& error) {
    return error.code() == Errc::damaged && error.context().find("dir/file.json") != std::string::npos;
  }
  return false;
}

// The text with a digest that is right for it, so that what is behind the digest is reached.
std::string sealed(std::string text) {
  text.resize(text.rfind("\"digest\""));
  return text + "\"digest\": \"" + to_hex(digest(text)) + "\"\n}\n";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

Sidecar sample_sidecar() {
  Sidecar sidecar;
  sidecar.attempt = "0123456789abcdef";
  sidecar.rank = 1;
  sidecar.world_size = 4;
  sidecar.data_file = rank_file_name(1, 4, ".safetensors");
  sidecar.data_bytes = (std::uint64_t{2} << 20) + 1;
  sidecar.digests.assign(3, digest(std::string_view("block")));
  sidecar.tensors_json = R"([{"name":"a","dtype":"F32","shape":[2],"data_offsets":[0,8]}])";
  return sidecar;
}

}  // namespace

TEST_CASE("manifest: everything comes back") {
  const Manifest manifest = sample();
  const Manifest parsed = parse_manifest(write_manifest(manifest), "m");
  CHECK(parsed.library_version == manifest.library_version);
  CHECK(parsed.world_size == 2);
  CHECK(parsed.step == 1200);
  CHECK(parsed.attempt == manifest.attempt);
  CHECK(parsed.created == manifest.created);
  CHECK(parsed.metadata == manifest.metadata);
  REQUIRE(parsed.files.size() == 4);
  CHECK(parsed.files[1].name == "rank-00000-of-00002.json");
  CHECK(parsed.files[1].kind == FileEntry::Kind::sidecar);
  CHECK(parsed.files[1].digest == manifest.files[1].digest);
  CHECK(parsed.find("rank-00001-of-00002.safetensors") == &parsed.files[2]);
  CHECK(parsed.find("other") == nullptr);
  Manifest plain = sample(1);
  plain.step.reset();
  plain.metadata.clear();
  CHECK_FALSE(parse_manifest(write_manifest(plain), "m").step.has_value());
}

TEST_CASE("manifest: any changed, cut or added byte is noticed") {
  const std::string text = write_manifest(sample());
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    CHECK(refused(changed, parse_manifest));
    CHECK(refused(text.substr(0, at), parse_manifest));
  }
  CHECK(refused(text + " ", parse_manifest));
  CHECK(refused("", parse_manifest));
}

TEST_CASE("manifest: a right digest does not make it right") {
  const std::string text = write_manifest(sample());
  REQUIRE_FALSE(refused(sealed(text), parse_manifest));
  const auto lie = [&](const std::string& from, const std::string& to) {
    INFO(from << " -> " << to);
    CHECK(refused(sealed(replaced(text, from, to)), parse_manifest));
  };
  const std::string data = "rank-00000-of-00002.safetensors";
  for (const char* name : {"../evil.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b", "a\\u0000b"})
    lie("\"" + data + "\"", "\"" + std::string(name) + "\"");
  lie(data, "rank-00001-of-00002.safetensors");
  lie("\"format_version\": 1", "\"format_version\": 2");
  lie("\"format_version\": 1", "\"format_version\": \"1\"");
  lie("\"world_size\": 2", "\"world_size\": 3");
  lie("\"world_size\": 2", "\"world_size\": 0");
  lie("\"world_size\": 2", "\"world_size\": 9223372036854775807");
  lie("\"world_size\": 2", "\"world_size\": -2");
  lie("\"step\": 1200", "\"step\": 1.5");
  lie("\"step\": 1200,", "");
  lie("\"kind\": \"data\"", "\"kind\": \"sidecar\"");
  lie("\"kind\": \"data\"", "\"kind\": \"other\"");
  lie("\"bytes\": 4096", "\"bytes\": -1");
  lie("\"files\": [", "\"files\": [" + std::string(100'000, '['));
  lie("\"loss\": \"2.31\"", "\"loss\": 2.31");
  lie("\"attempt\"", "\"step\"");
}

TEST_CASE("manifest: metadata must be text") {
  Manifest manifest = sample();
  manifest.metadata["key"] = "\xFF";
  try {
    write_manifest(manifest);
    FAIL("written");
  } catch (const Error& error) {
    CHECK(error.code() == Errc::bad_argument);
    CHECK(error.context().find("\"key\"") != std::string::npos);
  }
}

TEST_CASE("sidecar: everything that is needed comes back") {
  const Sidecar sidecar = sample_sidecar();
  const Sidecar parsed = parse_sidecar(write_sidecar(sidecar), "s");
  CHECK(parsed.attempt == sidecar.attempt);
  CHECK(parsed.rank == 1);
  CHECK(parsed.world_size == 4);
  CHECK(parsed.data_file == "rank-00001-of-00004.safetensors");
  CHECK(parsed.data_bytes == sidecar.data_bytes);
  CHECK(parsed.digests == sidecar.digests);
}

TEST_CASE("sidecar: what does not agree is refused") {
  const std::string text = write_sidecar(sample_sidecar());
  const auto lie = [&](const std::string& from, const std::string& to) {
    INFO(from << " -> " << to);
    CHECK(refused(replaced(text, from, to), parse_sidecar));
  };
  lie("\"rank\": 1", "\"rank\": 4");
  lie("\"rank\": 1", "\"rank\": -1");
  lie("\"data_bytes\": 2097153", "\"data_bytes\": 2097152");
  lie("\"data_bytes\": 2097153", "\"data_bytes\": 18446744073709551615");
  lie("\"digest_block_bytes\": 1048576", "\"digest_block_bytes\": 0");
  lie("rank-00001-of-00004.safetensors", "../x");
  lie("\"format_version\": 1", "\"format_version\": 7");
  lie("\"tensors\": [", "\"tensors\": {");
  lie("\"digests\": [\n\"", "\"digests\": [\n\"z");
  for (std::size_t at = 0; at + 2 < text.size(); ++at)
    CHECK(refused(text.substr(0, at), parse_sidecar));
}

TEST_CASE("sidecar: names of rank files") {
  CHECK(rank_file_name(0, 1, ".json") == "rank-00000-of-00001.json");
  CHECK(rank_file_name(123456, 200000, ".json") == "rank-123456-of-200000.json");
  CHECK_THROWS_AS(rank_file_name(1, 1, ".json"), Error);
  CHECK_THROWS_AS(rank_file_name(-1, 1, ".json"), Error);
}

TEST_CASE("manifest and sidecar: whatever the bytes, the answer is a value or damaged") {
  std::mt19937_64 random(cairn::test::seed());
  const std::string manifest = write_manifest(sample());
  const std::string sidecar = write_sidecar(sample_sidecar());
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    const bool is_manifest = round % 2 == 0;
    std::string text = is_manifest ? manifest : sidecar;
    for (std::uint64_t change = random() % 4 + 1; change > 0; --change) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0)
        text[at] = static_cast<char>(random());
      else
        text[at] = "{}[]\",:0-9e\\"[random() % 12];
    }
    try {
      if (is_manifest)
        parse_manifest(text.rfind("\"digest\"") == std::string::npos ? text : sealed(text), "m");
      else
        parse_sidecar(text, "s");
      ++accepted;
    } catch (const Error& error) {
      CHECK(error.code() == Errc::damaged);
    }
  }
  CHECK(accepted < 3000);
}
