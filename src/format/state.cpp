#include "cairn/state.hpp"

#include <algorithm>
#include <array>
#include <memory>

#include "cairn/error.hpp"
#include "format/key_path.hpp"
#include "format/state_nodes.hpp"

namespace cairn {

using detail::DictEntries;
using detail::ListItems;
using detail::StateAccess;

std::string_view to_string(Kind kind) noexcept {
  constexpr std::array<std::string_view, 10> names = {"null",   "bool",  "int64",  "uint64", "double",
                                                      "string", "Bytes", "tensor", "List",   "StateDict"};
  return names[static_cast<std::size_t>(kind)];
}

// ---- List

std::size_t List::size() const noexcept {
  return node_ == nullptr ? 0 : StateAccess::items(*this)->items.size();
}

const Value& List::operator[](std::size_t index) const {
  if (index < size()) return *StateAccess::items(*this)->items[index];
  std::string path = owner_ == nullptr ? std::string() : StateAccess::path_of(*owner_);
  format::append_index(path, index);
  throw Error(Errc::missing_keys, path + " of a list with " + std::to_string(size()) + " items");
}

Value& List::operator[](std::size_t index) {
  return const_cast<Value&>(std::as_const(*this)[index]);
}

Value& List::push_back(Value value) {
  ListItems& list = StateAccess::make_items(*this);
  auto item = std::make_unique<Value>(std::move(value));
  StateAccess::set_parent(*item, &list);
  list.items.push_back(item.get());
  return *item.release();
}

void List::erase(std::size_t index) {
  const Value* item = &(*this)[index];
  auto& items = StateAccess::make_items(*this).items;
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
  delete item;
}

void List::clear() noexcept {
  StateAccess::destroy(std::exchange(node_, nullptr));
}

List::const_iterator List::begin() const noexcept {
  return const_iterator(node_ == nullptr ? nullptr : StateAccess::items(*this)->items.data());
}
List::const_iterator List::end() const noexcept {
  return const_iterator(node_ == nullptr ? nullptr : StateAccess::items(*this)->items.data() + size());
}
List::iterator List::begin() noexcept {
  return iterator(node_ == nullptr ? nullptr : StateAccess::items(*this)->items.data());
}
List::iterator List::end() noexcept {
  return iterator(node_ == nullptr ? nullptr : StateAccess::items(*this)->items.data() + size());
}

bool operator==(const List& left, const List& right) {
  return StateAccess::equal(left, right);
}

// ---- StateDict

std::size_t StateDict::size() const noexcept {
  return node_ == nullptr ? 0 : StateAccess::entries(*this)->entries.size();
}

Value& StateDict::operator[](std::string_view key) {
  DictEntries& dict = StateAccess::make_entries(*this);
  if (Entry* entry = dict.find(key)) return entry->second;
  return dict.insert(key).second;
}

const Value& StateDict::at(std::string_view key) const {
  if (node_ != nullptr)
    if (const Entry* entry = StateAccess::entries(*this)->find(key)) return entry->second;
  std::string path = owner_ == nullptr ? std::string() : StateAccess::path_of(*owner_);
  format::append_key(path, key);
  throw Error(Errc::missing_keys, path);
}

Value& StateDict::at(std::string_view key) {
  return const_cast<Value&>(std::as_const(*this).at(key));
}

const Value* StateDict::find(std::string_view path) const {
  return format::find_path(*this, path);
}

Value* StateDict::find(std::string_view path) {
  return const_cast<Value*>(format::find_path(*this, path));
}

bool StateDict::contains(std::string_view key) const noexcept {
  return node_ != nullptr && StateAccess::entries(*this)->find(key) != nullptr;
}

bool StateDict::erase(std::string_view key) {
  if (node_ == nullptr) return false;
  DictEntries& dict = StateAccess::make_entries(*this);
  Entry* const entry = dict.find(key);
  if (entry == nullptr) return false;
  dict.index.erase(entry->first);
  dict.entries.erase(std::ranges::find(dict.entries, entry));
  delete entry;
  return true;
}

void StateDict::clear() noexcept {
  StateAccess::destroy(std::exchange(node_, nullptr));
}

StateDict::const_iterator StateDict::begin() const noexcept {
  return const_iterator(node_ == nullptr ? nullptr : StateAccess::entries(*this)->entries.data());
}
StateDict::const_iterator StateDict::end() const noexcept {
  return const_iterator(node_ == nullptr ? nullptr : StateAccess::entries(*this)->entries.data() + size());
}
StateDict::iterator StateDict::begin() noexcept {
  return iterator(node_ == nullptr ? nullptr : StateAccess::entries(*this)->entries.data());
}
StateDict::iterator StateDict::end() noexcept {
  return iterator(node_ == nullptr ? nullptr : StateAccess::entries(*this)->entries.data() + size());
}

bool operator==(const StateDict& left, const StateDict& right) {
  return StateAccess::equal(left, right);
}

// ---- Value

Value::Value(List value) noexcept : data_(std::move(value)) {
  own_content();
}

Value::Value(StateDict value) noexcept : data_(std::move(value)) {
  own_content();
}

Value::Value(const Value& other) : data_(other.data_) {
  own_content();
}

Value::Value(Value&& other) noexcept : data_(std::move(other.data_)) {
  own_content();
}

Value& Value::operator=(const Value& other) {
  if (this != &other) *this = Value(other);
  return *this;
}

Value& Value::operator=(Value&& other) {
  if (this == &other) return *this;
  const detail::ContainerHandle* content = StateAccess::content(other);
  // Moved into a part of itself it would be a ring that nobody owns.
  if (content != nullptr && StateAccess::is_inside(this, *content)) return *this = Value(std::as_const(other));
  // `other` may be a part of this: it is taken out before anything is destroyed.
  Value taken(std::move(other));
  data_.swap(taken.data_);
  own_content();
  return *this;
}

Kind Value::kind() const noexcept {
  constexpr std::array<Kind, std::variant_size_v<Data>> kinds = {Kind::null,   Kind::boolean, Kind::int64, Kind::uint64,
                                                                 Kind::real,   Kind::string,  Kind::bytes, Kind::tensor,
                                                                 Kind::tensor, Kind::list,    Kind::dict};
  return kinds[data_.index()];
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) {
    data_.emplace<StateDict>();
    own_content();
  }
  return as<StateDict>()[key];
}

const Value& Value::operator[](std::string_view key) const {
  return as<StateDict>().at(key);
}

Value& Value::item(std::size_t index) {
  return as<List>()[index];
}

const Value& Value::item(std::size_t index) const {
  return as<List>()[index];
}

void Value::own_content() noexcept {
  if (detail::ContainerHandle* content = StateAccess::content(*this)) content->owner_ = this;
}

void Value::throw_kind_mismatch(std::string_view wanted) const {
  std::string text = StateAccess::path_of(*this);
  if (parent_ == nullptr) text = "value";
  text += " holds ";
  text += std::holds_alternative<TensorView>(data_) ? "tensor that views memory" : to_string(kind());
  text += ", not ";
  text += wanted;
  throw Error(Errc::kind_mismatch, std::move(text));
}

bool operator==(const Value& left, const Value& right) {
  return StateAccess::equal(left, right);
}

}  // namespace cairn
