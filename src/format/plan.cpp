#include "format/plan.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "cairn/error.hpp"
#include "format/json.hpp"
#include "format/key_path.hpp"
#include "format/plan_maker.hpp"
#include "format/plan_walk.hpp"

namespace cairn::format {

std::shared_ptr<const Plan> Plan::make(const StateDict& state) {
  return PlanMaker().run(state);
}

bool Plan::matches(const StateDict& state) const {
  return PlanWalk(*this, nullptr).run(state);
}

std::optional<Snapshot> take_if_matches(std::shared_ptr<const Plan> plan, const StateDict& state) {
  return PlanWalk::take(std::move(plan), state);
}

Snapshot take(std::shared_ptr<const Plan> plan, const StateDict& state) {
  std::optional<Snapshot> snapshot = take_if_matches(std::move(plan), state);
  if (!snapshot) throw Error(Errc::bad_argument, "take a snapshot of a state that the plan was not made for");
  return std::move(*snapshot);
}

TensorView Snapshot::source(std::size_t tensor) const {
  return plan_->layout(tensor).at(sources_[tensor], false);
}

std::string Snapshot::header_json() const {
  std::vector<std::string_view> names;
  names.reserve(plan_->tensors_.size());
  for (const StoredTensor& tensor : plan_->tensors_)
    names.emplace_back(tensor.entry.name);
  std::string json = "{\"__metadata__\":{";
  append_json_string(json, metadata_version_key);
  json += ':';
  append_json_string(json, format_version_text);
  json += ',';
  append_json_string(json, metadata_tree_key);
  json += ':';
  append_json_string(json, tree_text(plan_->nodes_, scalars_, names));
  json += '}';
  json += plan_->entries_json_;
  json += '}';
  return json;
}

Image Snapshot::image() const {
  Image image;
  image.header = frame_header(header_json());
  image.bytes = image.header.size() + plan_->data_bytes_;
  image.tensors_json = plan_->tensors_json_;
  image.pieces.reserve(plan_->tensors_.size());
  for (std::size_t index = 0; index < plan_->tensors_.size(); ++index) {
    const Entry& entry = plan_->tensors_[index].entry;
    if (entry.begin == entry.end) continue;
    image.pieces.push_back({image.header.size() + entry.begin, entry.end - entry.begin, source(index)});
  }
  return image;
}

// Whether the header can be read again: exactly, but only where a bound does not say so at once.
void Snapshot::check_header() const {
  std::uint64_t string_bytes = 0;
  for (const Scalar& scalar : scalars_)
    if (const auto* text = std::get_if<std::string>(&scalar)) string_bytes += text->size();
  if (plan_->header_bytes_max_ + 7 * string_bytes <= header_json_bytes_max - data_alignment_bytes) return;
  if (header_json().size() + data_alignment_bytes <= header_json_bytes_max) return;

  // The longest text is the one to name.
  std::size_t longest_bytes = 0;
  std::string longest;
  std::size_t next_scalar = 0;
  PathWalk paths(plan_->nodes_);
  for (const TreeNode& node : plan_->nodes_) {
    const std::string& path = paths.next();
    std::size_t bytes = node.key.size();
    if (node.type == TreeNode::Type::scalar)
      if (const auto* text = std::get_if<std::string>(&scalars_[next_scalar++])) bytes += text->size();
    if (bytes > longest_bytes) {
      longest_bytes = bytes;
      longest = path;
    }
  }
  throw Error(Errc::bad_argument, "save " + longest + ": the header would be longer than the " +
                                      std::to_string(header_json_bytes_max) + " bytes that can be read");
}

}  // namespace cairn::format
