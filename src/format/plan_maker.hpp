#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "format/plan.hpp"

namespace cairn::format {

/// Lays out the file of one state.
class PlanMaker {
 public:
  std::shared_ptr<const Plan> run(const StateDict& state);

 private:
  struct Leaf {
    Entry entry;
    std::string path;
    std::uint32_t layout = 0;
    const void* source = nullptr;
  };

  // Where the walk is: the key path, for errors, and the name that a tensor would have.
  struct Place {
    std::string path;
    std::string name;
    unsigned depth = 0;
  };

  void dict(const StateDict& dict, const Place& place);
  void list(const List& list, const Place& place);
  void value(const Value& value, std::string key, const Place& place);
  void tensor(const TensorView& view, TreeNode& node, const Place& place);
  std::uint32_t add_leaf(const TensorView& view, const void* source, const Place& place);
  std::uint32_t layout_id(const TensorView& view);
  std::string unique_name(const std::string& name);
  void place_leaves();
  void write_json();

  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  std::vector<Leaf> leaves_;  // in the order of the tree
  std::unordered_map<std::string, std::uint32_t> layout_ids_;
  std::unordered_map<std::string, std::uint32_t> shared_;  // source and layout → leaf
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, std::uint64_t> collisions_;
};

}  // namespace cairn::format
