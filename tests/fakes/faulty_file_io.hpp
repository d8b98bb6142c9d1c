#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "uring/blocking_call.hpp"
#include "uring/file_io.hpp"

namespace cairn::test {

/// A FileIo that does what the one inside it does, but for the faults it was asked for. Attach this one to the loop.
///
/// Faults are set for the n-th operation of a kind, counted from the call (1 is the next); `read` and `write` mean the
/// fixed kinds, too. A retry of EINTR or EAGAIN is an operation of its own. Loop's thread only.
class FaultyFileIo final : public uring::FileIo {
 public:
  using Kind = uring::OperationKind;

  explicit FaultyFileIo(std::unique_ptr<uring::FileIo> inner) : inner_(std::move(inner)) {}

  ~FaultyFileIo() override {
    closing_ = true;
    drop_held();
    inner_.reset();
    resume_done();
  }

  /// The n-th and, with `times` > 1, those after it answer -errno_value without being done.
  void fail(Kind kind, unsigned n, int errno_value, unsigned times = 1) {
    for (unsigned index = 0; index < times; ++index)
      add(kind, n + index, Fault::fail, errno_value);
  }

  /// The n-th read or write moves at most `bytes`.
  void shorten(Kind kind, unsigned n, std::uint64_t bytes) { add(kind, n, Fault::shorten, bytes); }

  /// The n-th is kept back until release() (or is cancelled).
  void hold(Kind kind, unsigned n) { add(kind, n, Fault::hold, 0); }

  /// Lets go of what is held.
  void release() {
    while (uring::Operation* operation = held_.pop_front()) {
      --held_count_;
      inner_->submit(*operation);
    }
  }

  std::size_t held() const { return held_count_; }

  /// Operations of the kind submitted so far, faulty ones too.
  unsigned count(Kind kind) const { return counts_[index_of(kind)]; }

  uring::Backend backend() const noexcept override { return inner_->backend(); }
  const std::string& backend_reason() const noexcept override { return inner_->backend_reason(); }
  int register_buffers(std::span<const iovec> buffers) override { return inner_->register_buffers(buffers); }
  int unregister_buffers() override { return inner_->unregister_buffers(); }

  void submit(uring::Operation& operation) override {
    const unsigned n = ++counts_[index_of(operation.kind)];
    if (closing_) {
      finish(operation, operation.kind == Kind::close ? uring::blocking_call(operation) : -ECANCELED);
      return;
    }
    const auto same = [&](const Rule& rule) { return rule.kind == index_of(operation.kind) && rule.n == n; };
    const auto rule = std::find_if(rules_.begin(), rules_.end(), same);
    if (rule == rules_.end()) return inner_->submit(operation);
    switch (rule->fault) {
      case Fault::fail:
        finish(operation, -static_cast<std::int64_t>(rule->value));
        return;
      case Fault::shorten:
        operation.length = std::min(operation.length, rule->value);
        inner_->submit(operation);
        return;
      case Fault::hold:
        held_.push_back(operation);
        ++held_count_;
        return;
    }
  }

  void cancel(uring::Operation& operation) override {
    if (held_.remove(operation)) {
      --held_count_;
      finish(operation, -ECANCELED);
    } else if (done_.remove(operation)) {
      done_.push_back(operation);
    } else {
      inner_->cancel(operation);
    }
  }

  void wait_for(uring::Operation& operation) override {
    if (held_.remove(operation)) {
      --held_count_;
    } else if (!done_.remove(operation)) {
      inner_->wait_for(operation);
    }
  }

  bool poll() override {
    take_stops();
    const bool resumed = resume_done();
    const bool polled = inner_->poll();
    return resumed || polled || !done_.empty();
  }
  bool idle() const override { return held_.empty() && done_.empty() && inner_->idle(); }
  int wake_fd() const override { return inner_->wake_fd(); }
  void before_sleep() override { inner_->before_sleep(); }
  void after_sleep() override { inner_->after_sleep(); }

 private:
  enum class Fault { fail, shorten, hold };
  struct Rule {
    std::size_t kind;
    unsigned n;
    Fault fault;
    std::uint64_t value;
  };

  static std::size_t index_of(Kind kind) {
    if (kind == Kind::read_fixed) kind = Kind::read;
    if (kind == Kind::write_fixed) kind = Kind::write;
    return static_cast<std::size_t>(kind);
  }

  void add(Kind kind, unsigned n, Fault fault, std::uint64_t value) {
    const Rule rule = {index_of(kind), count(kind) + n, fault, value};
    rules_.push_back(rule);
  }

  void finish(uring::Operation& operation, std::int64_t result) {
    operation.result = result;
    done_.push_back(operation);
  }

  void drop_held() {
    while (uring::Operation* operation = held_.pop_front())
      finish(*operation, -ECANCELED);
    held_count_ = 0;
  }

  bool resume_done() {
    bool any = false;
    while (uring::Operation* operation = done_.pop_front()) {
      any = true;
      if (wants_retry(*operation, operation->result)) {
        submit(*operation);
        continue;
      }
      complete(*operation, operation->result);
      operation->waiter.resume();
    }
    return any;
  }

  std::unique_ptr<uring::FileIo> inner_;
  std::vector<Rule> rules_;
  std::array<unsigned, 16> counts_ = {};
  uring::OperationList held_;
  uring::OperationList done_;
  std::size_t held_count_ = 0;
  bool closing_ = false;
};

}  // namespace cairn::test
