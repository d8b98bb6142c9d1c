#pragma once

#include <memory>

#include "loop/loop.hpp"
#include "loop/run_on.hpp"
#include "uring/file_io.hpp"

namespace cairn::test {

/// A loop with a FileIo attached, on the thread that makes it.
class IoLoop {
 public:
  explicit IoLoop(uring::Backend backend, unsigned ring_entries = 256)
      : IoLoop([&](loop::Loop& on) { return uring::FileIo::make(on, backend, ring_entries); }) {}

  /// With the FileIo that `make(Loop&)` gives.
  template <class Make>
    requires std::is_invocable_v<Make, loop::Loop&>
  explicit IoLoop(const Make& make) : io(make(loop)) {
    loop.attach(io.get());
  }
  ~IoLoop() { loop.detach(); }
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;

  template <class T>
  T run(Task<T> task) {
    return run_on(loop, std::move(task));
  }

  loop::Loop loop;
  std::unique_ptr<uring::FileIo> io;
};

/// Whether this machine gives a ring: a test that needs one skips itself where it does not.
inline bool ring_available() {
  loop::Loop loop;
  return uring::FileIo::make(loop, uring::Backend::automatic)->backend() == uring::Backend::uring;
}

}  // namespace cairn::test
