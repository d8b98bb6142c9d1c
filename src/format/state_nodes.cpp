#include "format/state_nodes.hpp"

#include <algorithm>
#include <memory>

#include "format/key_path.hpp"

namespace cairn::detail {

namespace {

// Below this many entries a look-up by comparing is as fast as a hash.
constexpr std::size_t indexed_entries_min = 16;

}  // namespace

StateDict::Entry* DictEntries::find(std::string_view key) const noexcept {
  if (!index.empty()) {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : found->second;
  }
  for (StateDict::Entry* entry : entries)
    if (entry->first == key) return entry;
  return nullptr;
}

StateDict::Entry& DictEntries::insert(std::string_view key) {
  auto entry =
      std::make_unique<StateDict::Entry>(std::piecewise_construct, std::forward_as_tuple(key), std::forward_as_tuple());
  StateAccess::set_parent(entry->second, this);
  entries.push_back(entry.get());
  StateDict::Entry& inserted = *entry.release();
  if (!index.empty()) {
    index.emplace(inserted.first, &inserted);
  } else if (entries.size() >= indexed_entries_min) {
    for (StateDict::Entry* each : entries)
      index.emplace(each->first, each);
  }
  return inserted;
}

ListItems& StateAccess::make_items(List& list) {
  if (list.node_ == nullptr) {
    list.node_ = new ListItems();
    list.node_->handle = &list;
  }
  return *static_cast<ListItems*>(list.node_);
}

DictEntries& StateAccess::make_entries(StateDict& dict) {
  if (dict.node_ == nullptr) {
    dict.node_ = new DictEntries();
    dict.node_->handle = &dict;
  }
  return *static_cast<DictEntries*>(dict.node_);
}

const ContainerHandle* StateAccess::content(const Value& value) noexcept {
  if (const StateDict* dict = std::get_if<StateDict>(&value.data_)) return dict;
  return std::get_if<List>(&value.data_);
}

ContainerHandle* StateAccess::content(Value& value) noexcept {
  if (StateDict* dict = std::get_if<StateDict>(&value.data_)) return dict;
  return std::get_if<List>(&value.data_);
}

bool StateAccess::is_inside(const Value* owner, const ContainerHandle& outer) noexcept {
  while (owner != nullptr) {
    if (content(*owner) == &outer) return true;
    if (owner->parent_ == nullptr) return false;
    const ContainerHandle* around = owner->parent_->handle;
    if (around == &outer) return true;
    owner = around->owner_;
  }
  return false;
}

std::string StateAccess::path_of(const Value& value) {
  std::vector<const Value*> steps;
  for (const Value* step = &value; step != nullptr && step->parent_ != nullptr; step = step->parent_->handle->owner_)
    steps.push_back(step);

  std::string path;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const Container* parent = (*step)->parent_;
    if (parent->is_list) {
      const auto& items = static_cast<const ListItems*>(parent)->items;
      format::append_index(path, static_cast<std::size_t>(std::ranges::find(items, *step) - items.begin()));
    } else {
      const auto& entries = static_cast<const DictEntries*>(parent)->entries;
      const auto entry = std::ranges::find_if(entries, [&](const auto* each) { return &each->second == *step; });
      if (entry != entries.end()) format::append_key(path, (*entry)->first);
    }
  }
  return path;
}

// Copies level by level with a list of what is still to do, because a tree may be deeper than the stack.
class StateAccess::Copy {
 public:
  void run(const ContainerHandle& source, ContainerHandle& target) {
    children(source, target);
    while (!pending_.empty()) {
      const auto [from, to] = pending_.back();
      pending_.pop_back();
      children(*from, *to);
    }
  }

 private:
  void children(const ContainerHandle& source, ContainerHandle& target) {
    if (source.node_ == nullptr) return;
    if (source.node_->is_list) {
      ListItems& items = make_items(static_cast<List&>(target));
      for (const Value* item : static_cast<const ListItems*>(source.node_)->items) {
        auto copy = std::make_unique<Value>();
        set_parent(*copy, &items);
        value(*item, *copy);
        items.items.push_back(copy.get());
        copy.release();
      }
    } else {
      DictEntries& entries = make_entries(static_cast<StateDict&>(target));
      for (const StateDict::Entry* entry : static_cast<const DictEntries*>(source.node_)->entries)
        value(entry->second, entries.insert(entry->first).second);
    }
  }

  void value(const Value& source, Value& target) {
    if (const ContainerHandle* nested = content(source)) {
      if (std::holds_alternative<List>(source.data_))
        target.data_.emplace<List>();
      else
        target.data_.emplace<StateDict>();
      target.own_content();
      pending_.emplace_back(nested, content(target));
    } else {
      target.data_ = source.data_;
    }
  }

