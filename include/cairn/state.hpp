#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/tensor.hpp"

namespace cairn {

class Value;
class List;
class StateDict;

/// Raw bytes: a kind of its own, distinct from a string. Stored as a U8 tensor.
using Bytes = std::vector<std::byte>;

/// What a Value holds.
enum class Kind : std::uint8_t { null, boolean, int64, uint64, real, string, bytes, tensor, list, dict };

/// "null", "bool", "int64", "uint64", "double", "string", "Bytes", "tensor", "List", "StateDict"
std::string_view to_string(Kind kind) noexcept;

/// Levels of StateDict and List that may be saved, the outermost included. (In memory there is no limit.)
inline constexpr unsigned nesting_depth_max = 1000;

namespace detail {

struct Container;
struct StateAccess;

/// Walks elements that live in nodes of their own, which is why references to them stay valid.
template <class Element>
class NodeIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = std::remove_const_t<Element>;
  using difference_type = std::ptrdiff_t;
  using pointer = Element*;
  using reference = Element&;

  NodeIterator() noexcept = default;
  explicit NodeIterator(value_type* const* node) noexcept : node_(node) {}

  reference operator*() const noexcept { return **node_; }
  pointer operator->() const noexcept { return *node_; }
  NodeIterator& operator++() noexcept {
    ++node_;
    return *this;
  }
  NodeIterator operator++(int) noexcept {
    NodeIterator old = *this;
    ++node_;
    return old;
  }
  friend bool operator==(NodeIterator left, NodeIterator right) noexcept { return left.node_ == right.node_; }

 private:
  value_type* const* node_ = nullptr;
};

/// What List and StateDict have in common: their elements live in nodes on the heap, and they know the Value that they
/// are the content of, so that an error can name the path. Copies, comparisons and destruction go as deep as memory
/// does, whatever the size of the stack.
class ContainerHandle {
 protected:
  ContainerHandle() noexcept = default;
  ContainerHandle(const ContainerHandle& other);
  ContainerHandle(ContainerHandle&& other) noexcept;
  /// Either may be a part of the other.
  ContainerHandle& operator=(const ContainerHandle& other);
  ContainerHandle& operator=(ContainerHandle&& other);
  ~ContainerHandle();

 private:
  friend class cairn::Value;
  friend class cairn::List;
  friend class cairn::StateDict;
  friend struct StateAccess;

  Container* node_ = nullptr;  ///< null while empty
  const Value* owner_ = nullptr;
};

}  // namespace detail

/// A list of Values. `List{a, b}` holds a and b; `List{a}` holds a, unless `a` is a List itself: then it is a copy of
/// it, as everywhere else in C++ (a list of one list: an empty List and push_back).
///
/// References stay valid until their item is erased. One thread at a time, like a container of the standard library.
class List : private detail::ContainerHandle {
 public:
  using iterator = detail::NodeIterator<Value>;
  using const_iterator = detail::NodeIterator<const Value>;

  List() noexcept = default;

  template <class First, class... More>
    requires(!std::same_as<std::remove_cvref_t<First>, List> || sizeof...(More) > 0)
  explicit(sizeof...(More) == 0) List(First&& first, More&&... more);

  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// The item. Throws missing_keys beyond the end, naming the path.
  Value& operator[](std::size_t index);
  const Value& operator[](std::size_t index) const;
  Value& at(std::size_t index) { return (*this)[index]; }
  const Value& at(std::size_t index) const { return (*this)[index]; }

  /// Returns the new item.
  Value& push_back(Value value);

  /// Throws missing_keys beyond the end.
  void erase(std::size_t index);
  void clear() noexcept;

  iterator begin() noexcept;
  iterator end() noexcept;
  const_iterator begin() const noexcept;
  const_iterator end() const noexcept;

  /// Deep; tensors by dtype, shape and content.
  friend bool operator==(const List& left, const List& right);

 private:
  friend class Value;
  friend struct detail::StateAccess;
};

