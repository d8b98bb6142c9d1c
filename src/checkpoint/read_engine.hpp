#pragma once

#include <memory>
#include <optional>
#include <stop_token>

#include "cairn/scope.hpp"
#include "cairn/task.hpp"
#include "cairn/writer.hpp"
#include "checkpoint/loader.hpp"
#include "checkpoint/read_buffers.hpp"
#include "core/work_pool.hpp"
#include "loop/loop_thread.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// The threads that reading needs: one that does the I/O, a few that check digests and copy; and the buffers between.
///
/// Made and destroyed by one thread, which is none of its own; that thread may start tasks. The destructor requests a
/// stop, waits until every task is done and the kernel has let go of the buffers, and ends the threads.
class ReadEngine {
 public:
  ReadEngine(IoBackend backend, bool direct_io);
  ~ReadEngine();
  ReadEngine(const ReadEngine&) = delete;
  ReadEngine& operator=(const ReadEngine&) = delete;

  /// Runs `task` on the I/O thread. It must not throw, and should end soon after stop_token() asks for it.
  void start(Task<void> task);

  /// Requested by the destructor.
  std::stop_token stop_token() const noexcept { return stopping_.get_token(); }

  // For tasks, on the I/O thread.
  Loader& loader() noexcept { return *loader_; }
  uring::FileIo& io() noexcept { return *io_; }
  ReadBuffers& buffers() noexcept { return *buffers_; }
  WorkPool& pool() noexcept { return pool_; }
  loop::Loop& loop() noexcept { return thread_.loop(); }

 private:
  void make_io(IoBackend backend, bool direct_io);
  void destroy_io() noexcept;

  std::stop_source stopping_;
  loop::LoopThread thread_;
  WorkPool pool_;  // after the loop: its threads post to it until they are joined
  Scope tasks_;
  std::unique_ptr<uring::FileIo> io_;
  std::optional<ReadBuffers> buffers_;
  std::optional<Loader> loader_;
};

}  // namespace cairn::checkpoint
