#pragma once

#include <cairn/error.hpp>
#include <cairn/state.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace cairn::test {

/// A tensor of memory of its own that counts up from `first`.
template <class T>
Tensor counted(const std::vector<std::int64_t>& shape, T first = T(0)) {
  Tensor made = Tensor::empty(dtype_of<T>, shape);
  T* const elements = static_cast<T*>(made.mutable_data());
  for (std::uint64_t at = 0; at < made.element_count(); ++at)
    elements[at] = static_cast<T>(first + static_cast<T>(at));
  return made;
}

/// The same shape and dtype, all bytes 0xee.
inline Tensor blank_like(const TensorView& view) {
  Tensor made = Tensor::empty(view.dtype(), view.shape());
  std::byte* const bytes = static_cast<std::byte*>(made.mutable_data());
  for (std::uint64_t at = 0; at < made.size_bytes(); ++at)
    bytes[at] = std::byte{0xee};
  return made;
}

/// Every kind of value, nested, of about 1.3 MB: two digest blocks.
inline StateDict rich_state() {
  StateDict state;
  state["model"]["weight"] = counted<float>({300, 1000});
  state["model"]["bias"] = counted<double>({1000}, 0.5);
  state["model"]["layers.0.dotted"] = counted<std::int64_t>({3});
  state["model"]["blocks"] = List{counted<float>({4}), "between", counted<std::int32_t>({2, 2})};
  state["scalar"] = counted<float>({}, 2.5f);
  state["nothing"] = counted<float>({0, 3});
  state["blob"] = Bytes(5000, std::byte{7});
  state["null"] = nullptr;
  state["flag"] = true;
  state["step"] = 1200;
  state["large"] = std::uint64_t{1} << 63;
  state["lr"] = 0.1;
  state["name"] = "run \"a\"";
  state["empty list"] = List();
  state["empty dict"] = StateDict();
  return state;
}

/// The code and the text of the Error that `call` throws; fails the test where it throws none.
template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("no Error was thrown");
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cairn::test
