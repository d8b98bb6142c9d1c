#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "cairn/task.hpp"
#include "checkpoint/loader.hpp"
#include "checkpoint/read_engine.hpp"
#include "format/tree.hpp"

namespace cairn::checkpoint {

/// A checkpoint whose files are open and whose headers have been read: nothing more can be taken away from a load.
struct OpenedCheckpoint {
  std::vector<LoadFile> files;  ///< of each rank
  format::ParsedTree tree;
};

/// Waits until no executor of a dead trainer is writing what is to become `path`, `wait_max` at most (then
/// Errc::timed_out, naming it). The wait costs no thread.
Task<void> wait_for_writer_of(ReadEngine& engine, std::filesystem::path path, std::chrono::milliseconds wait_max);

/// Opens the checkpoint at `path`: manifest, sizes, sidecar, header, each with its checks; `verify` false leaves
/// digests alone, now and in what follows. A save that puts another checkpoint there meanwhile makes it start again.
///
/// A safetensors file in place of a directory is taken too; it has no digests. `operation` is what errors begin with.
/// Throws Error: ENOENT, not_a_checkpoint, damaged, bad_argument for a checkpoint of several ranks.
Task<OpenedCheckpoint> open_checkpoint(ReadEngine& engine, std::filesystem::path path, bool verify,
                                       std::string operation);

}  // namespace cairn::checkpoint
