#pragma once

#include <vector>

#include "cairn/task.hpp"
#include "executor/slot_job.hpp"
#include "format/digest.hpp"
#include "uring/file.hpp"

namespace cairn::executor {

/// Writes a slot's image into `file` while it is being staged, and gives the digests of its blocks.
///
/// Blocks of 4 MiB, eight in flight: each is digested (XXH3-128 of every MiB) when it is ready and then written, so the
/// digests are of the very bytes that the kernel was given. The file is padded to whole pages while it is written
/// (direct I/O wants that) and cut to its length at the end; it is not synced here.
///
/// Where the window holds the whole image everything is written, also what a worker that died had written before. An
/// image that streams through a smaller window goes on behind the last byte of that worker.
///
/// Throws Error: what writing throws, Errc::cancelled when `job.stop` is requested.
Task<std::vector<format::Digest>> write_image(uring::File& file, SlotJob& job);

}  // namespace cairn::executor
