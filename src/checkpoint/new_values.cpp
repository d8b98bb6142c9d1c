#include "checkpoint/new_values.hpp"

#include <utility>

namespace cairn::checkpoint {

StoredLeaves::StoredLeaves(const format::ParsedTree& tree, const format::Header& header, std::size_t file)
    : header_(header), file_(file) {
  indices_.reserve(tree.leaves.size());
  for (const format::TreeLeaf& leaf : tree.leaves)
    indices_.emplace(leaf.value, leaf.entry);
}

Transfer StoredLeaves::transfer(const Value& leaf, ScatterView target) const {
  const format::Entry& stored = entry(leaf);
  Transfer transfer;
  transfer.file = file_;
  transfer.offset = header_.header_bytes + stored.begin;
  transfer.bytes = stored.end - stored.begin;
  transfer.target = std::move(target);
  return transfer;
}

Value NewValues::make(const Value& source) {
  switch (source.kind()) {
    case Kind::tensor:
      return make_tensor(source);
    case Kind::bytes:
      return make_bytes(source);
    case Kind::list: {
      const List& items = source.as<List>();
      List made;
      for (const Value& item : items)
        made.push_back(make(item));
      return Value(std::move(made));
    }
    case Kind::dict: {
      StateDict made;
      for (const auto& [key, value] : source.as<StateDict>())
        made[key] = make(value);
      return Value(std::move(made));
    }
    default:
      return source;
  }
}

Value NewValues::make_tensor(const Value& source) {
  const std::size_t index = leaves_.index(source);
  const auto found = tensors_.find(index);
  if (found != tensors_.end()) return Value(found->second);

  const format::Entry& entry = leaves_.entry(source);
  Tensor made = Tensor::empty(entry.dtype, entry.shape);
  transfers_.push_back(leaves_.transfer(source, ScatterView(made.view(), entry.name)));
  tensors_.emplace(index, made);
  return Value(std::move(made));
}

Value NewValues::make_bytes(const Value& source) {
  const format::Entry& entry = leaves_.entry(source);
  Bytes made(entry.end - entry.begin);
  const TensorView view = tensor(made.data(), std::vector<std::int64_t>{static_cast<std::int64_t>(made.size())});
  transfers_.push_back(leaves_.transfer(source, ScatterView(view, entry.name)));
  return Value(std::move(made));  // moving a vector leaves its memory where it is
}

}  // namespace cairn::checkpoint
