#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "cairn/future.hpp"

namespace cairn {

namespace detail {
class SaveState;
}

enum class SavePhase {
  waiting,    ///< for a free slot
  staging,    ///< tensors are being copied; writing goes on beside it
  writing,    ///< the tensors may change; the executor writes the rest
  committed,  ///< durable
  failed,     ///< the futures have the error
};

const char* to_string(SavePhase phase) noexcept;

struct SaveProgress {
  SavePhase phase = SavePhase::waiting;
  std::uint64_t bytes_staged = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t bytes_total = 0;
};

/// One save under way. A handle: copyable, may be dropped (the save goes on), may be waited for on any thread.
class Saving {
 public:
  Saving() = default;
  explicit Saving(std::shared_ptr<detail::SaveState> state) : state_(std::move(state)) {}

  /// Ready when every byte has been copied and the save will outlive the trainer: the tensors may change from here on.
  Future<> staged() const;

  /// Ready when the checkpoint is durable, on every rank.
  Future<> committed() const;

  /// Waits for committed(), as `co_await saving` does.
  void get() const { committed().get(); }

  /// Bytes of the file so far. Any thread; costs a few loads.
  SaveProgress progress() const;

  auto operator co_await() const { return committed().operator co_await(); }

 private:
  std::shared_ptr<detail::SaveState> state_;
};

}  // namespace cairn
