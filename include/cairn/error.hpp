#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace cairn {

/// What can go wrong that is cairn's own. Everything else an Error carries is errno, or a CUDA or NCCL code.
enum class Errc {
  not_a_checkpoint = 1,  ///< a directory without a manifest, or a file that cairn did not write
  damaged,               ///< bytes on disk are not those that were written; the text names file and block
  missing_keys,          ///< a strict load wants keys that the checkpoint does not hold
  shape_mismatch,        ///< a tensor of the target has another shape than the one in the checkpoint
  dtype_mismatch,        ///< a tensor of the target has another dtype; cairn never casts
  kind_mismatch,         ///< a tensor where a list is, a string where an integer is, ...
  timed_out,             ///< the text names what was waited for and how long
  busy,                  ///< too many saves are waiting for a slot
  executor_died,         ///< the checkpoint process is gone; the text has its signal or exit code
  barrier_failed,        ///< another rank failed, or the barrier itself did; nobody committed
  commit_unknown,        ///< the file system cannot be asked whether the checkpoint is committed
  cancelled,             ///< a stop token asked for it
  closed,                ///< the checkpointer is closed
  unsafe_fork,           ///< closures need a fork, but the process has threads or CUDA; the text says both ways out
  bad_argument,          ///< a call that cannot work as it was made; the text says why
  init_failed,           ///< the init function or the writer factory threw in the checkpoint process
  writer_failed,  ///< a hook, barrier or writer of the user threw something that is no Error; the text is its what()
  too_little_memory,  ///< the arena would not fit; the text has both numbers
  version_mismatch,   ///< the executor is of another version of cairn
};

const std::error_category& cairn_category() noexcept;

inline std::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), cairn_category()};
}

/// The one exception type. `what()` is "<operation and object>: <message of the code>", for instance
/// "write runs/a/rank-00001-of-00004.safetensors at 8388608: No space left on device".
class Error : public std::system_error {
 public:
  /// `context` names the operation and the object, without the code's message.
  Error(std::error_code code, std::string context) : std::system_error(code, context), context_(std::move(context)) {}
  Error(Errc code, std::string context) : Error(make_error_code(code), std::move(context)) {}

  /// An errno, as the kernel answers it (positive).
  static Error from_errno(int errno_value, std::string context) {
    return Error(std::error_code(errno_value, std::system_category()), std::move(context));
  }

  const std::string& context() const noexcept { return context_; }

 private:
  std::string context_;
};

}  // namespace cairn

template <>
struct std::is_error_code_enum<cairn::Errc> : std::true_type {};
