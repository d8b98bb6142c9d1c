#include "cairn/barrier.hpp"

#include "cairn/error.hpp"
#include "core/registry.hpp"

namespace cairn {
namespace {

std::shared_ptr<Barrier> no_barrier(const BarrierConfig&, const RankInfo& rank) {
  if (rank.global_world_size == 1) return nullptr;
  throw Error(Errc::bad_argument, "barrier type \"none\" with " + std::to_string(rank.global_world_size) + " ranks");
}

Registry<BarrierFactory>& barriers() {
  static Registry<BarrierFactory> registry("barrier type");
  [[maybe_unused]] static const bool has_none = (registry.set("none", no_barrier), true);
  return registry;
}

}  // namespace

void register_barrier(std::string type, BarrierFactory factory) {
  barriers().set(std::move(type), std::move(factory));
}

std::shared_ptr<Barrier> make_barrier(const BarrierConfig& config, const RankInfo& rank) {
  const std::string type = config.barrier_type.empty() ? "none" : config.barrier_type;
  return barriers().get(type)(config, rank);
}

}  // namespace cairn
