#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cairn/error.hpp"

namespace cairn {

/// Things known by name, process-wide: what a process that was started by exec can be told to use. Any thread.
template <class T>
class Registry {
 public:
  /// `what` is for errors: "barrier type", "hook".
  explicit Registry(std::string what) : what_(std::move(what)) {}

  void set(std::string name, T value) {
    const std::lock_guard lock(mutex_);
    entries_.insert_or_assign(std::move(name), std::move(value));
  }

  /// Throws bad_argument, listing the known names.
  T get(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at != entries_.end()) return at->second;
    std::string known;
    for (const auto& [each, value] : entries_)
      known += (known.empty() ? "" : ", ") + each;
    throw Error(Errc::bad_argument,
                "unknown " + what_ + " \"" + name + "\"; known: " + (known.empty() ? "none" : known));
  }

 private:
  const std::string what_;
  mutable std::mutex mutex_;
  std::map<std::string, T> entries_;
};

}  // namespace cairn
