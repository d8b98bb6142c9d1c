#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/unique_fd.hpp"

namespace cairn::checkpoint {

// An attempt is one save under way. It lives in `<path>.partial-<attempt id>`, beside the checkpoint it is to become,
// and its writer holds an OFD lock on the file `writer.lock` in there. The lock outlives a worker (the supervisor holds
// it too), so a lock that can be had means that nobody will ever write there again.
//
// Taking a directory away and making one race with each other; both sides go through the lock: a remover takes it
// before it removes, and a maker that got the lock looks whether the directory is still there.

inline constexpr const char* lock_file_name = "writer.lock";
inline constexpr const char* error_file_name = "error.json";
inline constexpr const char* manifest_file_name = "manifest.json";

/// 32 hexadecimal digits, from the kernel's random numbers.
std::string make_attempt_id();

/// `<path>.partial-<attempt>`
std::filesystem::path partial_path(const std::filesystem::path& path, const std::string& attempt);

/// `<path>.replaced`: the old checkpoint for a moment, on file systems that cannot exchange.
std::filesystem::path replaced_path(const std::filesystem::path& path);

/// A partial directory that was found.
struct Attempt {
  std::filesystem::path directory;  ///< `<path>.partial-<id>`
  std::filesystem::path path;       ///< what it is to become
  std::string id;
};

/// Splits the name of a partial directory; nothing for any other name.
std::optional<Attempt> parse_partial_path(const std::filesystem::path& directory);

/// The partial directories in `parent`; none if it does not exist. Throws Error for another failure.
std::vector<Attempt> list_attempts(const std::filesystem::path& parent);

/// Who writes: stands in the lock file, for those who wait.
struct WriterIdentity {
  long trainer_pid = 0;
  unsigned long long trainer_start = 0;  ///< start time of that process, in clock ticks since boot
  std::string boot_id;
  std::string pid_namespace;
  std::string host;

  static WriterIdentity of_process(long pid);
  std::string text() const;
  static WriterIdentity parse(const std::string& text);

  /// Whether the trainer is known to be running. False where it is dead, and where it cannot be told (another host).
  bool trainer_runs() const;
};

/// The lock of an attempt, held through a descriptor that may be shared with other processes.
class AttemptLock {
 public:
  /// Makes the partial directory and takes its lock. The parent must exist. Throws Error.
  static AttemptLock create(const Attempt& attempt, const WriterIdentity& identity);

  /// Takes the lock of an attempt that nobody writes any more; nothing when somebody does, or when it is gone.
  static std::optional<AttemptLock> take_over(const Attempt& attempt);

  explicit AttemptLock(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

/// The identity in the lock file of an attempt whose lock is held; nothing when nobody holds it.
std::optional<WriterIdentity> live_writer(const Attempt& attempt);

/// Of the attempts in `parent`, those whose writer is alive though its trainer is dead, or whose trainer cannot be
/// seen. Those are waited for: they are about to commit what was staged before the kill.
std::vector<Attempt> orphaned_writers(const std::filesystem::path& parent);

/// "runs/step-3.partial-… (trainer 1234 on host)" for every one of them; for the text of an error.
std::string describe(const std::vector<Attempt>& attempts);

/// Waits, on the calling thread, until `orphaned_writers(parent)` is empty (of `only`, where given). Errc::timed_out
/// names those that are left after `wait_max`.
void wait_for_orphans(const std::filesystem::path& parent, std::chrono::milliseconds wait_max,
                      const std::optional<std::filesystem::path>& only = std::nullopt);

/// Removes a directory tree; what is gone already is no error. Symbolic links are removed, not followed.
void remove_directory(const std::filesystem::path& directory);

/// fsync of a directory: what was created, renamed or removed in it is durable. Throws Error.
void sync_directory(const std::filesystem::path& directory);

/// A complete checkpoint that stands at `<path>.replaced` while `<path>` is absent: where readers find it.
std::filesystem::path readable_path(const std::filesystem::path& path);

}  // namespace cairn::checkpoint
