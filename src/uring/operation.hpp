#pragma once

#include <sys/types.h>

#include <coroutine>
#include <cstdint>

namespace cairn::uring {

/// `call` is any function, run on a helper thread: for what the kernel has no operation for (listing a directory).
enum class OperationKind : std::uint8_t {
  nop,
  openat,
  read,
  write,
  read_fixed,
  write_fixed,
  fsync,
  fallocate,
  ftruncate,
  statx,
  renameat,
  mkdirat,
  unlinkat,
  close,
  call,
};

/// One system call to be made: its arguments, the coroutine that waits for it, and its answer.
///
/// It lives in the awaiter, thus in the frame of the coroutine that awaits it, so that an operation costs no
/// allocation. From submit() to completion it belongs to the FileIo, which links it into its lists.
struct Operation {
  enum class State : std::uint8_t { idle, submitted, done };

  OperationKind kind = OperationKind::nop;
  State state = State::idle;
  bool cancel_wanted = false;  ///< read and written on the loop's thread only
  std::uint8_t tries = 0;
  int descriptor = -1;        ///< the file, or the directory that `path` is relative to
  int other_descriptor = -1;  ///< renameat: the directory of `other_path`
  int flags = 0;  ///< open flags, renameat2 flags, unlinkat flags, fallocate mode, statx flags; fsync: 1 = data only
  unsigned mode = 0;      ///< permissions; statx: the mask
  int buffer_index = -1;  ///< of the registered buffer that holds `buffer`
  const char* path = nullptr;
  const char* other_path = nullptr;
  void* buffer = nullptr;  ///< data; statx: where to; call: the argument
  std::uint64_t length = 0;
  std::uint64_t offset = 0;
  std::int64_t (*function)(void*) = nullptr;  ///< call: answers as operations do, never throws

  std::int64_t result = 0;  ///< ≥ 0, or -errno
  std::coroutine_handle<> waiter;
  Operation* next = nullptr;       ///< in the list the operation is in
  Operation* next_stop = nullptr;  ///< in FileIo's list of requested stops, under its mutex
  bool in_stops = false;           ///< the same
};

/// A queue of operations, linked through Operation::next.
class OperationList {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  void push_back(Operation& operation) noexcept {
    operation.next = nullptr;
    (last_ ? last_->next : first_) = &operation;
    last_ = &operation;
  }

  /// Null when empty.
  Operation* front() const noexcept { return first_; }

  /// Null when empty.
  Operation* pop_front() noexcept {
    Operation* operation = first_;
    if (operation) {
      first_ = operation->next;
      if (!first_) last_ = nullptr;
    }
    return operation;
  }

  /// False when it is not in this list.
  bool remove(Operation& operation) noexcept;

  /// Moves all of `other` to the end.
  void take(OperationList& other) noexcept;

 private:
  Operation* first_ = nullptr;
  Operation* last_ = nullptr;
};

}  // namespace cairn::uring
