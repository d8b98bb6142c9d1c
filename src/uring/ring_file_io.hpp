#pragma once

#include <liburing.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "core/unique_fd.hpp"
#include "uring/file_io.hpp"
#include "uring/helper_threads.hpp"

namespace cairn::uring {

/// The io_uring backend; the essay is in its source. Operations that the running kernel does not have (before 5.15:
/// mkdirat, renameat, unlinkat; before 6.9: ftruncate) and OperationKind::call are done by a helper thread.
class RingFileIo final : public FileIo {
 public:
  /// Where the kernel gives no ring: null and the reason in `*reason`, or, with a null `reason`, throws Error.
  static std::unique_ptr<RingFileIo> make(unsigned entries, std::string* reason);
  ~RingFileIo() override;

  Backend backend() const noexcept override { return Backend::uring; }
  const std::string& backend_reason() const noexcept override { return reason_; }
  int register_buffers(std::span<const iovec> buffers) override;
  int unregister_buffers() override;

  void submit(Operation& operation) override;
  void cancel(Operation& operation) override;
  void wait_for(Operation& operation) override;

  bool poll() override;
  bool idle() const override;
  int wake_fd() const override { return wake_fd_.get(); }
  void before_sleep() override;
  void after_sleep() override;

 private:
  /// The ring itself, closed after everything that uses it.
  class Ring {
   public:
    Ring() noexcept = default;
    ~Ring() {
      if (open) io_uring_queue_exit(&ring);
    }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    io_uring ring = {};
    bool open = false;
  };

  RingFileIo();

  int open(unsigned entries, const char** call) noexcept;
  int probe() noexcept;
  bool put_in_ring(Operation& operation) noexcept;
  bool fill_ring() noexcept;
  void submit_ring(unsigned wait_for);
  void reap() noexcept;
  void drive(bool look_closely);
  bool resume_done();
  HelperThreads& helpers();
  void cancel_everything() noexcept;

  const std::string reason_;  ///< always empty
  const UniqueFd wake_fd_;
  Ring ring_;
  std::array<bool, 16> supported_ = {};  ///< by OperationKind
  unsigned in_flight_ = 0;               ///< completions that the ring owes
  unsigned in_flight_max_ = 0;
  OperationList waiting_;  ///< for room in the ring
  OperationList done_;     ///< with their results, not resumed yet
  std::optional<HelperThreads> helpers_;
  bool armed_ = false;  ///< asleep, or about to be
  bool closing_ = false;
  const std::thread::id thread_ = std::this_thread::get_id();
};

}  // namespace cairn::uring
