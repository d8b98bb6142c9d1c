#include <sys/wait.h>

#include <array>
#include <cairn/version.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <string>

#include "checkpoint/attempt.hpp"
#include "checkpoint/support/states.hpp"
#include "checkpoint/support/write_checkpoint.hpp"
#include "support/catch.hpp"
#include "support/temp_dir.hpp"

using namespace cairn::test;
namespace fs = std::filesystem;

namespace {

struct Outcome {
  int status = -1;
  std::string text;  ///< both outputs
};

/// Runs the program that the build made. Arguments are ours, without characters that a shell would read.
Outcome run_cairn(const std::string& arguments) {
  const char* const program = std::getenv("CAIRN_PROGRAM");
  if (!program) throw std::runtime_error("CAIRN_PROGRAM is not set: run this by meson test");
  Outcome outcome;
  std::FILE* const pipe = ::popen((std::string(program) + " " + arguments + " 2>&1").c_str(), "r");
  if (!pipe) throw std::runtime_error("popen");
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    outcome.text.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_search(text, std::regex(pattern));
}

}  // namespace

TEST_CASE("cairn says its version and how it is used") {
  const Outcome version = run_cairn("--version");
  CHECK(version.status == 0);
  CHECK(version.text == std::string("cairn ") + CAIRN_VERSION_STRING + "\n");
  const Outcome help = run_cairn("--help");
  CHECK(help.status == 0);
  for (const char* word : {"inspect", "verify", "ls", "Exit status"})
    CHECK(contains(help.text, word));
  for (const char* wrong : {"", "verify", "bogus", "ls a b"})
    CHECK(run_cairn(wrong).status == 64);
}

TEST_CASE("cairn verify: 0 whole, 1 damaged with file and block, 2 not a checkpoint") {
  TempDir dir;
  const std::string path = (dir / "a").string();
  write_checkpoint(path, rich_state());
  const Outcome whole = run_cairn("verify " + path);
  INFO(whole.text);
  CHECK(whole.status == 0);
  CHECK(contains(whole.text, "whole"));

  flip_byte(dir / "a" / data_file_name, (1 << 20) + 1);
  const Outcome damaged = run_cairn("verify " + path);
  INFO(damaged.text);
  CHECK(damaged.status == 1);
  CHECK(contains(damaged.text, (dir / "a" / data_file_name).string() + ": block 1 "));

  fs::remove(dir / "a" / "manifest.json");
  CHECK(run_cairn("verify " + path).status == 2);
  CHECK(run_cairn("verify " + (dir / "absent").string()).status == 2);
  CHECK(run_cairn("verify " + (dir / "a" / data_file_name).string()).status == 2);
}

TEST_CASE("cairn inspect prints the tree, scalars, sizes and what the manifest says") {
  TempDir dir;
  CheckpointText text(rich_state(), 1200);
  text.metadata["loss"] = "2.31";
  text.write(dir / "a");
  const Outcome outcome = run_cairn("inspect " + (dir / "a").string());
  INFO(outcome.text);
  CHECK(outcome.status == 0);
  for (const char* part : {"step      1200",
                           "created   2026-01-02T03:04:05Z",
                           "cairn 0.1.0",
                           "loss = \"2.31\"",
                           "├── model\n",
                           "│   ├── weight  F32 [300, 1000]  1.14 MiB\n",
                           "│   ├── layers.0.dotted  I64 [3]  24 B\n",
                           "│       ├── [0]  F32 [4]  16 B\n",
                           "│       ├── [1] = \"between\"\n",
                           "├── scalar  F32 []  4 B\n",
                           "├── nothing  F32 [0, 3]  0 B\n",
                           "├── blob  bytes  4.88 KiB\n",
                           "├── null = null\n",
                           "├── flag = true\n",
                           "├── step = 1200\n",
                           "├── large = 9223372036854775808\n",
                           "├── lr = 0.1\n",
                           "├── name = \"run \\\"a\\\"\"\n",
                           "├── empty list = []\n",
                           "└── empty dict = {}\n",
                           "8 stored tensors"}) {
    INFO(part);
    CHECK(contains(outcome.text, part));
  }
  const Outcome file = run_cairn("inspect " + (dir / "a" / data_file_name).string());
  CHECK(file.status == 0);
  CHECK(contains(file.text, "├── weight  F32 [300, 1000]"));
  flip_byte(dir / "a" / "manifest.json", 30);
  CHECK(run_cairn("inspect " + (dir / "a").string()).status == 1);
  CHECK(run_cairn("inspect " + (dir / "absent").string()).status == 2);
}

TEST_CASE("cairn inspect escapes what would confuse a terminal") {
  TempDir dir;
  cairn::StateDict state;
  state["key\x1b[31m"] = "value\n\x1b[0m";
  state["long"] = std::string(500, 'x');
  write_checkpoint(dir / "a", state);
  const Outcome outcome = run_cairn("inspect " + (dir / "a").string());
  CHECK(outcome.status == 0);
  CHECK_FALSE(contains(outcome.text, "\x1b"));
  CHECK(contains(outcome.text, "key\\x1b[31m = \"value\\n\\x1b[0m\""));
  CHECK(contains(outcome.text, "(500 bytes)"));
}

TEST_CASE("cairn ls lists the newest first, then what is damaged and what is not committed") {
  TempDir dir;
  write_checkpoint(dir / "step-9", rich_state(), 9);
  write_checkpoint(dir / "step-10", rich_state(), 10);
  write_checkpoint(dir / "step-8", rich_state(), 8);
  flip_byte(dir / "step-8" / "manifest.json", 30);
  fs::create_directory(cairn::checkpoint::partial_path(dir / "step-11", std::string(32, 'a')));
  const Outcome outcome = run_cairn("ls " + dir.path().string());
  INFO(outcome.text);
  CHECK(outcome.status == 0);
  CHECK(matches(outcome.text,
                "STEP +SIZE +AGE +STATE +NAME\n"
                " *10 +1\\.[0-9]+ MiB +[0-9]+ [a-z]+ +committed +step-10\n"
                " *9 +1\\.[0-9]+ MiB +[0-9]+ [a-z]+ +committed +step-9\n"
                " *- +1\\.[0-9]+ MiB +[0-9]+ [a-z]+ +damaged +step-8\n"
                " *- +0 B +0 s +partial +step-11\\.partial-a+\n"));
  fs::create_directory(dir / "none");
  const Outcome none = run_cairn("ls " + (dir / "none").string());
  CHECK(none.status == 0);
  CHECK(contains(none.text, "no checkpoints"));
  const Outcome absent = run_cairn("ls " + (dir / "absent").string());
  CHECK(absent.status == 2);
  CHECK(contains(absent.text, (dir / "absent").string()));
}
