#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/plan.hpp"

namespace cairn::format {

/// Walks a state and a plan side by side, as long as they agree. This is what a save costs the training thread, so it
/// makes one pass over the tree and touches little more than the tree itself.
class PlanWalk {
 public:
  /// `snapshot` may be null.
  PlanWalk(const Plan& plan, Snapshot* snapshot);

  /// Whether the state has the plan's structure.
  bool run(const StateDict& state);

  static std::optional<Snapshot> take(std::shared_ptr<const Plan> plan, const StateDict& state);

 private:
  bool dict(const StateDict& dict, const TreeNode& node);
  bool list(const List& list, const TreeNode& node);
  bool value(const Value& value, const TreeNode& node);
  bool tensor(const TensorView& view, std::uint32_t stored);
  bool sources_are_distinct() const;
  void prefetch(const std::vector<StateDict::Entry*>& entries, std::size_t index) const;

  const Plan& plan_;
  Snapshot* const snapshot_;
  std::size_t next_node_ = 0;
  std::vector<const void*> sources_;
  bool moved_ = false;  // some memory is not where it was when the plan was made
};

/// The key paths of a plan's nodes, one after the other.
class PathWalk {
 public:
  explicit PathWalk(std::span<const TreeNode> nodes) : nodes_(nodes) {}

  const std::string& next();

 private:
  struct Open {
    std::size_t path_size;
    std::uint32_t children;
    std::uint32_t next_child;
    bool is_list;
  };

  std::span<const TreeNode> nodes_;
  std::size_t next_node_ = 0;
  std::vector<Open> open_;
  std::string path_;
};

}  // namespace cairn::format
