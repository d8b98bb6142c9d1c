#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cairn/error.hpp"
#include "core/slot.hpp"
#include "core/unique_fd.hpp"
#include "executor/slot_job.hpp"
#include "loop/loop.hpp"
#include "uring/file_io.hpp"

namespace cairn::executor {

/// What the executor is given when it starts: by fork as it stands, over an exec as text and descriptors.
struct ExecutorStart {
  SharedSlots slots;
  UniqueFd socket;   ///< its end of the socket to the trainer; outlives workers, so no message is lost with one
  UniqueFd trainer;  ///< pidfd: readable when the trainer is dead
  pid_t trainer_pid = 0;
  std::string identity;            ///< of the trainer, as it stands in lock files
  std::filesystem::path log_file;  ///< for standard error; empty: /dev/null
  int nice = 0;
  uring::Backend backend = uring::Backend::automatic;
  std::string program;  ///< for the layer above: what its WorkerProgram is made from after an exec

  std::string encode() const;                          ///< all but the memory: descriptors by their numbers
  static ExecutorStart decode(std::string_view text);  ///< in the process that inherited them
};

/// What a worker does: comes from the layer above.
class WorkerProgram {
 public:
  virtual ~WorkerProgram() = default;

  /// Runs first. A throw ends the worker; its text reaches the trainer.
  virtual void init() = 0;

  /// Then this. `notice` tells the trainer of an error that is not of one of its own saves.
  virtual std::unique_ptr<SlotHandler> make_handler(loop::Loop& loop, uring::FileIo& io, const ExecutorStart& start,
                                                    std::function<void(const Error&)> notice) = 0;
};

/// A lock that the supervisor holds for a save, so that it outlives the worker.
struct HeldLock {
  std::uint64_t generation = 0;
  UniqueFd fd;
};
using HeldLocks = std::map<unsigned, HeldLock>;

/// What passes between worker and supervisor: a type, a slot, a generation; `hold` carries the lock.
struct HoldMessage {
  enum class Type : std::uint32_t { ready = 1, hold, held, release };
  Type type = Type::ready;
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
};

/// The worker's life. Returns its exit code.
int run_worker(ExecutorStart& start, WorkerProgram& program, UniqueFd supervisor, HeldLocks locks) noexcept;

inline constexpr int worker_done = 0;
inline constexpr int worker_init_failed = 3;

/// The supervisor's life, in a process of its own that has one thread: forks workers until one exits by itself.
/// After a fork its caller is the trainer's code: nothing may be thrown into that.
[[noreturn]] void supervise(ExecutorStart start, WorkerProgram& program) noexcept;

}  // namespace cairn::executor
