#include "format/plan_walk.hpp"

#include <bit>

#include "format/key_path.hpp"
#include "format/state_nodes.hpp"

namespace cairn::format {

PlanWalk::PlanWalk(const Plan& plan, Snapshot* snapshot)
    : plan_(plan), snapshot_(snapshot), sources_(plan.tensors_.size()) {
  if (snapshot == nullptr) return;
  snapshot->scalars_.reserve(plan.scalar_count_);
  snapshot->bytes_.reserve(plan.bytes_count_);
}

std::optional<Snapshot> PlanWalk::take(std::shared_ptr<const Plan> plan, const StateDict& state) {
  Snapshot snapshot(std::move(plan));
  PlanWalk walk(*snapshot.plan_, &snapshot);
  if (!walk.run(state)) return std::nullopt;
  snapshot.sources_ = std::move(walk.sources_);
  snapshot.check_header();
  return snapshot;
}

bool PlanWalk::run(const StateDict& state) {
  return dict(state, plan_.nodes_[next_node_++]) && (!moved_ || sources_are_distinct());
}

// Recursive: as deep as the plan at most.
bool PlanWalk::dict(const StateDict& dict, const TreeNode& node) {
  if (node.type != TreeNode::Type::dict || dict.size() != node.children) return false;
  if (dict.empty()) return true;
  const std::vector<StateDict::Entry*>& entries = detail::StateAccess::entries(dict)->entries;
  for (std::size_t index = 0; index < entries.size(); ++index) {
    prefetch(entries, index);
    const TreeNode& child = plan_.nodes_[next_node_++];
    const auto& [key, value] = *entries[index];
    if (key != child.key || !this->value(value, child)) return false;
  }
  return true;
}

// After a step of training the caches hold anything but the tree, whose nodes lie all over the heap: waiting for one
// after the other takes five times as long as the walk itself.
void PlanWalk::prefetch(const std::vector<StateDict::Entry*>& entries, std::size_t index) const {
  constexpr std::size_t node_distance = 8;
  constexpr std::size_t key_distance = 4;
  constexpr std::size_t line_bytes = 64;
  if (index + node_distance < entries.size()) {
    const char* const node = reinterpret_cast<const char*>(entries[index + node_distance]);
    for (std::size_t offset = 0; offset < sizeof(StateDict::Entry); offset += line_bytes)
      __builtin_prefetch(node + offset);
  }
  if (index + key_distance < entries.size()) __builtin_prefetch(entries[index + key_distance]->first.data());
  if (next_node_ + key_distance < plan_.nodes_.size())
    __builtin_prefetch(plan_.nodes_[next_node_ + key_distance].key.data());
}

bool PlanWalk::list(const List& list, const TreeNode& node) {
  if (node.type != TreeNode::Type::list || list.size() != node.children) return false;
  for (const Value& item : list)
    if (!value(item, plan_.nodes_[next_node_++])) return false;
  return true;
}

bool PlanWalk::value(const Value& value, const TreeNode& node) {
  const Kind kind = value.kind();
  switch (kind) {
    case Kind::tensor:
      if (node.type != TreeNode::Type::tensor || !tensor(value.as<TensorView>(), node.tensor)) return false;
      if (snapshot_ != nullptr && value.is<Tensor>()) snapshot_->owners_.push_back(value.as<Tensor>().owner());
      return true;
    case Kind::bytes: {
      const Bytes& bytes = value.as<Bytes>();
      if (node.type != TreeNode::Type::bytes || bytes.size() != plan_.layout(node.tensor).size_bytes()) return false;
      if (snapshot_ != nullptr) sources_[node.tensor] = snapshot_->bytes_.emplace_back(bytes).data();
      return true;
    }
    case Kind::list:
      return list(value.as<List>(), node);
    case Kind::dict:
      return dict(value.as<StateDict>(), node);
    default:
      break;
  }
  if (node.type != TreeNode::Type::scalar) return false;
  if (snapshot_ == nullptr) return true;
  std::vector<Scalar>& scalars = snapshot_->scalars_;
  if (kind == Kind::boolean)
    scalars.emplace_back(value.as<bool>());
  else if (kind == Kind::int64)
    scalars.emplace_back(value.as<std::int64_t>());
  else if (kind == Kind::uint64)
    scalars.emplace_back(value.as<std::uint64_t>());
  else if (kind == Kind::real)
    scalars.emplace_back(value.as<double>());
  else if (kind == Kind::string)
    scalars.emplace_back(value.as<std::string>());
  else
    scalars.emplace_back();
  return true;
}

bool PlanWalk::tensor(const TensorView& view, std::uint32_t stored) {
  if (!view.same_layout(plan_.layout(stored))) return false;
  const void* const data = view.data();
  const void*& source = sources_[stored];
  if (view.element_count() == 0) {
    source = data;
    return true;
  }
  // A second leaf on one stored tensor must still view the same memory. Without memory there is nothing to save, which
  // is for the next plan to say.
  if (data == nullptr || (source != nullptr && source != data)) return false;
  source = data;
  moved_ |= data != plan_.sources_[stored];
  return true;
}

// Whether no two stored tensors have become one. Asked only where memory moved: as long as every pointer is the one
// that the plan was made with, nothing can have changed.
bool PlanWalk::sources_are_distinct() const {
  const std::size_t slots = std::bit_ceil(2 * sources_.size() + 1);
  std::vector<std::uint32_t> table(slots);  // index + 1; 0 is free
  for (std::uint32_t index = 0; index < sources_.size(); ++index) {
    const void* const source = sources_[index];
    const std::uint32_t layout = plan_.layout_ids_[index];
    if (plan_.sources_[index] == nullptr || plan_.layouts_[layout].element_count() == 0) continue;
    std::uint64_t hash = (reinterpret_cast<std::uintptr_t>(source) ^ layout) * 0x9E3779B97F4A7C15u;
    for (std::size_t slot = hash >> 32 & (slots - 1);; slot = (slot + 1) & (slots - 1)) {
      if (table[slot] == 0) {
        table[slot] = index + 1;
        break;
      }
      const std::uint32_t other = table[slot] - 1;
      if (sources_[other] == source && plan_.layout_ids_[other] == layout) return false;
    }
  }
  return true;
}

const std::string& PathWalk::next() {
  const TreeNode& node = nodes_[next_node_++];
  while (!open_.empty() && open_.back().next_child == open_.back().children)
    open_.pop_back();
  if (!open_.empty()) {
    path_.resize(open_.back().path_size);
    if (open_.back().is_list)
      append_index(path_, open_.back().next_child);
    else
      append_key(path_, node.key);
    ++open_.back().next_child;
  }
  const bool is_list = node.type == TreeNode::Type::list;
  if (is_list || node.type == TreeNode::Type::dict) open_.push_back({path_.size(), node.children, 0, is_list});
  return path_;
}

}  // namespace cairn::format
