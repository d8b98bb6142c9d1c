#include "format/plan_maker.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "cairn/error.hpp"
#include "format/json.hpp"
#include "format/key_path.hpp"

namespace cairn::format {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(Errc::bad_argument, "save " + path + ": " + why);
}

// The bytes of a number as a part of a map's key.
template <class T>
void append_raw(std::string& key, const T& number) {
  key.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// A character of a string becomes at most seven in the header: \u0001 is escaped once in the tree and once around it.
constexpr std::uint64_t escaped_bytes_max = 7;
constexpr std::uint64_t node_bytes_max = 64;

}  // namespace

std::shared_ptr<const Plan> PlanMaker::run(const StateDict& state) {
  plan_->nodes_.push_back(TreeNode{TreeNode::Type::dict, {}, static_cast<std::uint32_t>(state.size()), 0});
  dict(state, Place{{}, {}, 1});
  place_leaves();
  write_json();
  return std::move(plan_);
}

void PlanMaker::dict(const StateDict& dict, const Place& place) {
  for (const auto& [key, value] : dict) {
    Place inner = place;
    append_key(inner.path, key);
    if (key.find('\0') != std::string::npos) refuse(inner.path, "NUL in a key");
    if (!is_utf8(key)) refuse(inner.path, "a key that is not valid UTF-8");
    if (place.depth == 1 && key == "__metadata__") refuse(inner.path, "a name that safetensors keeps for itself");
    if (place.depth > 1) inner.name += '.';
    inner.name += key;
    this->value(value, key, inner);
  }
}

void PlanMaker::list(const List& list, const Place& place) {
  std::size_t index = 0;
  for (const Value& item : list) {
    Place inner = place;
    append_index(inner.path, index);
    inner.name += '.';
    inner.name += std::to_string(index);
    value(item, {}, inner);
    ++index;
  }
}

void PlanMaker::value(const Value& value, std::string key, const Place& place) {
  if (plan_->nodes_.size() == UINT32_MAX) refuse(place.path, "more values than a file can hold");
  TreeNode node;
  node.key = std::move(key);
  switch (value.kind()) {
    case Kind::tensor:
      node.type = TreeNode::Type::tensor;
      tensor(value.as<TensorView>(), node, place);
      plan_->nodes_.push_back(std::move(node));
      break;
    case Kind::bytes: {
      const auto size = static_cast<std::int64_t>(value.as<Bytes>().size());
      const TensorView view(nullptr, false, DType::u8, std::span(&size, 1));
      node.type = TreeNode::Type::bytes;
      node.tensor = add_leaf(view, nullptr, place);
      ++plan_->bytes_count_;
      plan_->nodes_.push_back(std::move(node));
      break;
    }
    case Kind::list:
    case Kind::dict: {
      if (place.depth == nesting_depth_max)
        refuse(place.path, "nested deeper than " + std::to_string(nesting_depth_max) + " levels");
      const bool is_list = value.kind() == Kind::list;
      node.type = is_list ? TreeNode::Type::list : TreeNode::Type::dict;
      node.children = static_cast<std::uint32_t>(is_list ? value.as<List>().size() : value.as<StateDict>().size());
      plan_->nodes_.push_back(std::move(node));
      const Place inner{place.path, place.name, place.depth + 1};
      if (is_list)
        list(value.as<List>(), inner);
      else
        dict(value.as<StateDict>(), inner);
      break;
    }
    default:
      node.type = TreeNode::Type::scalar;
      ++plan_->scalar_count_;
      plan_->nodes_.push_back(std::move(node));
  }
}

void PlanMaker::tensor(const TensorView& view, TreeNode& node, const Place& place) {
  if (!view.device().is_host())
    refuse(place.path, "a tensor on " + to_string(view.device()) + "; only host tensors can be saved");
  if (view.element_count() == 0) {
    node.tensor = add_leaf(view, view.data(), place);
    return;
  }
  if (view.data() == nullptr) refuse(place.path, "a tensor without memory");
  std::string same;
  append_raw(same, view.data());
  append_raw(same, layout_id(view));
  const auto [shared, is_new] = shared_.emplace(std::move(same), 0);
  if (is_new) shared->second = add_leaf(view, view.data(), place);
  node.tensor = shared->second;
}