/// An ordered map from string to Value: iteration gives the order of insertion.
///
/// Copies are deep but for tensors: a copied TensorView views the same memory, a copied Tensor shares it. References
/// stay valid until their key is erased. One thread at a time, like a container of the standard library.
class StateDict : private detail::ContainerHandle {
 public:
  using Entry = std::pair<const std::string, Value>;
  using value_type = Entry;
  using iterator = detail::NodeIterator<Entry>;
  using const_iterator = detail::NodeIterator<const Entry>;

  StateDict() noexcept = default;
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// The value of this key; a null one is inserted where there is none.
  Value& operator[](std::string_view key);

  /// The value of this key. Throws missing_keys, naming the path.
  Value& at(std::string_view key);
  const Value& at(std::string_view key) const;

  /// The value at a key path ("a.b[0].c"; a key that holds one of . [ ] " is written ["layers.0.weight"], or bare: the
  /// longest key that fits is tried first), or null.
  Value* find(std::string_view path);
  const Value* find(std::string_view path) const;

  /// Whether this key (not a path) is there.
  bool contains(std::string_view key) const noexcept;

  /// Returns whether the key was there.
  bool erase(std::string_view key);
  void clear() noexcept;

  iterator begin() noexcept;
  iterator end() noexcept;
  const_iterator begin() const noexcept;
  const_iterator end() const noexcept;

  /// Deep, the order of the keys apart; tensors by dtype, shape and content.
  friend bool operator==(const StateDict& left, const StateDict& right);

 private:
  friend class Value;
  friend struct detail::StateAccess;
};

namespace detail {

template <class T>
concept Integer = std::integral<T> && !std::same_as<T, bool>;

template <class T>
concept Text =
    std::same_as<std::decay_t<T>, const char*> || std::same_as<std::decay_t<T>, char*> ||
    std::same_as<std::remove_cvref_t<T>, std::string> || std::same_as<std::remove_cvref_t<T>, std::string_view>;

template <class T>
concept ValueKind =
    std::same_as<T, bool> || std::same_as<T, std::int64_t> || std::same_as<T, std::uint64_t> ||
    std::same_as<T, double> || std::same_as<T, std::string> || std::same_as<T, Bytes> || std::same_as<T, TensorView> ||
    std::same_as<T, Tensor> || std::same_as<T, List> || std::same_as<T, StateDict>;

}  // namespace detail

