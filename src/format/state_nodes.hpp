#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "cairn/state.hpp"

namespace cairn::detail {

/// The elements of a List or a StateDict. Each element is a node of its own, so that references to it stay valid; the
/// handle in front of them may move, and is told here.
struct Container {
  explicit Container(bool list) noexcept : is_list(list) {}

  const ContainerHandle* handle = nullptr;
  Container* next = nullptr;  ///< chain of containers that are being destroyed
  const bool is_list;
};

struct ListItems : Container {
  ListItems() noexcept : Container(true) {}

  std::vector<Value*> items;  ///< owned
};

struct DictEntries : Container {
  DictEntries() noexcept : Container(false) {}

  StateDict::Entry* find(std::string_view key) const noexcept;
  StateDict::Entry& insert(std::string_view key);

  std::vector<StateDict::Entry*> entries;                         ///< owned
  std::unordered_map<std::string_view, StateDict::Entry*> index;  ///< empty while there are few entries
};

/// Reaches into Value, List and StateDict for the functions that work on all three.
struct StateAccess {
  static const ListItems* items(const List& list) noexcept { return static_cast<const ListItems*>(list.node_); }
  static const DictEntries* entries(const StateDict& dict) noexcept {
    return static_cast<const DictEntries*>(dict.node_);
  }
  static ListItems& make_items(List& list);
  static DictEntries& make_entries(StateDict& dict);

  /// The List or StateDict in a value, or null.
  static const ContainerHandle* content(const Value& value) noexcept;
  static ContainerHandle* content(Value& value) noexcept;

  /// Whether `owner` is the content of `outer`, at any depth.
  static bool is_inside(const Value* owner, const ContainerHandle& outer) noexcept;

  static void set_parent(Value& value, const Container* parent) noexcept { value.parent_ = parent; }
  static const Value* owner(const ContainerHandle& handle) noexcept { return handle.owner_; }

  /// Where a value stands in the outermost container around it: "a.b[0]"; empty for a value in none.
  static std::string path_of(const Value& value);

  static void copy(const ContainerHandle& source, ContainerHandle& target);
  static bool equal(const Value& left, const Value& right);
  static bool equal(const ContainerHandle& left, const ContainerHandle& right);
  static void destroy(Container* container) noexcept;

 private:
  class Copy;
  class Comparison;
};

}  // namespace cairn::detail
