#include "uring/operation.hpp"

namespace cairn::uring {

bool OperationList::remove(Operation& operation) noexcept {
  Operation* previous = nullptr;
  for (Operation* candidate = first_; candidate; previous = candidate, candidate = candidate->next) {
    if (candidate != &operation) continue;
    (previous ? previous->next : first_) = operation.next;
    if (last_ == &operation) last_ = previous;
    operation.next = nullptr;
    return true;
  }
  return false;
}

void OperationList::take(OperationList& other) noexcept {
  if (other.empty()) return;
  (last_ ? last_->next : first_) = other.first_;
  last_ = other.last_;
  other.first_ = other.last_ = nullptr;
}

}  // namespace cairn::uring
