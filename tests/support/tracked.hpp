#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cairn::test {

/// Counts how often it is constructed, copied, moved and destroyed, on any thread, and aborts when one object is
/// destroyed twice or used after its end: g++ 12 does that to temporaries in co_await expressions.
/// Call reset() at the start of a test, with none alive.
class Tracked {
 public:
  struct Counts {
    std::atomic<std::int64_t> constructed{0};  // by any constructor
    std::atomic<std::int64_t> copied{0};
    std::atomic<std::int64_t> moved{0};
    std::atomic<std::int64_t> destroyed{0};
  };

  explicit Tracked(int value = 0) : value_(value), self_(this) { ++counts().constructed; }
  Tracked(const Tracked& other) : value_(other.checked().value_), self_(this) {
    ++counts().constructed;
    ++counts().copied;
  }
  Tracked(Tracked&& other) noexcept : value_(std::exchange(other.checked().value_, moved_from)), self_(this) {
    ++counts().constructed;
    ++counts().moved;
  }
  Tracked& operator=(const Tracked& other) {
    checked().value_ = other.checked().value_;
    return *this;
  }
  Tracked& operator=(Tracked&& other) noexcept {
    const int value = std::exchange(other.checked().value_, moved_from);
    checked().value_ = value;
    return *this;
  }
  ~Tracked() {
    checked().self_ = nullptr;
    ++counts().destroyed;
  }

  int value() const { return checked().value_; }

  static std::int64_t constructed() { return counts().constructed; }
  static std::int64_t copied() { return counts().copied; }
  static std::int64_t moved() { return counts().moved; }
  static std::int64_t destroyed() { return counts().destroyed; }
  static std::int64_t alive() { return constructed() - destroyed(); }

  static void reset() {
    counts().constructed = 0;
    counts().copied = 0;
    counts().moved = 0;
    counts().destroyed = 0;
  }

  static constexpr int moved_from = -1;

 private:
  static Counts& counts() {
    static Counts all;
    return all;
  }

  const Tracked& checked() const {
    if (self_ != this) fail();
    return *this;
  }
  Tracked& checked() {
    if (self_ != this) fail();
    return *this;
  }
  [[noreturn]] static void fail() {
    std::fprintf(stderr, "Tracked: an object was destroyed twice, used after its end, or copied as bytes\n");
    std::abort();
  }

  int value_;
  // volatile: the store in the destructor is dead to the optimizer, and what it is for comes after the object's end.
  Tracked* volatile self_;
};

}  // namespace cairn::test