  std::vector<std::pair<const ContainerHandle*, ContainerHandle*>> pending_;
};

void StateAccess::copy(const ContainerHandle& source, ContainerHandle& target) {
  Copy().run(source, target);
}

class StateAccess::Comparison {
 public:
  bool values(const Value& left, const Value& right) { return same(left, right) && rest(); }
  bool containers(const ContainerHandle& left, const ContainerHandle& right) { return children(left, right) && rest(); }

 private:
  bool rest() {
    while (!pending_.empty()) {
      const auto [left, right] = pending_.back();
      pending_.pop_back();
      if (!children(*left, *right)) return false;
    }
    return true;
  }

  bool same(const Value& left, const Value& right) {
    if (left.kind() != right.kind()) return false;
    if (left.kind() == Kind::tensor) return left.as<TensorView>() == right.as<TensorView>();
    const ContainerHandle* nested = content(left);
    if (nested == nullptr) return left.data_ == right.data_;
    pending_.emplace_back(nested, content(right));
    return true;
  }

  // Of two Lists, or of two StateDicts.
  bool children(const ContainerHandle& left, const ContainerHandle& right) {
    if (left.node_ == right.node_) return true;
    if (left.node_ == nullptr || right.node_ == nullptr) return is_empty(left) && is_empty(right);
    if (left.node_->is_list) {
      return std::ranges::equal(static_cast<const ListItems*>(left.node_)->items,
                                static_cast<const ListItems*>(right.node_)->items,
                                [this](const Value* one, const Value* other) { return same(*one, *other); });
    }
    const auto* ours = static_cast<const DictEntries*>(left.node_);
    const auto* theirs = static_cast<const DictEntries*>(right.node_);
    return ours->entries.size() == theirs->entries.size() &&
           std::ranges::all_of(ours->entries, [&](const StateDict::Entry* entry) {
             const StateDict::Entry* other = theirs->find(entry->first);
             return other != nullptr && same(entry->second, other->second);
           });
  }

  static bool is_empty(const ContainerHandle& handle) {
    if (handle.node_ == nullptr) return true;
    return handle.node_->is_list ? static_cast<const ListItems*>(handle.node_)->items.empty()
                                 : static_cast<const DictEntries*>(handle.node_)->entries.empty();
  }

  std::vector<std::pair<const ContainerHandle*, const ContainerHandle*>> pending_;
};

bool StateAccess::equal(const Value& left, const Value& right) {
  return Comparison().values(left, right);
}

bool StateAccess::equal(const ContainerHandle& left, const ContainerHandle& right) {
  return Comparison().containers(left, right);
}

void StateAccess::destroy(Container* container) noexcept {
  if (container == nullptr) return;
  // Nested containers are taken out of their values and chained up, so that no destructor calls itself.
  Container* pending = container;
  container->next = nullptr;
  const auto take = [&pending](Value& value) {
    ContainerHandle* nested = content(value);
    if (nested == nullptr || nested->node_ == nullptr) return;
    Container* node = std::exchange(nested->node_, nullptr);
    node->next = pending;
    pending = node;
  };
  while (pending != nullptr) {
    Container* const current = std::exchange(pending, pending->next);
    if (current->is_list) {
      auto* const list = static_cast<ListItems*>(current);
      for (Value* item : list->items) {
        take(*item);
        delete item;
      }
      delete list;
    } else {
      auto* const dict = static_cast<DictEntries*>(current);
      for (StateDict::Entry* entry : dict->entries) {
        take(entry->second);
        delete entry;
      }
      delete dict;
    }
  }
}

ContainerHandle::ContainerHandle(const ContainerHandle& other) {
  if (other.node_ == nullptr) return;
  try {
    StateAccess::copy(other, *this);
  } catch (...) {
    StateAccess::destroy(std::exchange(node_, nullptr));
    throw;
  }
}

ContainerHandle::ContainerHandle(ContainerHandle&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {
  if (node_ != nullptr) node_->handle = this;
}

ContainerHandle& ContainerHandle::operator=(const ContainerHandle& other) {
  if (this != &other) {
    ContainerHandle copy(other);
    *this = std::move(copy);
  }
  return *this;
}

ContainerHandle& ContainerHandle::operator=(ContainerHandle&& other) {
  if (this == &other) return *this;
  // Moved into a part of itself it would be a ring that nobody owns.
  if (StateAccess::is_inside(owner_, other)) return *this = std::as_const(other);
  Container* const old = std::exchange(node_, std::exchange(other.node_, nullptr));
  if (node_ != nullptr) node_->handle = this;
  StateAccess::destroy(old);
  return *this;
}

ContainerHandle::~ContainerHandle() {
  StateAccess::destroy(node_);
}

}  // namespace cairn::detail
