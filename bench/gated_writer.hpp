#pragma once

#include <filesystem>

#include "cairn/writer.hpp"
#include "core/unique_fd.hpp"

namespace cairn::bench {

/// Holds the writer of a checkpoint process until it is let go: the bench-only switch between staging and writing. A
/// named pipe in which each byte lets one save pass: the checkpoint process closes what it inherits, so it has to
/// open it by its name. One save waits at a time.
class WriterGate {
 public:
  /// Makes the pipe in `directory`. Throws Error.
  explicit WriterGate(const std::filesystem::path& directory);

  /// Lets one save pass: the one that waits, or the next one that comes.
  void open() const;

  /// For CheckpointerParts::checkpoint_writer_init_fn: cairn's own writer, behind the gate.
  WriterFactory writer() const;

 private:
  std::filesystem::path path_;
  UniqueFd pipe_;
};

}  // namespace cairn::bench
