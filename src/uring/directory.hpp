#pragma once

#include <cairn/task.hpp>
#include <cstddef>
#include <filesystem>
#include <string>

#include "uring/file_io.hpp"

namespace cairn::uring {

// Whole-path operations. All throw Error naming operation and path.

/// Makes `path` and its missing parents. Nothing happens where it is a directory already.
Task<void> make_directories(FileIo& io, std::filesystem::path path);

/// fsync of a directory: makes the names in it durable. Ignored where the file system has none for directories
/// (EINVAL).
Task<void> sync_directory(FileIo& io, std::filesystem::path path);

/// rename(2): replaces `to` if it exists.
Task<void> rename(FileIo& io, std::filesystem::path from, std::filesystem::path to);

/// Exchanges two existing paths atomically. False where file system or kernel cannot (nothing happened then).
Task<bool> exchange(FileIo& io, std::filesystem::path a, std::filesystem::path b);

/// Removes `path` with all in it, never following a symbolic link. What is missing, or removed by others meanwhile, is
/// no error.
Task<void> remove_tree(FileIo& io, std::filesystem::path path);

/// Creates or replaces the file and syncs it (not its directory).
Task<void> write_file(FileIo& io, std::filesystem::path path, std::string bytes);

/// The whole file; more than `bytes_max` is Error EFBIG.
Task<std::string> read_file(FileIo& io, std::filesystem::path path, std::size_t bytes_max);

}  // namespace cairn::uring
