#include "executor/slot_client.hpp"

namespace cairn::executor {

void SlotResults::expect(unsigned slot, std::uint64_t generation) {
  Result& result = results_[slot];
  result.generation = generation;
  result.begun.reset();
  result.decided.reset();
  result.answered.reset();
  result.error.reset();
}

bool SlotResults::is_expected(unsigned slot, std::uint64_t generation) const {
  return slot < results_.size() && results_[slot].generation == generation && !results_[slot].answered.is_set();
}

void SlotResults::begun(unsigned slot, std::uint64_t generation, const Error* error) {
  if (!is_expected(slot, generation)) return;
  if (error != nullptr) {
    answer(results_[slot], error);
  } else {
    results_[slot].begun.set();
  }
}

void SlotResults::written(unsigned slot, std::uint64_t generation) {
  if (is_expected(slot, generation)) results_[slot].progressed.notify_all();
}

void SlotResults::outcome(unsigned slot, std::uint64_t generation, const Error* error) {
  if (is_expected(slot, generation)) answer(results_[slot], error);
}

void SlotResults::fail(unsigned slot, const Error& error) {
  if (!results_[slot].decided.is_set()) decide(results_[slot], &error);
}

void SlotResults::fail_all(const Error& error) {
  for (Result& result : results_) {
    if (result.generation != 0 && !result.answered.is_set()) answer(result, &error);
  }
}

void SlotResults::decide(Result& result, const Error* error) {
  if (error != nullptr) result.error = *error;
  result.begun.set();
  result.decided.set();
  result.progressed.notify_all();
}

void SlotResults::answer(Result& result, const Error* error) {
  if (!result.decided.is_set()) decide(result, error);
  result.answered.set();
}

Task<> SlotResults::wait_begun(unsigned slot) {
  Result& result = results_[slot];
  co_await result.begun.wait();
  if (result.error) throw *result.error;
}

Task<> SlotResults::wait_progress(unsigned slot) {
  Result& result = results_[slot];
  if (!result.decided.is_set()) co_await result.progressed.next();
}

Task<> SlotResults::wait_outcome(unsigned slot) {
  Result& result = results_[slot];
  co_await result.decided.wait();
  if (result.error) throw *result.error;
}

Task<> SlotResults::wait_answered(unsigned slot) {
  co_await results_[slot].answered.wait();
}

}  // namespace cairn::executor
