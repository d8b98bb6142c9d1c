#include "checkpoint/placement.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "cairn/error.hpp"
#include "cairn/reader.hpp"
#include "checkpoint/attempt.hpp"
#include "format/manifest.hpp"
#include "uring/directory.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

fs::path manifest_of(const fs::path& directory) {
  return directory / manifest_file_name;
}

/// Only a checkpoint of ours can have been put there; anything else of that name is somebody's.
Task<> remove_replaced(uring::FileIo& io, fs::path replaced) {
  std::error_code ignored;
  if (fs::exists(manifest_of(replaced), ignored)) co_await uring::remove_tree(io, replaced);
}

Task<> replace_by_two_renames(uring::FileIo& io, fs::path partial, fs::path path) {
  const fs::path replaced = replaced_path(path);
  co_await remove_replaced(io, replaced);
  co_await uring::rename(io, path, replaced);
  co_await uring::rename(io, partial, path);
}

}  // namespace

void require_replaceable(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return;
  if (error) throw Error(error, "save " + path.string());
  if (fs::exists(manifest_of(path), error)) return;
  if (status.type() != fs::file_type::directory) {
    throw Error::from_errno(EEXIST, "save " + path.string() + ", which is no directory");
  }
  if (fs::is_empty(path, error) && !error) return;
  throw Error(Errc::not_a_checkpoint,
              "save " + path.string() + ": a directory with other content is there and is not replaced");
}

Task<> put_in_place(uring::FileIo& io, fs::path partial, fs::path path) {
  const std::int64_t renamed =
      co_await io.renameat(AT_FDCWD, partial.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE);
  if (renamed == -EEXIST || renamed == -EINVAL) {
    require_replaceable(path);
    std::error_code ignored;
    const bool occupied = fs::exists(fs::symlink_status(path, ignored));
    if (!occupied) {
      co_await uring::rename(io, partial, path);
    } else {
      // The old checkpoint takes the place of the attempt, and its protection: nobody may remove it before the exchange
      // is durable. The same locked file under two names does that; where there are no links, the window is open.
      const std::string lock_file = partial / lock_file_name;
      const std::string lock_in_old = path / lock_file_name;
      ::unlink(lock_in_old.c_str());  // left by a worker that died right after its rename
      [[maybe_unused]] const int linked = ::link(lock_file.c_str(), lock_in_old.c_str());
      const bool exchanged = co_await uring::exchange(io, partial, path);
      if (!exchanged) co_await replace_by_two_renames(io, partial, path);
    }
  } else if (renamed < 0) {
    throw Error::from_errno(static_cast<int>(-renamed), "rename " + partial.string() + " to " + path.string());
  }
  co_await uring::sync_directory(io, path.parent_path());
}

Task<> tidy_after_commit(uring::FileIo& io, fs::path partial, fs::path path) {
  co_await uring::remove_tree(io, partial);  // what was exchanged out
  co_await remove_replaced(io, replaced_path(path));
  const std::string lock_file = path / lock_file_name;
  co_await io.unlinkat(AT_FDCWD, lock_file.c_str(), 0);
}

bool is_committed(const fs::path& path, const std::string& attempt) {
  std::ifstream in(manifest_of(path), std::ios::binary);
  if (!in) return false;
  std::ostringstream text;
  text << in.rdbuf();
  try {
    return format::parse_manifest(text.str(), manifest_of(path).string()).attempt == attempt;
  } catch (const Error& error) {
    if (error.code() == Errc::damaged) return false;  // ours was synced before its rename: this is another's
    throw;
  }
}

Task<> delete_older(uring::FileIo& io, fs::path path, std::size_t count) {
  const std::vector<fs::path> newest_first = list_checkpoints(path.parent_path());
  std::vector<fs::path> doomed;
  for (std::size_t at = count; at < newest_first.size(); ++at) {
    if (newest_first[at].filename() == path.filename()) continue;
    fs::path trash = partial_path(newest_first[at], make_attempt_id());
    co_await uring::rename(io, newest_first[at], trash);
    doomed.push_back(std::move(trash));
  }
  if (doomed.empty()) co_return;
  co_await uring::sync_directory(io, path.parent_path());
  for (const fs::path& trash : doomed)
    co_await uring::remove_tree(io, trash);
}

}  // namespace cairn::checkpoint
