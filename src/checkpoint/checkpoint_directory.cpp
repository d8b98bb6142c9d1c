#include "checkpoint/checkpoint_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "cairn/error.hpp"
#include "checkpoint/attempt.hpp"
#include "core/unique_fd.hpp"
#include "format/digest.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

/// More than any manifest or sidecar is: the digests of 16 TiB take half of it.
constexpr std::uint64_t text_bytes_max = std::uint64_t{1} << 30;

/// A file that is open for reading, and its size.
struct OpenFile {
  explicit OpenFile(const fs::path& file) : fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0) throw Error::from_errno(errno, "read " + file.string());
    if (S_ISDIR(status.st_mode)) throw Error::from_errno(EISDIR, "read " + file.string());
    bytes = static_cast<std::uint64_t>(status.st_size);
  }

  UniqueFd fd;
  std::uint64_t bytes = 0;
};

/// The first `bytes` bytes; fewer where the file ends.
std::string read_first(const OpenFile& open, const fs::path& file, std::uint64_t bytes) {
  std::string text(static_cast<std::size_t>(bytes), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::pread(open.fd.get(), text.data() + filled, text.size() - filled, static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::from_errno(errno, "read " + file.string() + " at " + std::to_string(filled));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

[[noreturn]] void throw_damaged(const fs::path& file, const std::string& what) {
  throw Error(Errc::damaged, "read " + file.string() + ": " + what);
}

std::string read_text(const fs::path& file) {
  const OpenFile open(file);
  if (open.bytes > text_bytes_max) throw_damaged(file, "it has " + std::to_string(open.bytes) + " bytes");
  return read_first(open, file, open.bytes);
}

const format::FileEntry& entry_of(const CheckpointDirectory& checkpoint, std::int64_t rank,
                                  std::string_view extension) {
  const std::string name = format::rank_file_name(rank, checkpoint.manifest.world_size, extension);
  const format::FileEntry* const entry = checkpoint.manifest.find(name);
  if (!entry) throw_damaged(checkpoint.file(manifest_file_name), "it does not list " + name);
  return *entry;
}

}  // namespace

DirectoryIdentity identity_of(const fs::path& path) noexcept {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return DirectoryIdentity();
  return DirectoryIdentity{status.st_dev, status.st_ino};
}

CheckpointDirectory read_manifest(const fs::path& path, const std::string& operation) {
  CheckpointDirectory checkpoint;
  checkpoint.path = path;
  checkpoint.directory = readable_path(path);
  const std::string what = operation + " " + path.string();

  struct stat status{};
  if (::stat(checkpoint.directory.c_str(), &status) != 0) throw Error::from_errno(errno, what);
  if (!S_ISDIR(status.st_mode)) throw Error(Errc::not_a_checkpoint, what + ": it is not a directory");

  const fs::path file = checkpoint.file(manifest_file_name);
  std::string text;
  try {
    text = read_text(file);
  } catch (const Error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) {
      throw Error(Errc::not_a_checkpoint, what + ": there is no " + manifest_file_name + " in it");
    }
    throw;
  }
  checkpoint.manifest = format::parse_manifest(text, file.string());
  return checkpoint;
}

void check_file_sizes(const CheckpointDirectory& checkpoint) {
  for (const format::FileEntry& entry : checkpoint.manifest.files) {
    const fs::path file = checkpoint.file(entry.name);
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) {
      if (errno == ENOENT) throw_damaged(file, "the manifest lists it, but it is not there");
      throw Error::from_errno(errno, "read " + file.string());
    }
    if (!S_ISREG(status.st_mode)) throw_damaged(file, "it is not a regular file");
    if (static_cast<std::uint64_t>(status.st_size) != entry.bytes) {
      throw_damaged(file, "it has " + std::to_string(status.st_size) + " bytes, " + std::to_string(entry.bytes) +
                              " were written");
    }
  }
}

const format::FileEntry& data_entry(const CheckpointDirectory& checkpoint, std::int64_t rank) {
  return entry_of(checkpoint, rank, ".safetensors");
}

const format::FileEntry& sidecar_entry(const CheckpointDirectory& checkpoint, std::int64_t rank) {
  return entry_of(checkpoint, rank, ".json");
}

format::Sidecar read_sidecar(const CheckpointDirectory& checkpoint, std::int64_t rank) {
  const format::FileEntry& entry = sidecar_entry(checkpoint, rank);
  const format::FileEntry& data = data_entry(checkpoint, rank);
  const fs::path file = checkpoint.file(entry.name);
  const std::string text = read_text(file);
  if (text.size() != entry.bytes || format::digest(text) != entry.digest) {
    throw_damaged(file, "its digest is not the one in the manifest");
  }
  format::Sidecar sidecar = format::parse_sidecar(text, file.string());
  const format::Manifest& manifest = checkpoint.manifest;
  if (sidecar.attempt != manifest.attempt) throw_damaged(file, "it is of another save than the manifest");
  if (sidecar.rank != rank || sidecar.world_size != manifest.world_size) throw_damaged(file, "it is of another rank");
  if (sidecar.data_file != data.name || sidecar.data_bytes != data.bytes) {
    throw_damaged(file, "it is about another data file than " + data.name);
  }
  const std::uint64_t blocks = (data.bytes + format::digest_block_bytes - 1) / format::digest_block_bytes;
  if (sidecar.digests.size() != blocks) throw_damaged(file, "it has too few or too many digests");
  if (format::digest(std::span<const format::Digest>(sidecar.digests)) != data.digest) {
    throw_damaged(file, "its digests are not those that the manifest vouches for");
  }
  return sidecar;
}

format::Header read_header(const fs::path& file) {
  const OpenFile open(file);
  const std::string prefix = read_first(open, file, std::min(open.bytes, format::header_prefix_bytes));
  const std::uint64_t json_bytes =
      format::header_json_bytes(std::as_bytes(std::span(prefix)), open.bytes, file.string());
  const std::string text = read_first(open, file, format::header_prefix_bytes + json_bytes);
  return format::parse_header(std::as_bytes(std::span(text)).subspan(prefix.size()), open.bytes, file.string());
}

}  // namespace cairn::checkpoint
