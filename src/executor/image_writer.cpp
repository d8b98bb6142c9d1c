#include "executor/image_writer.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <span>

#include "cairn/error.hpp"
#include "cairn/scope.hpp"
#include "core/yield.hpp"
#include "executor/mapped_slots.hpp"

namespace cairn::executor {
namespace {

constexpr unsigned blocks_in_flight_max = 8;
constexpr std::uint64_t page_bytes = 4096;

constexpr std::uint64_t round_up(std::uint64_t bytes, std::uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class ImageWrite {
 public:
  ImageWrite(uring::File& file, SlotJob& job)
      : file_(file),
        job_(job),
        header_(job.header()),
        window_(job.mapped().window(job.slot())),
        image_bytes_(header_.image_bytes.load(std::memory_order_acquire)),
        streams_(image_bytes_ > window_.capacity_bytes),
        digests_(round_up(image_bytes_, format::digest_block_bytes) / format::digest_block_bytes),
        is_written_(round_up(image_bytes_, slot_block_bytes) / slot_block_bytes) {}

  Task<> run() {
    resume_after_death();
    std::exception_ptr error;
    try {
      co_await write_blocks();
    } catch (...) {
      error = std::current_exception();
    }
    co_await scope_.join();  // whatever happened: the kernel owns the blocks in flight
    if (error) std::rethrow_exception(error);
    SlotState expected = SlotState::ready;
    header_.state.compare_exchange_strong(expected, SlotState::writing, std::memory_order_acq_rel);
  }

  std::vector<format::Digest> take_digests() { return std::move(digests_); }

 private:
  static constexpr std::uint64_t digests_per_block = slot_block_bytes / format::digest_block_bytes;

  Task<> write_blocks() {
    for (std::uint64_t block = blocks_written_; block < is_written_.size(); ++block) {
      co_await ready(block);
      digest(block);
      while (in_flight_ == blocks_in_flight_max && !failed_)
        co_await completed_.next();
      if (failed_) break;
      ++in_flight_;
      scope_.spawn(write(block));
      co_await yield();  // lets the ring submit before the next block is digested
    }
  }

  std::uint64_t block_end(std::uint64_t block) const { return std::min((block + 1) * slot_block_bytes, image_bytes_); }

  std::span<const std::byte> bytes_of(std::uint64_t begin, std::uint64_t end) const {
    return {window_.data + begin % window_.capacity_bytes, end - begin};
  }

  void resume_after_death() {
    if (!streams_) {
      header_.written_bytes.store(0, std::memory_order_release);
      return;
    }
    blocks_written_ = header_.written_bytes.load(std::memory_order_acquire) / slot_block_bytes;
    std::fill_n(is_written_.begin(), blocks_written_, true);
    const std::uint64_t known = std::min<std::uint64_t>(blocks_written_ * digests_per_block, digests_.size());
    if (known > 0) job_.slots().read_digests(job_.slot(), digests_.data(), known * sizeof(format::Digest));
  }

  Task<> ready(std::uint64_t block) {
    while (header_.ready_bytes.load(std::memory_order_acquire) < block_end(block)) {
      if (failed_) co_return;
      throw_if_stopped();
      co_await job_.changed().next();
    }
    throw_if_stopped();
  }

  void throw_if_stopped() const {
    if (job_.stop.stop_requested()) throw Error(Errc::cancelled, "write " + file_.path().string());
  }

  void digest(std::uint64_t block) {
    const std::uint64_t first = block * digests_per_block;
    std::uint64_t at = first;
    for (std::uint64_t begin = block * slot_block_bytes; begin < block_end(block); ++at) {
      const std::uint64_t end = std::min(begin + format::digest_block_bytes, block_end(block));
      digests_[at] = format::digest(bytes_of(begin, end));
      begin = end;
    }
    if (streams_)
      job_.slots().write_digests(job_.slot(), first, &digests_[first], (at - first) * sizeof(format::Digest));
  }

  Task<> write(std::uint64_t block) {
    const std::uint64_t begin = block * slot_block_bytes;
    const std::uint64_t end = round_up(block_end(block), page_bytes);
    const int buffer = job_.mapped().buffer_index(job_.slot(), begin % window_.capacity_bytes);
    try {
      co_await file_.write_all(bytes_of(begin, end), begin, buffer, job_.stop.get_token());
    } catch (...) {
      failed_ = true;
      --in_flight_;
      completed_.notify_all();
      job_.changed().notify_all();
      throw;
    }
    --in_flight_;
    is_written_[block] = true;
    while (blocks_written_ < is_written_.size() && is_written_[blocks_written_])
      ++blocks_written_;
    header_.written_bytes.store(std::min(blocks_written_ * slot_block_bytes, image_bytes_), std::memory_order_release);
    if (streams_ && job_.on_written) job_.on_written();
    completed_.notify_all();
  }

  uring::File& file_;
  SlotJob& job_;
  SlotHeader& header_;
  const SlotWindow window_;
  const std::uint64_t image_bytes_;
  const bool streams_;
  std::vector<format::Digest> digests_;
  std::vector<bool> is_written_;
  std::uint64_t blocks_written_ = 0;  ///< how many from the first on are in the file, without a gap
  unsigned in_flight_ = 0;
  bool failed_ = false;
  Notifier completed_;
  Scope scope_;
};

}  // namespace

Task<std::vector<format::Digest>> write_image(uring::File& file, SlotJob& job) {
  const std::uint64_t image_bytes = job.header().image_bytes.load(std::memory_order_acquire);
  co_await file.allocate(round_up(image_bytes, page_bytes), job.stop.get_token());
  ImageWrite write(file, job);
  co_await write.run();
  co_await file.truncate(image_bytes, job.stop.get_token());
  co_return write.take_digests();
}

}  // namespace cairn::executor
