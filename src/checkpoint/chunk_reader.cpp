#include "checkpoint/chunk_reader.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "cairn/error.hpp"
#include "cairn/when_all.hpp"

namespace cairn::checkpoint {

Task<void> ChunkReader::read(std::span<const Chunk> chunks, ConsumeChunk consume, std::stop_token stop) {
  chunks_ = chunks;
  consume_ = std::move(consume);
  next_ = 0;
  error_ = nullptr;
  stopping_ = std::stop_source();
  const auto pass_on = [this] { stopping_.request_stop(); };
  const std::stop_callback stop_with(stop, pass_on);

  std::vector<Task<void>> lanes;
  const std::size_t lane_count = std::min<std::size_t>(chunks.size(), buffers_.count());
  for (std::size_t at = 0; at < lane_count; ++at)
    lanes.push_back(lane());
  Task<void> all = when_all(std::move(lanes));
  co_await all;
  if (error_) std::rethrow_exception(error_);
  if (stop.stop_requested()) throw Error(Errc::cancelled, "read");
}

/// Takes the next chunk until there is none. An error stops all lanes; they end when their reads have.
Task<void> ChunkReader::lane() {
  while (next_ < chunks_.size() && !stopping_.stop_requested()) {
    const std::size_t at = next_++;
    try {
      Task<void> one = read_one(at);
      co_await one;
    } catch (...) {
      if (!error_) error_ = std::current_exception();
      stopping_.request_stop();
    }
  }
}

Task<void> ChunkReader::read_one(std::size_t at) {
  const Chunk chunk = chunks_[at];
  uring::File& file = *files_[chunk.file];
  ReadBuffers::Lease lease = co_await buffers_.acquire();
  if (stopping_.stop_requested()) co_return;

  // Direct reads are whole units, past the end of the file too, where they come back short.
  const std::size_t unit = file.direct() ? std::max(file.alignment(), 4096u) : 1;
  const std::size_t wanted = (chunk.bytes + unit - 1) / unit * unit;
  const std::span<std::byte> into = lease.bytes().first(std::min(wanted, lease.bytes().size()));
  const std::size_t got = co_await file.read_up_to(into, chunk.offset, lease.registered_index(), stopping_.get_token());
  if (got < chunk.bytes) {
    throw Error(Errc::damaged, "read " + file.path().string() + ": it ends at " + std::to_string(chunk.offset + got) +
                                   ", though it was longer when it was opened");
  }

  const std::span<const std::byte> bytes = into.first(chunk.bytes);
  const std::function<void()> work = [this, at, bytes] { consume_(at, bytes); };
  Task<void> working = pool_.run(work);
  co_await working;
}

}  // namespace cairn::checkpoint
