#include "support/seed.hpp"

#include <cstdlib>
#include <random>
#include <string>

namespace cairn::test {
namespace {

std::uint64_t choose_seed() {
  if (const char* given = std::getenv("CAIRN_TEST_SEED")) return std::stoull(given, nullptr, 0);
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

std::uint64_t seed() {
  static const std::uint64_t chosen = choose_seed();
  return chosen;
}

}  // namespace cairn::test
