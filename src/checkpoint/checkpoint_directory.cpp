#include "checkpoint/checkpoint_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "cairn/error.hpp"
#include "checkpoint/attempt.hpp"
#include "core/unique_fd.hpp"
#include "format/digest.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

/// More than any manifest or sidecar is: the digests of 16 TiB take half of it.
constexpr std::uint64_t text_bytes_max = std::uint64_t{1} << 30;

std::string read_text(const fs::path& file, const std::string& operation) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, operation + " " + file.string());
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw Error::from_errno(errno, operation + " " + file.string());
  if (static_cast<std::uint64_t>(status.st_size) > text_bytes_max) {
    throw Error(Errc::damaged, operation + " " + file.string() + ": " + std::to_string(status.st_size) + " bytes");
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::pread(fd.get(), text.data() + filled, text.size() - filled, static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::from_errno(errno, operation + " " + file.string() + " at " + std::to_string(filled));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

[[noreturn]] void throw_damaged(const fs::path& file, const std::string& what) {
  throw Error(Errc::damaged, "read " + file.string() + ": " + what);
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
    text = read_text(file, "read");
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
  const std::string text = read_text(file, "read");
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

}  // namespace cairn::checkpoint
