#include <set>
#include <string>

#include "cairn/error.hpp"
#include "support/catch.hpp"

using cairn::Errc;
using cairn::Error;

TEST_CASE("an Error says what was done to what, and why it failed") {
  const Error full = Error::from_errno(ENOSPC, "write runs/a/rank-00001-of-00004.safetensors at 8388608");
  CHECK(std::string(full.what()) == "write runs/a/rank-00001-of-00004.safetensors at 8388608: No space left on device");
  CHECK(full.context() == "write runs/a/rank-00001-of-00004.safetensors at 8388608");
  CHECK(full.code() == std::errc::no_space_on_device);

  const Error keys(Errc::missing_keys, "load runs/a: model.w");
  CHECK(keys.code() == Errc::missing_keys);
  CHECK(keys.code() != Errc::damaged);
  CHECK(std::string(keys.code().category().name()) == "cairn");
}

TEST_CASE("every code has a text of its own") {
  std::set<std::string> texts;
  const int last = static_cast<int>(Errc::version_mismatch);
  for (int code = 1; code <= last; ++code)
    texts.insert(cairn::make_error_code(static_cast<Errc>(code)).message());
  CHECK(texts.size() == static_cast<std::size_t>(last));
  const std::string unknown = cairn::make_error_code(static_cast<Errc>(last + 1)).message();
  CHECK(unknown == "Unknown cairn error " + std::to_string(last + 1));
}