std::uint32_t PlanMaker::add_leaf(const TensorView& view, const void* source, const Place& place) {
  Leaf leaf;
  leaf.entry.name = unique_name(place.name);
  leaf.entry.dtype = view.dtype();
  leaf.entry.shape.assign(view.shape().begin(), view.shape().end());
  leaf.entry.end = view.size_bytes();
  leaf.path = place.path;
  leaf.layout = layout_id(view);
  leaf.source = source;
  leaves_.push_back(std::move(leaf));
  return static_cast<std::uint32_t>(leaves_.size() - 1);
}

std::uint32_t PlanMaker::layout_id(const TensorView& view) {
  std::string key;
  append_raw(key, view.dtype());
  append_raw(key, view.device().index());
  append_raw(key, view.is_contiguous());
  for (const std::int64_t extent : view.shape())
    append_raw(key, extent);
  if (!view.is_contiguous())
    for (const std::int64_t stride : view.strides())
      append_raw(key, stride);
  const auto [known, is_new] = layout_ids_.emplace(std::move(key), static_cast<std::uint32_t>(plan_->layouts_.size()));
  if (is_new) plan_->layouts_.push_back(view.at(nullptr, false));
  return known->second;
}

// Paths collide where keys hold dots ({"a.b": …} and {"a": {"b": …}}). The first one keeps the plain name.
std::string PlanMaker::unique_name(const std::string& name) {
  if (names_.insert(name).second) return name;
  std::uint64_t& number = collisions_.emplace(name, 1).first->second;
  for (;;) {
    std::string candidate = name + "#" + std::to_string(++number);
    if (names_.insert(candidate).second) return candidate;
  }
}

void PlanMaker::place_leaves() {
  std::vector<std::uint32_t> order(leaves_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [this](std::uint32_t leaf) {
    const Entry& entry = leaves_[leaf].entry;
    return std::pair<unsigned, std::string_view>(64 - alignment_bytes(entry.dtype), entry.name);
  });
  std::vector<std::uint32_t> places(leaves_.size());
  std::uint64_t offset = 0;
  for (const std::uint32_t index : order) {
    Leaf& leaf = leaves_[index];
    places[index] = static_cast<std::uint32_t>(plan_->tensors_.size());
    leaf.entry.begin = offset;
    if (__builtin_add_overflow(offset, leaf.entry.end, &offset) || offset > static_cast<std::uint64_t>(INT64_MAX) / 2)
      refuse(leaf.path, "the file would be too large");
    leaf.entry.end = offset;
    plan_->layout_ids_.push_back(leaf.layout);
    plan_->sources_.push_back(leaf.source);
    plan_->tensors_.push_back({std::move(leaf.entry), std::move(leaf.path)});
  }
  plan_->data_bytes_ = offset;
  for (TreeNode& node : plan_->nodes_)
    if (node.type == TreeNode::Type::tensor || node.type == TreeNode::Type::bytes) node.tensor = places[node.tensor];
}

void PlanMaker::write_json() {
  std::string& entries = plan_->entries_json_;
  std::string& tensors = plan_->tensors_json_;
  tensors += '[';
  for (const StoredTensor& tensor : plan_->tensors_) {
    std::string name;
    append_json_string(name, tensor.entry.name);
    std::string members;
    append_members(members, tensor.entry);
    entries.append(",").append(name).append(":{").append(members).append("}");
    if (entries.size() > header_json_bytes_max)
      refuse(tensor.path, "the header would be longer than the " + std::to_string(header_json_bytes_max) +
                              " bytes that can be read");
    if (tensors.size() > 1) tensors += ',';
    tensors.append("\n  {\"name\":").append(name).append(",").append(members).append("}");
  }
  tensors += "\n]";

  std::uint64_t bytes_max = entries.size() + 4 * node_bytes_max;
  for (const TreeNode& node : plan_->nodes_) {
    bytes_max += node_bytes_max + escaped_bytes_max * node.key.size();
    if (node.type == TreeNode::Type::tensor || node.type == TreeNode::Type::bytes)
      bytes_max += escaped_bytes_max * plan_->tensors_[node.tensor].entry.name.size();
  }
  plan_->header_bytes_max_ = bytes_max;
}

}  // namespace cairn::format
