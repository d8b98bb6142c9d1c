// The main of every test program. Without a reporter on the command line it writes TAP; `-r console` is for people.

#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
// A sanitizer's own report of a fatal signal, with its stack, is worth more than the name of the test case.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#endif
#endif
#include <catch2/catch.hpp>
#endif

#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

bool chooses_reporter(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("-r") || argument.starts_with("--reporter")) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<const char*> arguments(argv, argv + argc);
  if (!chooses_reporter(argc, argv)) arguments.insert(arguments.begin() + 1, {"-r", "cairn-tap"});
  const int failures = Catch::Session().run(static_cast<int>(arguments.size()), arguments.data());
  // The count of failures would wrap at 256, and codes above 1 are left to crashes and sanitizers.
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
