#include "checkpoint/save_state.hpp"

namespace cairn {

const char* to_string(SavePhase phase) noexcept {
  switch (phase) {
    case SavePhase::waiting:
      return "waiting";
    case SavePhase::staging:
      return "staging";
    case SavePhase::writing:
      return "writing";
    case SavePhase::committed:
      return "committed";
    case SavePhase::failed:
      return "failed";
  }
  return "unknown";
}

namespace {

const detail::SaveState& checked(const std::shared_ptr<detail::SaveState>& state) {
  if (!state) throw Error(Errc::bad_argument, "use a Saving that belongs to no save");
  return *state;
}

}  // namespace

Future<> Saving::staged() const {
  return checked(state_).staged();
}

Future<> Saving::committed() const {
  return checked(state_).committed();
}

SaveProgress Saving::progress() const {
  return checked(state_).progress();
}

namespace detail {

SaveProgress SaveState::progress() const {
  const std::lock_guard lock(mutex_);
  SaveProgress now = last_;
  now.phase = phase_;
  if (slots_) {
    const SlotHeader& header = slots_->header(slot_);
    now.bytes_staged = header.ready_bytes.load(std::memory_order_acquire);
    now.bytes_written = header.written_bytes.load(std::memory_order_acquire);
  }
  return now;
}

void SaveState::in_slot(std::shared_ptr<const SharedSlots> slots, unsigned slot, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  phase_ = SavePhase::staging;
  slots_ = std::move(slots);
  slot_ = slot;
  last_.bytes_total = bytes;
}

void SaveState::leave_slot() {
  const std::lock_guard lock(mutex_);
  if (!slots_) return;
  last_.bytes_staged = slots_->header(slot_).ready_bytes.load(std::memory_order_acquire);
  last_.bytes_written = slots_->header(slot_).written_bytes.load(std::memory_order_acquire);
  slots_.reset();
}

void SaveState::complete_staging() {
  {
    const std::lock_guard lock(mutex_);
    phase_ = SavePhase::writing;
  }
  staged_.set_value();
}

void SaveState::complete() {
  leave_slot();
  {
    const std::lock_guard lock(mutex_);
    phase_ = SavePhase::committed;
  }
  staged_.set_value();
  committed_.set_value();
}

void SaveState::fail(const std::exception_ptr& error) {
  leave_slot();
  {
    const std::lock_guard lock(mutex_);
    phase_ = SavePhase::failed;
  }
  failed_after_staging_.store(is_staged(), std::memory_order_release);
  staged_.set_exception(error);
  committed_.set_exception(error);
}

bool SaveState::failure_observed() const {
  if (committed_.observed()) return true;
  return !failed_after_staging_.load(std::memory_order_acquire) && staged_.observed();
}

}  // namespace detail
}  // namespace cairn
