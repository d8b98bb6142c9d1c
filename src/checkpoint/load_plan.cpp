#include "checkpoint/load_plan.hpp"

#include <algorithm>
#include <unordered_set>

#include "cairn/error.hpp"
#include "checkpoint/new_values.hpp"
#include "format/key_path.hpp"

namespace cairn::checkpoint {
namespace {

/// Enough to see what is wrong; a target of another model may lack thousands.
constexpr std::size_t named_keys_max = 100;

[[noreturn]] void throw_missing(const LoadRequest& request, const std::vector<std::string>& keys) {
  std::string text = request.operation + ": not in the checkpoint: ";
  for (std::size_t at = 0; at < std::min(keys.size(), named_keys_max); ++at) {
    if (at > 0) text += ", ";
    text += keys[at];
  }
  if (keys.size() > named_keys_max) text += " and " + std::to_string(keys.size() - named_keys_max) + " more";
  throw Error(Errc::missing_keys, text);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t at = 0; at < shape.size(); ++at)
    text += (at > 0 ? ", " : "") + std::to_string(shape[at]);
  return text + "]";
}

std::string with_key(std::string path, std::string_view key) {
  format::append_key(path, key);
  return path;
}

std::string with_index(std::string path, std::size_t index) {
  format::append_index(path, index);
  return path;
}

bool is_integer(Kind kind) {
  return kind == Kind::int64 || kind == Kind::uint64;
}

/// Walks target and checkpoint together.
class Matcher {
 public:
  Matcher(const StoredLeaves& leaves, LoadPlan& plan, const LoadRequest& request)
      : leaves_(leaves), plan_(plan), request_(request), new_values_(leaves, plan.transfers) {}

  /// The outermost StateDict, which is no Value.
  void match_root(StateDict& target, const StateDict& source) {
    if (!target.empty()) return match_dicts(target, source, "");
    for (const auto& [key, value] : source) {
      plan_.insertions.push_back(LoadPlan::Insertion{&target, key, new_values_.make(value)});
    }
  }

  void match(Value& target, const Value& source, const std::string& path) {
    if (!seen_.insert(&target).second) return;
    const bool empty_dict = target.is<StateDict>() && target.as<StateDict>().empty() && source.is<StateDict>();
    if (target.is_null() || empty_dict) return assign(target, source);
    const bool same_kind = target.kind() == source.kind() || (is_integer(target.kind()) && is_integer(source.kind()));
    if (!same_kind) mismatch(Errc::kind_mismatch, path, to_string(target.kind()), to_string(source.kind()));

    switch (target.kind()) {
      case Kind::dict:
        return match_dicts(target.as<StateDict>(), source.as<StateDict>(), path);
      case Kind::list:
        return match_lists(target.as<List>(), source.as<List>(), path);
      case Kind::tensor:
        return match_tensors(target.tensor(), source, path);
      default:
        return assign(target, source);
    }
  }

  void missing(std::string path) { plan_.report.missing_keys.push_back(std::move(path)); }
  void unexpected(std::string path) { plan_.report.unexpected_keys.push_back(std::move(path)); }

 private:
  void assign(Value& target, const Value& source) {
    plan_.assignments.push_back(LoadPlan::Assignment{&target, new_values_.make(source)});
  }

  void match_dicts(StateDict& target, const StateDict& source, const std::string& path) {
    for (auto& [key, value] : target) {
      if (source.contains(key)) {
        match(value, source.at(key), with_key(path, key));
      } else {
        missing(with_key(path, key));
      }
    }
    for (const auto& [key, value] : source) {
      if (!target.contains(key)) unexpected(with_key(path, key));
    }
  }

  void match_lists(List& target, const List& source, const std::string& path) {
    for (std::size_t at = 0; at < target.size(); ++at) {
      if (at < source.size()) {
        match(target[at], source[at], with_index(path, at));
      } else {
        missing(with_index(path, at));
      }
    }
    for (std::size_t at = target.size(); at < source.size(); ++at) {
      plan_.appends.push_back(LoadPlan::Append{&target, new_values_.make(source[at])});
    }
  }

  void match_tensors(const TensorView& target, const Value& source, const std::string& path) {
    const format::Entry& stored = leaves_.entry(source);
    if (target.dtype() != stored.dtype) {
      mismatch(Errc::dtype_mismatch, path, to_string(target.dtype()), to_string(stored.dtype));
    }
    if (!std::ranges::equal(target.shape(), stored.shape)) {
      mismatch(Errc::shape_mismatch, path, shape_text(target.shape()), shape_text(stored.shape));
    }
    plan_.transfers.push_back(leaves_.transfer(source, ScatterView(target, path)));
  }

