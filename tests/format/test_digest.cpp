#include <string>

#include "format/digest.hpp"
#include "support/catch.hpp"

using cairn::format::Digest;
using cairn::format::digest;
using cairn::format::from_hex;
using cairn::format::to_hex;

TEST_CASE("digest: XXH3-128 in canonical form") {
  // Published values of the reference implementation, seed 0.
  CHECK(to_hex(digest(std::string_view())) == "99aa06d3014798d86001c324468d497f");
  CHECK(to_hex(digest(std::string_view("abc"))) == "06b05ab6733a618578af5f94892f3950");
}

TEST_CASE("digest: in pieces as in one") {
  const std::string text(3'000'000, 'x');
  const auto bytes = std::as_bytes(std::span(text));
  cairn::format::DigestStream stream;
  for (std::size_t at = 0; at < bytes.size(); at += 70'001)
    stream.update(bytes.subspan(at, std::min<std::size_t>(70'001, bytes.size() - at)));
  CHECK(stream.value() == digest(bytes));
  stream.reset();
  CHECK(stream.value() == digest(std::string_view()));
}

TEST_CASE("digest: hexadecimal digits go both ways") {
  const Digest value = digest(std::string_view("cairn"));
  CHECK(from_hex(to_hex(value)) == value);
  CHECK_FALSE(from_hex("").has_value());
  CHECK_FALSE(from_hex(std::string(31, '0')).has_value());
  CHECK_FALSE(from_hex(std::string(33, '0')).has_value());
  CHECK_FALSE(from_hex(std::string(31, '0') + "g").has_value());
  CHECK_FALSE(from_hex(std::string(31, '0') + "A").has_value());
}
