#pragma once

#include <filesystem>
#include <string>

#include "cairn/task.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// Throws unless a checkpoint may be put at `path`: nothing is there, or an empty directory, or a checkpoint. Anything
/// else is somebody's and is not replaced (not_a_checkpoint, or EEXIST for a file).
void require_replaceable(const std::filesystem::path& path);

/// The commit: puts the complete directory `partial` in place as `path`, by one rename, and makes that durable. A
/// checkpoint that is there is exchanged and then removed; where directories cannot be exchanged it is moved to
/// `<path>.replaced` first, where readers look while `path` is absent.
Task<> put_in_place(uring::FileIo& io, std::filesystem::path partial, std::filesystem::path path);

/// Takes away what put_in_place() leaves behind if it is cut off after its rename, and the writer's lock file.
Task<> tidy_after_commit(uring::FileIo& io, std::filesystem::path partial, std::filesystem::path path);

/// Whether the checkpoint at `path` is the one of `attempt`: then it was committed. Throws what reading the manifest
/// throws, but for its absence.
bool is_committed(const std::filesystem::path& path, const std::string& attempt);

/// Deletes the checkpoints beside `path` but for the newest `count`; `path` itself stays. Each disappears by one rename
/// before its files go, so that none is ever found half deleted.
Task<> delete_older(uring::FileIo& io, std::filesystem::path path, std::size_t count);

}  // namespace cairn::checkpoint