  [[noreturn]] void mismatch(Errc code, const std::string& path, std::string_view target, std::string_view source) {
    throw Error(code, request_.operation + ": " + path + " is " + std::string(target) + " in the target and " +
                          std::string(source) + " in the checkpoint");
  }

  const StoredLeaves& leaves_;
  LoadPlan& plan_;
  const LoadRequest& request_;
  NewValues new_values_;
  std::unordered_set<const Value*> seen_;  ///< wanted keys may hold one another
};

/// The parts of a tree that are on the way to wanted ones.
class Selection {
 public:
  Selection(const std::unordered_set<const Value*>& wanted, NewValues& new_values)
      : wanted_(wanted), new_values_(new_values) {}

  StateDict of_dict(const StateDict& source) {
    StateDict made;
    for (const auto& [key, value] : source) {
      if (holds_wanted(value)) made[key] = of_value(value);
    }
    return made;
  }

 private:
  bool holds_wanted(const Value& source) const {
    if (wanted_.contains(&source)) return true;
    if (source.is<StateDict>()) {
      const StateDict& values = source.as<StateDict>();
      return std::any_of(values.begin(), values.end(),
                         [this](const auto& entry) { return holds_wanted(entry.second); });
    }
    if (source.is<List>()) {
      const List& items = source.as<List>();
      return std::any_of(items.begin(), items.end(), [this](const Value& item) { return holds_wanted(item); });
    }
    return false;
  }

  /// Of a value that holds a wanted one.
  Value of_value(const Value& source) {
    if (wanted_.contains(&source)) return new_values_.make(source);
    if (source.is<StateDict>()) return Value(of_dict(source.as<StateDict>()));
    List made;
    const List& items = source.as<List>();
    for (std::size_t at = 0; at < items.size(); ++at) {
      if (!holds_wanted(items[at])) continue;
      while (made.size() < at)
        made.push_back(Value());  // an item keeps its index
      made.push_back(of_value(items[at]));
    }
    return Value(std::move(made));
  }

  const std::unordered_set<const Value*>& wanted_;
  NewValues& new_values_;
};

}  // namespace

void LoadPlan::apply() {
  for (Assignment& assignment : assignments)
    *assignment.target = std::move(assignment.value);
  for (Append& append : appends)
    append.target->push_back(std::move(append.value));
  for (Insertion& insertion : insertions)
    (*insertion.target)[insertion.key] = std::move(insertion.value);
}

LoadPlan plan_load_into(const format::ParsedTree& tree, const format::Header& header, std::size_t file,
                        StateDict& target, const LoadRequest& request) {
  if (target.empty()) return plan_load(tree, header, file, target, request);
  LoadPlan plan;
  const StoredLeaves leaves(tree, header, file);
  Matcher matcher(leaves, plan, request);
  if (request.keys.empty()) matcher.match_root(target, tree.state);
  for (const std::string& key : request.keys) {
    Value* const wanted = target.find(key);
    const Value* const stored = tree.state.find(key);
    if (wanted && stored) {
      matcher.match(*wanted, *stored, key);
    } else if (stored) {
      matcher.unexpected(key);
    } else {
      matcher.missing(key);
    }
  }
  if (request.strict && !plan.report.missing_keys.empty()) throw_missing(request, plan.report.missing_keys);
  return plan;
}

LoadPlan plan_load(const format::ParsedTree& tree, const format::Header& header, std::size_t file, StateDict& result,
                   const LoadRequest& request) {
  LoadPlan plan;
  const StoredLeaves leaves(tree, header, file);
  std::unordered_set<const Value*> wanted;
  for (const std::string& key : request.keys) {
    if (const Value* const stored = tree.state.find(key)) {
      wanted.insert(stored);
    } else {
      plan.report.missing_keys.push_back(key);
    }
  }
  if (request.strict && !plan.report.missing_keys.empty()) throw_missing(request, plan.report.missing_keys);

  if (request.keys.empty()) {
    Matcher(leaves, plan, request).match_root(result, tree.state);
  } else {
    NewValues new_values(leaves, plan.transfers);
    StateDict selected = Selection(wanted, new_values).of_dict(tree.state);
    for (auto& [key, value] : selected) {
      plan.insertions.push_back(LoadPlan::Insertion{&result, key, std::move(value)});
    }
  }
  return plan;
}

}  // namespace cairn::checkpoint
