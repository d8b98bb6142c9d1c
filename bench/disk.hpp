#pragma once

#include <filesystem>

namespace cairn::bench {

/// Waits until everything that was written or removed on the file system of `directory` is on the disk, so that a run
/// does not pay for the one before it.
void settle(const std::filesystem::path& directory);

/// Takes `file` out of the page cache; throws Error where some of it stays there.
void evict(const std::filesystem::path& file);

}  // namespace cairn::bench
