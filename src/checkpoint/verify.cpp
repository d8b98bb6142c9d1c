#include "checkpoint/verify.hpp"

#include <fcntl.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

#include "cairn/error.hpp"
#include "cairn/promise.hpp"
#include "checkpoint/checkpoint_directory.hpp"
#include "checkpoint/chunk_reader.hpp"
#include "checkpoint/read_engine.hpp"
#include "format/tree.hpp"

namespace cairn::checkpoint {
namespace {

namespace fs = std::filesystem;
using format::digest_block_bytes;

/// Collects what is found, on any thread.
class Findings {
 public:
  Findings(VerifyProgress progress, std::uint64_t bytes_total)
      : progress_(std::move(progress)), bytes_total_(bytes_total) {}

  void damage(std::string text) {
    const std::lock_guard lock(mutex_);
    if (report_.damages.size() < damages_max) {
      report_.damages.push_back(std::move(text));
    } else {
      ++report_.damages_left_out;
    }
  }

  void verified(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    report_.bytes_verified += bytes;
    if (progress_) progress_(report_.bytes_verified, bytes_total_);
  }

  void file_done() {
    const std::lock_guard lock(mutex_);
    ++report_.files_verified;
  }

  std::size_t damage_count() {
    const std::lock_guard lock(mutex_);
    return report_.damages.size();
  }

  VerifyReport take() {
    std::sort(report_.damages.begin(), report_.damages.end());
    return std::move(report_);
  }

 private:
  std::mutex mutex_;
  VerifyReport report_;
  VerifyProgress progress_;
  std::uint64_t bytes_total_;
};

/// Every block against its digest, then the header and the tree.
Task<void> verify_data(ReadEngine& engine, fs::path path, std::uint64_t bytes, std::vector<format::Digest> digests,
                       Findings& findings) {
  const std::size_t damages_before = findings.damage_count();
  uring::File file = co_await uring::File::open(engine.io(), path, O_RDONLY | O_DIRECT);
  const std::vector<Chunk> chunks = whole_file_chunks(0, bytes);
  const ConsumeChunk consume = [&](std::size_t number, std::span<const std::byte> read) {
    for (std::uint64_t at = 0; at < read.size(); at += digest_block_bytes) {
      const std::uint64_t block = (chunks[number].offset + at) / digest_block_bytes;
      try {
        verify_block(path, block, read.subspan(at, std::min(digest_block_bytes, read.size() - at)), digests[block]);
      } catch (const Error& error) {
        findings.damage(error.context());
      }
    }
    findings.verified(read.size());
  };
  std::vector<uring::File*> files;
  files.push_back(&file);
  ChunkReader reader(std::move(files), engine.buffers(), engine.pool());
  co_await reader.read(chunks, consume, engine.stop_token());
  if (findings.damage_count() != damages_before) co_return;

  const LoadFile opened = co_await engine.loader().open(path, bytes, std::move(digests), engine.stop_token());
  const std::function<void()> parse = [&] { static_cast<void>(format::read_tree(opened.header, path.string())); };
  co_await engine.pool().run(parse);
}

/// Whether an error is about the checkpoint, and not about us: permissions, memory, descriptors.
bool is_damage(const Error& error) {
  return error.code() == Errc::damaged || error.code() == std::errc::io_error ||
         error.code() == std::errc::no_such_file_or_directory;
}

/// Sidecar and data file of one rank. An error is one of them being damaged, or unreadable, as a whole.
Task<void> verify_rank(ReadEngine& engine, const CheckpointDirectory& checkpoint, std::int64_t rank,
                       Findings& findings) {
  const format::FileEntry& data = data_entry(checkpoint, rank);
  std::vector<format::Digest> digests;
  const std::function<void()> describe = [&] { digests = read_sidecar(checkpoint, rank).digests; };
  co_await engine.pool().run(describe);
  findings.verified(sidecar_entry(checkpoint, rank).bytes);
  findings.file_done();
  co_await verify_data(engine, checkpoint.file(data.name), data.bytes, std::move(digests), findings);
  findings.file_done();
}

Task<void> verify_ranks(ReadEngine& engine, const CheckpointDirectory& checkpoint, Findings& findings,
                        Promise<void>& done) {
  for (std::int64_t rank = 0; rank < checkpoint.manifest.world_size; ++rank) {
    try {
      co_await verify_rank(engine, checkpoint, rank, findings);
    } catch (const Error& error) {
      if (!is_damage(error)) {
        done.set_exception(std::current_exception());
        co_return;
      }
      findings.damage(error.code() == Errc::damaged ? error.context() : error.what());
    } catch (...) {
      done.set_exception(std::current_exception());
      co_return;
    }
  }
  done.set_value();
}

}  // namespace

VerifyReport verify_checkpoint(const fs::path& path, VerifyProgress progress, IoBackend backend) {
  CheckpointDirectory checkpoint;
  try {
    checkpoint = read_manifest(path, "verify");
    check_file_sizes(checkpoint);
  } catch (const Error& error) {
    if (error.code() != Errc::damaged) throw;
    VerifyReport report;
    report.damages.push_back(error.context());
    return report;
  }

  std::uint64_t bytes_total = 0;
  for (const format::FileEntry& file : checkpoint.manifest.files)
    bytes_total += file.bytes;
  Findings findings(std::move(progress), bytes_total);
  Promise<void> done;
  ReadEngine engine(backend, true);
  engine.start(verify_ranks(engine, checkpoint, findings, done));
  done.future().get();
  return findings.take();
}

}  // namespace cairn::checkpoint
