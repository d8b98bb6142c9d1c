#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "format/manifest.hpp"
#include "format/safetensors.hpp"
#include "format/sidecar.hpp"

namespace cairn::checkpoint {

// What stands in a checkpoint's directory, the data files' content apart. All of it blocks: small files, read on a
// thread that may wait.

/// A directory with a manifest that is whole and agrees with the sizes of the files.
struct CheckpointDirectory {
  std::filesystem::path path;       ///< as it was asked for
  std::filesystem::path directory;  ///< where it is: `path`, or `<path>.replaced`
  format::Manifest manifest;

  std::filesystem::path file(const std::string& name) const { return directory / name; }
};

/// Which directory stands at a path: another one after a save has put a new checkpoint in its place.
struct DirectoryIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;

  friend bool operator==(const DirectoryIdentity&, const DirectoryIdentity&) = default;
};

/// Zeros where there is nothing.
DirectoryIdentity identity_of(const std::filesystem::path& path) noexcept;

/// Reads the manifest of the checkpoint at `path`, or at `<path>.replaced` where `path` is absent. `operation` is what
/// errors begin with ("load", "verify"). Throws Error: ENOENT; not_a_checkpoint for a file and for a directory without
/// a manifest; damaged for a manifest that is not whole.
CheckpointDirectory read_manifest(const std::filesystem::path& path, const std::string& operation);

/// Throws damaged for a file of the manifest that is missing or has another size.
void check_file_sizes(const CheckpointDirectory& checkpoint);

/// The manifest's entries of one rank's files.
const format::FileEntry& data_entry(const CheckpointDirectory& checkpoint, std::int64_t rank);
const format::FileEntry& sidecar_entry(const CheckpointDirectory& checkpoint, std::int64_t rank);

/// Reads a rank's sidecar and checks it against the manifest: its own digest, attempt, rank and world size, the data
/// file's name and size, and that its block digests are those that the manifest vouches for. Throws damaged.
format::Sidecar read_sidecar(const CheckpointDirectory& checkpoint, std::int64_t rank);

/// The header of a data file, checked against the file's size; no digest is looked at. Throws damaged, or errno.
format::Header read_header(const std::filesystem::path& file);

}  // namespace cairn::checkpoint
