#pragma once

#include <chrono>
#include <filesystem>
#include <functional>

#include "cairn/error.hpp"
#include "cairn/task.hpp"
#include "checkpoint/attempt.hpp"
#include "loop/loop.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// Waits, on the loop, until the executors of dead trainers that write in `parent` now are done; those of the trainer
/// `own` are not waited for. Errc::timed_out names those that are left after `wait_max`.
Task<> orphans_gone(loop::Loop& loop, std::filesystem::path parent, std::chrono::milliseconds wait_max,
                    WriterIdentity own, std::stop_token stop);

/// Removes what saves that died have left in `parent`: partial directories without a writer. What one of them had to
/// say (its error.json) is told to `notice` first. Whatever cannot be removed is let be: it is no reason to fail a
/// save.
Task<> remove_leftovers(uring::FileIo& io, std::filesystem::path parent, std::function<void(const Error&)> notice);

/// Puts right what a save left half done that was killed between its two renames (where directories cannot be
/// exchanged): the old checkpoint goes back to `path`, or away if the new one is there.
Task<> finish_replacement(uring::FileIo& io, std::filesystem::path path);

}  // namespace cairn::checkpoint
