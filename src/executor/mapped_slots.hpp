#pragma once

#include <cstdint>
#include <vector>

#include "core/slot.hpp"
#include "uring/file_io.hpp"

namespace cairn::executor {

/// The windows of the slots as the writing side maps them, registered with its ring once all their pages are there.
class MappedSlots {
 public:
  MappedSlots(const SharedSlots& slots, uring::FileIo& io);
  MappedSlots(const MappedSlots&) = delete;
  MappedSlots& operator=(const MappedSlots&) = delete;
  ~MappedSlots();

  /// The slot's window, mapped anew if the trainer made another. Between saves only: what it answered before is
  /// invalid. Throws Error.
  SlotWindow window(unsigned slot);

  /// Index of the registered buffer that holds window bytes from `offset` (a multiple of the block) on; -1 when the
  /// memory is not registered: writes work all the same.
  int buffer_index(unsigned slot, std::uint64_t offset) const noexcept;

 private:
  struct Mapping {
    SlotWindow window;
    bool huge = false;
    bool populated = false;
    int first_buffer = -1;
  };

  void unmap(Mapping& mapping);
  void register_all();

  const SharedSlots& slots_;
  uring::FileIo& io_;
  std::vector<Mapping> mappings_;
  bool registered_ = false;
};

}  // namespace cairn::executor
