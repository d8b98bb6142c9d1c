#pragma once

#include <unistd.h>

#include <cairn/error.hpp>
#include <cairn/writer.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "checkpoint/support/workplace.hpp"
#include "core/yield.hpp"

namespace cairn::test {

/// Waits in a hook, without holding up the executor's loop, until there is such a file.
inline Task<> file_is_there(std::filesystem::path file) {
  std::error_code ignored;
  while (!std::filesystem::exists(file, ignored)) {
    ::usleep(50);
    co_await yield();
  }
}

inline void make_file(const std::filesystem::path& file) {
  std::ofstream(file) << "go\n";
}

/// Before the commit of every save it makes the file `<gate>.reached`, and waits for `<gate>`.
class GateHook final : public WriterHook {
 public:
  explicit GateHook(std::filesystem::path gate) : gate_(std::move(gate)) {}

  Task<> pre_commit(Commit) override {
    make_file(reached(gate_));
    co_await file_is_there(gate_);
  }

  static std::filesystem::path reached(const std::filesystem::path& gate) { return gate.string() + ".reached"; }

 private:
  const std::filesystem::path gate_;
};

/// Throws an Error of EIO in one of the two.
class FailingHook final : public WriterHook {
 public:
  enum class When { before, after };
  explicit FailingHook(When when) : when_(when) {}

  Task<> pre_commit(Commit commit) override {
    if (when_ == When::before) throw Error::from_errno(EIO, "hook before " + commit.path.filename().string());
    co_return;
  }
  Task<> post_commit(Commit commit) override {
    if (when_ == When::after) throw Error::from_errno(EIO, "hook after " + commit.path.filename().string());
    co_return;
  }

 private:
  const When when_;
};

/// Appends a line for every call: the hook, the save's name, what lies in its partial directory and whether it is in
/// place; the step and the metadata.
class RecordingHook final : public WriterHook {
 public:
  explicit RecordingHook(std::filesystem::path file) : file_(std::move(file)) {}

  Task<> pre_commit(Commit commit) override {
    record("pre", commit);
    co_return;
  }
  Task<> post_commit(Commit commit) override {
    record("post", commit);
    co_return;
  }

 private:
  void record(const char* which, const Commit& commit) {
    std::ofstream out(file_, std::ios::app);
    out << which << ' ' << commit.path.filename().string() << " partial:";
    for (const std::string& name : names_in(commit.partial_path))
      out << ' ' << name;
    out << " placed:";
    for (const std::string& name : names_in(commit.path))
      out << ' ' << name;
    out << " step:" << (commit.step ? std::to_string(*commit.step) : "none");
    for (const auto& [key, value] : commit.metadata)
      out << ' ' << key << '=' << value;
    out << " rank:" << commit.rank.global_rank << '/' << commit.rank.global_world_size << '\n';
  }

  const std::filesystem::path file_;
};

inline std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

}  // namespace cairn::test
