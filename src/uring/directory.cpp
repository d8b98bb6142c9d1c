#include "uring/directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "core/unique_fd.hpp"
#include "uring/failure.hpp"
#include "uring/file.hpp"

namespace cairn::uring {

namespace {

std::string naming(const char* verb, const std::filesystem::path& path) {
  return std::string(verb) + " " + path.string();
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

/// The names in a directory, apart by what they are; filled in by a helper thread.
class Listing {
 public:
  explicit Listing(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const noexcept { return path_; }

  std::vector<std::filesystem::path> directories;
  std::vector<std::filesystem::path> others;

  static std::int64_t read(void* listing) { return static_cast<Listing*>(listing)->read(); }

 private:
  std::int64_t read() noexcept try {
    UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return -errno;
    DIR* directory = ::fdopendir(fd.get());
    if (!directory) return -errno;
    (void)fd.release();  // closedir closes it
    const int error = read(directory);
    ::closedir(directory);
    return -error;
  } catch (...) {
    return -ENOMEM;
  }

  int read(DIR* directory) {
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory);
      if (!entry) return errno;
      if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
      (entry->d_type == DT_DIR ? directories : others).push_back(path_ / entry->d_name);
    }
  }

  std::filesystem::path path_;
};

/// False when it is a directory, and still there.
Task<bool> unlink(FileIo& io, std::filesystem::path path) {
  const std::int64_t result = co_await io.unlinkat(AT_FDCWD, path.c_str());
  if (result == 0 || result == -ENOENT) co_return true;
  // EPERM is what POSIX says for directories; on Linux it means that the file may not be removed.
  if (result != -EISDIR) fail(result, naming("remove", path));
  co_return false;
}

}  // namespace

Task<void> make_directories(FileIo& io, std::filesystem::path path) {
  if (!path.has_filename()) path = path.parent_path();  // a trailing slash
  std::vector<std::filesystem::path> missing;
  std::filesystem::path next = path;
  while (!next.empty()) {
    const std::int64_t result = co_await io.mkdirat(AT_FDCWD, next.c_str(), 0777);
    if (result == -ENOENT) {
      // Below a parent that is to be made first. "" is not reached: its ENOENT would be that of a removed directory.
      missing.push_back(next);
      if (parent_of(next) == next || !next.has_parent_path()) fail(result, naming("make directory", path));
      next = next.parent_path();
      continue;
    }
    if (result < 0 && result != -EEXIST) fail(result, naming("make directory", next));
    if (result == -EEXIST) {
      struct ::statx status = {};
      const std::int64_t asked = co_await io.statx(AT_FDCWD, next.c_str(), 0, STATX_TYPE, &status);
      if (asked < 0) fail(asked, naming("make directory", next));
      if (!S_ISDIR(status.stx_mode)) fail(-ENOTDIR, naming("make directory", next));
    } else {
      co_await sync_directory(io, parent_of(next));
    }
    if (missing.empty()) co_return;
    next = std::move(missing.back());
    missing.pop_back();
  }
}

Task<void> sync_directory(FileIo& io, std::filesystem::path path) {
  const std::int64_t opened = co_await io.openat(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0) fail(opened, naming("open directory", path));
  const UniqueFd fd(static_cast<int>(opened));
  const std::int64_t result = co_await io.fsync(fd.get());
  if (result == -EINVAL) co_return;
  if (result < 0) fail(result, naming("sync directory", path));
}

Task<void> rename(FileIo& io, std::filesystem::path from, std::filesystem::path to) {
  const std::int64_t result = co_await io.renameat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str());
  if (result < 0) fail(result, naming("rename", from) + " to " + to.string());
}

Task<bool> exchange(FileIo& io, std::filesystem::path a, std::filesystem::path b) {
  const std::int64_t result = co_await io.renameat(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  if (result == -EINVAL || result == -ENOSYS || result == -EOPNOTSUPP) co_return false;
  if (result < 0) fail(result, naming("exchange", a) + " with " + b.string());
  co_return true;
}

Task<void> remove_tree(FileIo& io, std::filesystem::path path) {
  const bool gone = co_await unlink(io, path);
  if (gone) co_return;
  // No recursion: a tree may be deeper than the stack. Parents come before their children in `emptied`.
  std::vector<std::filesystem::path> to_empty;
  std::vector<std::filesystem::path> emptied;
  to_empty.push_back(std::move(path));
  while (!to_empty.empty()) {
    Listing listing(std::move(to_empty.back()));
    to_empty.pop_back();
    const std::int64_t listed = co_await io.call(&Listing::read, &listing);
    if (listed == -ENOENT) continue;
    if (listed < 0) fail(listed, naming("list directory", listing.path()));
    for (std::filesystem::path& entry : listing.others) {
      // Where the file system does not tell what an entry is, this does.
      const bool removed = co_await unlink(io, entry);
      if (!removed) listing.directories.push_back(std::move(entry));
    }
    for (std::filesystem::path& directory : listing.directories)
      to_empty.push_back(std::move(directory));
    emptied.push_back(listing.path());
  }
  while (!emptied.empty()) {
    const std::int64_t result = co_await io.unlinkat(AT_FDCWD, emptied.back().c_str(), AT_REMOVEDIR);
    if (result < 0 && result != -ENOENT) fail(result, naming("remove directory", emptied.back()));
    emptied.pop_back();
  }
}

Task<void> write_file(FileIo& io, std::filesystem::path path, std::string bytes) {
  File file = co_await File::open(io, std::move(path), O_WRONLY | O_CREAT | O_TRUNC);
  const auto view = std::as_bytes(std::span(bytes));
  co_await file.write_all(view, 0);
  co_await file.sync();
}

Task<std::string> read_file(FileIo& io, std::filesystem::path path, std::size_t bytes_max) {
  File file = co_await File::open(io, std::move(path), O_RDONLY);
  const std::uint64_t bytes = co_await file.size();
  if (bytes > bytes_max)
    fail(-EFBIG,
         naming("read", file.path()) + ", " + std::to_string(bytes) + " bytes, at most " + std::to_string(bytes_max));
  std::string text(static_cast<std::size_t>(bytes), '\0');
  const auto view = std::as_writable_bytes(std::span(text));
  const std::size_t got = co_await file.read_up_to(view, 0);
  text.resize(got);
  co_return text;
}

}  // namespace cairn::uring
