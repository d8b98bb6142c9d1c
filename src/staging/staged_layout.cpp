#include "staging/staged_layout.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>

#include "cairn/error.hpp"

namespace cairn::staging {
namespace {

constexpr std::uint64_t line_bytes = 64;  // no element type needs a larger alignment, and copies like this one

const std::byte* begin_of(const TensorView& view) {
  return static_cast<const std::byte*>(view.data());
}

TensorView bytes_view(const std::byte* begin, std::uint64_t bytes) {
  const std::int64_t shape[] = {static_cast<std::int64_t>(bytes)};
  return TensorView(begin, false, DType::u8, std::span<const std::int64_t>(shape));
}

}  // namespace

StagedLayout::StagedLayout(StateDict& state) {
  collect(state);
  std::vector<Leaf*> contiguous;
  std::vector<Leaf*> strided;
  for (Leaf& leaf : leaves_) {
    if (!leaf.view.device().is_host()) {
      throw Error(Errc::bad_argument, "stage a tensor in memory of " + to_string(leaf.view.device()));
    }
    if (leaf.view.size_bytes() == 0) continue;
    (leaf.view.is_contiguous() ? contiguous : strided).push_back(&leaf);
  }
  place_contiguous(std::move(contiguous));
  place_strided(std::move(strided));
}

void StagedLayout::collect(StateDict& state) {
  // A stack of our own: nesting in memory has no limit.
  std::vector<Value*> open;
  for (auto& entry : state)
    open.push_back(&entry.second);
  while (!open.empty()) {
    Value& value = *open.back();
    open.pop_back();
    if (value.is<TensorView>()) {
      leaves_.push_back(Leaf{&value, value.tensor()});
    } else if (value.is<List>()) {
      for (Value& item : value.as<List>())
        open.push_back(&item);
    } else if (value.is<StateDict>()) {
      for (auto& entry : value.as<StateDict>())
        open.push_back(&entry.second);
    }
  }
}

void StagedLayout::place_contiguous(std::vector<Leaf*> leaves) {
  std::sort(leaves.begin(), leaves.end(), [](const Leaf* left, const Leaf* right) {
    return std::less<>()(begin_of(left->view), begin_of(right->view));
  });
  for (auto first = leaves.begin(); first != leaves.end();) {
    const std::byte* const begin = begin_of((*first)->view);
    const std::byte* end = begin;
    auto last = first;
    do {
      end = std::max(end, begin_of((*last)->view) + (*last)->view.size_bytes(), std::less<>());
      ++last;
    } while (last != leaves.end() && std::less<>()(begin_of((*last)->view), end));
    const auto bytes = static_cast<std::uint64_t>(end - begin);
    const std::uint64_t offset =
        add_region(bytes_view(begin, bytes), reinterpret_cast<std::uintptr_t>(begin) % line_bytes);
    for (; first != last; ++first) {
      (*first)->offset = offset + static_cast<std::uint64_t>(begin_of((*first)->view) - begin);
    }
  }
}

void StagedLayout::place_strided(std::vector<Leaf*> leaves) {
  std::sort(leaves.begin(), leaves.end(), [](const Leaf* left, const Leaf* right) {
    return std::less<>()(begin_of(left->view), begin_of(right->view));
  });
  for (std::size_t at = 0; at < leaves.size(); ++at) {
    Leaf& leaf = *leaves[at];
    bool found = false;
    for (std::size_t other = at; other-- > 0 && !found && leaves[other]->view.data() == leaf.view.data();) {
      found = leaves[other]->view.same_layout(leaf.view);
      if (found) leaf.offset = leaves[other]->offset;
    }
    if (!found) leaf.offset = add_region(leaf.view, 0);
  }
}

std::uint64_t StagedLayout::add_region(const TensorView& source, std::uint64_t misalignment) {
  const std::uint64_t offset = (bytes_ + line_bytes - 1) / line_bytes * line_bytes + misalignment;
  format::Piece piece;
  piece.file_offset = offset;
  piece.bytes = source.size_bytes();
  piece.source = source;
  pieces_.push_back(std::move(piece));
  bytes_ = offset + source.size_bytes();
  return offset;
}

format::Image StagedLayout::place(MemoryWindow* window, const std::shared_ptr<void>& owner,
                                  std::vector<Tensor>& sources) {
  for (Leaf& leaf : leaves_) {
    if (leaf.value->is<Tensor>()) sources.push_back(leaf.value->as<Tensor>());
    if (leaf.view.size_bytes() == 0) {
      *leaf.value = Tensor::empty(leaf.view.dtype(), leaf.view.shape());
      continue;
    }
    TensorView staged(window->data() + leaf.offset, true, leaf.view.dtype(), leaf.view.shape());
    *leaf.value = Tensor::adopt(std::move(staged), owner);
  }
  format::Image image;
  image.bytes = bytes_;
  image.pieces = std::move(pieces_);
  return image;
}

}  // namespace cairn::staging