/// null, bool, int64, uint64, double, string, Bytes, a tensor (TensorView or Tensor), a List or a StateDict.
///
/// Every integer but bool is stored as int64, an unsigned one above its range as uint64; float and double as double;
/// literals and string_view as string. No other pointer is taken. Nothing converts out but by as<T>().
class Value {
 public:
  Value() noexcept = default;
  Value(std::nullptr_t) noexcept {}
  template <std::same_as<bool> T>
  Value(T value) noexcept : data_(std::in_place_type<bool>, value) {}
  template <detail::Integer T>
  Value(T value) noexcept {
    static_assert(sizeof(T) <= 8, "integers of at most 64 bits");
    if (std::in_range<std::int64_t>(
            static_cast<std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>(value)))
      data_.emplace<std::int64_t>(static_cast<std::int64_t>(value));
    else
      data_.emplace<std::uint64_t>(static_cast<std::uint64_t>(value));
  }
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double>)
  Value(T value) noexcept : data_(std::in_place_type<double>, static_cast<double>(value)) {}
  template <detail::Text T>
  Value(T&& value) : data_(std::in_place_type<std::string>, std::forward<T>(value)) {}
  Value(Bytes value) noexcept : data_(std::move(value)) {}
  Value(TensorView value) noexcept : data_(std::move(value)) {}
  Value(Tensor value) noexcept : data_(std::move(value)) {}
  Value(List value) noexcept;
  Value(StateDict value) noexcept;

  Value(const Value& other);
  Value(Value&& other) noexcept;
  /// `other` may be a part of this value, and this value a part of `other`.
  Value& operator=(const Value& other);
  Value& operator=(Value&& other);
  ~Value() = default;

  Kind kind() const noexcept;
  bool is_null() const noexcept { return kind() == Kind::null; }

  /// Whether as<T>() would give an answer. T is bool, std::int64_t, std::uint64_t, double, std::string, Bytes,
  /// TensorView (any tensor), Tensor (one that owns its memory), List or StateDict.
  template <detail::ValueKind T>
  bool is() const noexcept {
    if constexpr (std::same_as<T, TensorView>)
      return kind() == Kind::tensor;
    else
      return std::holds_alternative<T>(data_);
  }

  /// The content. Throws kind_mismatch, naming the path, when it is of another kind: there is no conversion.
  template <detail::ValueKind T>
    requires(!std::same_as<T, TensorView>)
  T& as() {
    if (T* content = std::get_if<T>(&data_)) return *content;
    throw_kind_mismatch(name_of<T>());
  }
  template <detail::ValueKind T>
    requires(!std::same_as<T, TensorView>)
  const T& as() const {
    if (const T* content = std::get_if<T>(&data_)) return *content;
    throw_kind_mismatch(name_of<T>());
  }
  template <std::same_as<TensorView> T>
  const TensorView& as() const {
    if (const TensorView* content = std::get_if<TensorView>(&data_)) return *content;
    if (const Tensor* content = std::get_if<Tensor>(&data_)) return content->view();
    throw_kind_mismatch("tensor");
  }

  /// The tensor, owned or not, as a view. Throws kind_mismatch, naming the path.
  TensorView tensor() const { return as<TensorView>(); }

  /// The value of this key in a StateDict, inserted as null where there is none; a null value becomes an empty
  /// StateDict first. Throws kind_mismatch, naming the path, for any other kind.
  Value& operator[](std::string_view key);

  /// Throws kind_mismatch where this is not a StateDict, missing_keys where the key is not there.
  const Value& operator[](std::string_view key) const;

  /// The item of a List. Throws kind_mismatch where this is not a List, missing_keys beyond the end.
  template <detail::Integer T>
  Value& operator[](T index) {
    return item(std::in_range<std::size_t>(+index) ? static_cast<std::size_t>(index) : SIZE_MAX);
  }
  template <detail::Integer T>
  const Value& operator[](T index) const {
    return item(std::in_range<std::size_t>(+index) ? static_cast<std::size_t>(index) : SIZE_MAX);
  }

  /// Deep; doubles as numbers are (NaN differs from itself); tensors by dtype, shape and content.
  friend bool operator==(const Value& left, const Value& right);

 private:
  friend struct detail::StateAccess;

  using Data = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Bytes, TensorView,
                            Tensor, List, StateDict>;

  template <class T>
  static constexpr std::string_view name_of() {
    if constexpr (std::same_as<T, bool>)
      return "bool";
    else if constexpr (std::same_as<T, std::int64_t>)
      return "int64";
    else if constexpr (std::same_as<T, std::uint64_t>)
      return "uint64";
    else if constexpr (std::same_as<T, double>)
      return "double";
    else if constexpr (std::same_as<T, std::string>)
      return "string";
    else if constexpr (std::same_as<T, Bytes>)
      return "Bytes";
    else if constexpr (std::same_as<T, Tensor>)
      return "Tensor that owns its memory";
    else if constexpr (std::same_as<T, List>)
      return "List";
    else
      return "StateDict";
  }

  [[noreturn]] void throw_kind_mismatch(std::string_view wanted) const;
  Value& item(std::size_t index);
  const Value& item(std::size_t index) const;
  void own_content() noexcept;

  Data data_;
  const detail::Container* parent_ = nullptr;  ///< the nodes of the List or StateDict that this is an element of
};

template <class First, class... More>
  requires(!std::same_as<std::remove_cvref_t<First>, List> || sizeof...(More) > 0)
List::List(First&& first, More&&... more) {
  push_back(Value(std::forward<First>(first)));
  (push_back(Value(std::forward<More>(more))), ...);
}

}  // namespace cairn
