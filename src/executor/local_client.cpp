#include "executor/local_client.hpp"

namespace cairn::executor {

LocalClient::LocalClient(const SharedSlots& slots, uring::FileIo& io, std::unique_ptr<SlotHandler> handler)
    : mapped_(slots, io),
      handler_(std::move(handler)),
      results_(slots.size()),
      queue_(slots, mapped_, *handler_, *this) {}

void LocalClient::start() {
  running_.spawn(queue_.run());
}

Task<> LocalClient::stop() {
  queue_.close();
  co_await running_.join();
}

Task<> LocalClient::begin(unsigned slot, std::uint64_t generation) {
  results_.expect(slot, generation);
  queue_.begin(slot, generation);
  co_await results_.wait_begun(slot);
}

void LocalClient::changed(unsigned slot, std::uint64_t generation) {
  queue_.changed(slot, generation);
}

void LocalClient::abandon(unsigned slot, std::uint64_t generation) {
  queue_.abandon(slot, generation);
}

void LocalClient::begun(unsigned slot, std::uint64_t generation, const Error* error) {
  results_.begun(slot, generation, error);
}

void LocalClient::written(unsigned slot, std::uint64_t generation) {
  results_.written(slot, generation);
}

void LocalClient::outcome(unsigned slot, std::uint64_t generation, const Error* error) {
  results_.outcome(slot, generation, error);
}

/// Nothing outlives this process that could go on with the save.
Task<> LocalClient::hold(unsigned, std::uint64_t, int) {
  co_return;
}

void LocalClient::release(unsigned) {}

}  // namespace cairn::executor
