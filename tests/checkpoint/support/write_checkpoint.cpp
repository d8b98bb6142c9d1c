#include "checkpoint/support/write_checkpoint.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>

#include "format/digest.hpp"
#include "format/manifest.hpp"
#include "format/plan.hpp"
#include "format/sidecar.hpp"
#include "staging/pack.hpp"

namespace cairn::test {
namespace {

std::vector<format::Digest> block_digests(const std::string& data) {
  std::vector<format::Digest> digests;
  const std::string_view all = data;
  for (std::size_t at = 0; at < all.size(); at += format::digest_block_bytes) {
    digests.push_back(format::digest(all.substr(at, format::digest_block_bytes)));
  }
  return digests;
}

}  // namespace

CheckpointText::CheckpointText(const StateDict& state, std::optional<std::int64_t> step_of_save) : step(step_of_save) {
  const auto plan = format::Plan::make(state);
  const format::Snapshot snapshot = format::take(plan, state);
  const format::Image image = snapshot.image();
  data = image.header;
  data.resize(image.bytes);
  for (const format::Piece& piece : image.pieces) {
    staging::pack(reinterpret_cast<std::byte*>(data.data()) + piece.file_offset, piece.source, 0, piece.bytes);
  }
  tensors_json = image.tensors_json;
}

std::string CheckpointText::data_name() const {
  return format::rank_file_name(rank, world_size, ".safetensors");
}
std::string CheckpointText::sidecar_name() const {
  return format::rank_file_name(rank, world_size, ".json");
}

std::string CheckpointText::sidecar() const {
  format::Sidecar sidecar;
  sidecar.attempt = attempt;
  sidecar.rank = rank;
  sidecar.world_size = world_size;
  sidecar.data_file = data_name();
  sidecar.data_bytes = data.size();
  sidecar.digests = block_digests(data);
  sidecar.tensors_json = tensors_json;
  return format::write_sidecar(sidecar);
}

std::string CheckpointText::manifest(const std::string& sidecar_text) const {
  format::Manifest manifest;
  manifest.library_version = "0.1.0";
  manifest.world_size = world_size;
  manifest.step = step;
  manifest.attempt = attempt;
  manifest.created = "2026-01-02T03:04:05Z";
  manifest.metadata = metadata;
  const std::vector<format::Digest> digests = block_digests(data);
  for (std::int64_t each = 0; each < world_size; ++each) {
    manifest.files.push_back(format::FileEntry{format::rank_file_name(each, world_size, ".safetensors"), data.size(),
                                               format::digest(std::span<const format::Digest>(digests)),
                                               format::FileEntry::Kind::data});
    manifest.files.push_back(format::FileEntry{format::rank_file_name(each, world_size, ".json"), sidecar_text.size(),
                                               format::digest(sidecar_text), format::FileEntry::Kind::sidecar});
  }
  return format::write_manifest(manifest);
}

void CheckpointText::write(const std::filesystem::path& path) const {
  std::filesystem::create_directories(path);
  const std::string sidecar_text = sidecar();
  write_text(path / data_name(), data);
  write_text(path / sidecar_name(), sidecar_text);
  write_text(path / "manifest.json", manifest(sidecar_text));
}

void write_checkpoint(const std::filesystem::path& path, const StateDict& state, std::optional<std::int64_t> step) {
  CheckpointText(state, step).write(path);
}

void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + file.string());
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

void flip_byte(const std::filesystem::path& file, std::uint64_t offset) {
  std::fstream both(file, std::ios::binary | std::ios::in | std::ios::out);
  both.seekg(static_cast<std::streamoff>(offset));
  const int byte = both.get();
  both.seekp(static_cast<std::streamoff>(offset));
  both.put(static_cast<char>(~byte));
  if (!both.flush()) throw std::runtime_error("cannot change " + file.string());
}

}  // namespace cairn::test
