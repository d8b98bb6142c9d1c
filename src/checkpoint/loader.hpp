#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "cairn/task.hpp"
#include "checkpoint/chunk_reader.hpp"
#include "checkpoint/load_plan.hpp"
#include "format/digest.hpp"
#include "format/safetensors.hpp"
#include "uring/file_io.hpp"

namespace cairn::checkpoint {

/// A data file that is open for loading.
struct LoadFile {
  std::unique_ptr<uring::File> file;
  std::uint64_t bytes = 0;
  std::vector<format::Digest> digests;  ///< one for each block; empty: nothing is verified
  std::vector<std::byte> head;          ///< its first bytes: whole digest blocks, verified, that hold the header
  format::Header header;
};

/// Throws damaged, naming file, block and byte range, unless block `block` of the file has this digest.
void verify_block(const std::filesystem::path& file, std::uint64_t block, std::span<const std::byte> bytes,
                  const format::Digest& expected);

/// Carries out the reading of loads: opens files, and brings transfers from any number of them to their targets through
/// the buffers, verified block by block.
///
/// On the loop's thread. Several tasks of one Loader may run at the same time; they share the buffers.
class Loader {
 public:
  /// `direct`: O_DIRECT where the file system takes it.
  Loader(uring::FileIo& io, ReadBuffers& buffers, WorkPool& pool, bool direct)
      : io_(io), buffers_(buffers), pool_(pool), direct_(direct) {}

  /// Opens a data file of `bytes` bytes (nothing: whatever it has), reads its header and checks it. With `digests`, one
  /// for each digest block, the blocks of the header are verified. Throws damaged, or the error of a read.
  Task<LoadFile> open(std::filesystem::path path, std::optional<std::uint64_t> bytes,
                      std::vector<format::Digest> digests, std::stop_token stop);

  /// Brings all transfers; Transfer::file is an index into `files`. Reads only digest blocks that hold needed bytes,
  /// each once. Throws the first error; targets are partly filled then. Answers the bytes read, what open() read left
  /// out. `files` and `transfers` must outlive the task.
  Task<std::uint64_t> execute(std::span<LoadFile> files, std::span<const Transfer> transfers, std::stop_token stop);

 private:
  Task<void> read_head(LoadFile& file, std::uint64_t bytes, std::stop_token stop);

  uring::FileIo& io_;
  ReadBuffers& buffers_;
  WorkPool& pool_;
  bool direct_;
};

}  // namespace cairn::checkpoint
