#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/unique_fd.hpp"

namespace cairn {

/// Unit of staging and writing: file offsets and windows are multiples of it.
inline constexpr std::uint64_t slot_block_bytes = std::uint64_t{4} << 20;

enum class SlotState : std::uint32_t {
  free = 0,
  staging,  ///< the trainer copies into it; the writer may already write what is ready
  ready,    ///< the whole image has been copied: from here on the trainer is not needed any more
  writing,  ///< the executor has all of it and is past its first byte
};

/// What the trainer and the executor know of one slot, in shared memory. It outlives either of them: a worker that is
/// started anew reads here (and in the slot's request) what was left undone.
///
/// The trainer writes: state free → staging → ready, and → free when the outcome arrived; generation, the sizes,
/// ready_bytes. The executor writes: state ready → writing, active, written_bytes, answered; its supervisor: deaths.
struct SlotHeader {
  std::atomic<SlotState> state;
  std::atomic<std::uint32_t> active;          ///< 1 while a worker is at this very save: whom to blame for its death
  std::atomic<std::uint32_t> deaths;          ///< workers that died while they were at this save
  std::atomic<std::int32_t> death_status;     ///< wait status of the last of them
  std::atomic<std::uint64_t> generation;      ///< counts the saves of this checkpointer; 0 before the first
  std::atomic<std::uint64_t> image_bytes;     ///< length of the file
  std::atomic<std::uint64_t> capacity_bytes;  ///< of the window: image byte p lies at p % capacity
  std::atomic<std::uint32_t> huge;            ///< 1: the window is the memfd of huge pages
  std::atomic<std::uint32_t> populated;       ///< 1: every page of the window has been touched (worth registering)
  std::atomic<std::uint64_t> request_bytes;   ///< length of the request at the head of the request memfd
  std::atomic<std::uint64_t> ready_bytes;     ///< image bytes [0, ready) have been copied
  std::atomic<std::uint64_t> written_bytes;   ///< image bytes [0, written) are in the file, and may be overwritten here
  std::atomic<std::uint64_t> answered;        ///< the generation that is done; what became of it replaces its request
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<SlotState>::is_always_lock_free);

/// The memory that trainer and executor share: a control page with a SlotHeader each, and three memfds per slot. All
/// are made (empty) before the fork, so that the supervisor and every worker have them without being sent anything.
class SharedSlots {
 public:
  static constexpr unsigned slots_max = 16;

  /// Throws Error when a memfd cannot be made. Huge pages that the kernel does not offer leave that descriptor out.
  static SharedSlots create(unsigned slots);

  /// The same memory in another process, from the numbers that descriptors() gave there.
  static SharedSlots adopt(const std::vector<int>& descriptors);

  /// The same memory by descriptors of its own, none of them a standard stream: for a process that is about to be
  /// forked.
  SharedSlots duplicate() const;

  SharedSlots(SharedSlots&&) noexcept;
  SharedSlots& operator=(SharedSlots&&) = delete;
  ~SharedSlots();

  unsigned size() const noexcept { return static_cast<unsigned>(slots_.size()); }
  SlotHeader& header(unsigned slot) const noexcept;

  /// The memfd of the slot's window; -1 where `huge` is asked for and there is none.
  int data_fd(unsigned slot, bool huge) const noexcept;

  /// The request: what the executor must know to write the slot (opaque here), then the digests of what was written.
  void write_request(unsigned slot, const std::string& bytes) const;
  std::string read_request(unsigned slot) const;

  /// Digests of the image's blocks, kept beside the request so that a new worker can go on where the last one died.
  void write_digests(unsigned slot, std::uint64_t first_block, const void* digests, std::size_t bytes) const;
  void read_digests(unsigned slot, void* digests, std::size_t bytes) const;

  /// Every descriptor, control page first; -1 for a missing one. For a process that inherits them.
  std::vector<int> descriptors() const;

 private:
  struct Slot {
    UniqueFd data;
    UniqueFd huge_data;
    UniqueFd request;
  };

  SharedSlots() = default;
  void map_control();

  UniqueFd control_;
  void* control_memory_ = nullptr;
  std::vector<Slot> slots_;
};

/// A slot's window as mapped into this process.
struct SlotWindow {
  std::byte* data = nullptr;
  std::uint64_t capacity_bytes = 0;
};

}  // namespace cairn
