#include "training_state.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "cairn/error.hpp"

namespace cairn::bench {
namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t alignment_bytes = 64;  // what allocators of trainers give

struct Part {
  const char* name;
  std::uint64_t share;  // of a layer, in 1/shares_per_copy
};
constexpr std::array<Part, 5> parts{{{"qkv", 300}, {"projection", 100}, {"up", 400}, {"down", 400}, {"norm", 1}}};
constexpr std::array<const char*, 3> copies{"weights", "first_moment", "second_moment"};
constexpr std::uint64_t shares_per_copy = 1201;
static_assert(parts.size() * copies.size() == TrainingState::tensors_per_layer);

void fill(const Memory& memory) {
  in_parts(memory.bytes(), [&](std::uint64_t begin, std::uint64_t end) {
    std::uint64_t random = begin * 2 + 1;
    for (std::uint64_t at = begin; at + sizeof random <= end; at += sizeof random) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      std::memcpy(memory.data() + at, &random, sizeof random);
    }
  });
}

}  // namespace

TrainingState::TrainingState(std::uint64_t bytes, unsigned tensors) : source_memory_(bytes), target_memory_(bytes) {
  const std::uint64_t layers = tensors / tensors_per_layer;
  std::uint64_t offset = 0;
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    for (const char* const copy : copies) {
      for (const Part& part : parts) {
        const std::uint64_t room = bytes / layers / copies.size() * part.share / shares_per_copy;
        const std::uint64_t rounded = room / alignment_bytes * alignment_bytes;
        const std::vector<std::int64_t> shape{static_cast<std::int64_t>(rounded / sizeof(float))};
        const std::string name = fmt::format("layers.{}.{}", layer, part.name);
        source_[copy][name] = tensor(source_memory_.data() + offset, DType::f32, shape);
        target_[copy][name] = tensor(target_memory_.data() + offset, DType::f32, shape);
        offset += rounded;
      }
    }
  }
  tensor_bytes_ = offset;
  source_["step"] = std::int64_t{0};
  target_["step"] = std::int64_t{0};
  fill(source_memory_);
}

void TrainingState::train() {
  ++step_;
  in_parts(tensor_bytes_, [this](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t page = begin; page + sizeof step_ <= end; page += page_bytes)
      std::memcpy(source_memory_.data() + page, &step_, sizeof step_);
  });
  source_["step"] = static_cast<std::int64_t>(step_);
}

void TrainingState::forget_target() {
  in_parts(tensor_bytes_, [this](std::uint64_t begin, std::uint64_t end) {
    std::memset(target_memory_.data() + begin, 0xA5, end - begin);
  });
  target_["step"] = std::int64_t{-1};
}

void TrainingState::require_equal(const std::string& what) const {
  std::atomic<bool> equal = target_.at("step").as<std::int64_t>() == source_.at("step").as<std::int64_t>();
  in_parts(tensor_bytes_, [&](std::uint64_t begin, std::uint64_t end) {
    if (std::memcmp(source_memory_.data() + begin, target_memory_.data() + begin, end - begin) != 0) equal = false;
  });
  if (!equal) throw Error(Errc::damaged, what + ": its tensors are not those that were saved");
}

}  // namespace cairn::bench
