// Test cases as TAP 13, which Meson reads: one line a case, the assertions that failed as comments below it, and the
// plan last, so that a program that ends too early is seen by its missing plan.

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_assertion_result.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/interfaces/catch_interfaces_reporter.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
#include <catch2/reporters/catch_reporter_streaming_base.hpp>
#define CAIRN_CATCH_2 0
#else
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>
#define CAIRN_CATCH_2 1
#endif

#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>

#include "support/seed.hpp"
#include "support/skip.hpp"

namespace cairn::test {
namespace {

#if CAIRN_CATCH_2
class TapReporter;
using TapBase = Catch::StreamingReporterBase<TapReporter>;
using AfterAssertion = bool;
#else
using TapBase = Catch::StreamingReporterBase;
using AfterAssertion = void;
#endif

std::string comment(std::string_view text) {
  std::string lines;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += "#   ";
    lines += text.substr(begin, end - begin);
    lines += '\n';
    begin = end + 1;
  }
  return lines;
}

// TAP gives '#' a meaning, and a newline ends the line.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text)
    line += (c == '#' || c == '\n') ? ' ' : c;
  return line;
}

class TapReporter : public TapBase {
 public:
  using TapBase::TapBase;

  static std::string getDescription() { return "One TAP 13 line a test case; skipped cases and their reasons"; }

  void testRunStarting(const Catch::TestRunInfo& info) override {
    TapBase::testRunStarting(info);
    out() << "TAP version 13\n# seed " << seed() << std::endl;
  }

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TapBase::testCaseStarting(info);
    diagnostics_.clear();
    take_skip_reason();
  }

  void assertionStarting(const Catch::AssertionInfo&) override {}

  AfterAssertion assertionEnded(const Catch::AssertionStats& stats) override {
    if (!stats.assertionResult.isOk()) diagnostics_ += describe(stats);
#if CAIRN_CATCH_2
    return true;
#endif
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    const std::optional<std::string> skip_reason = take_skip_reason();
    const bool failed = stats.totals.assertions.failed > 0 || stats.totals.testCases.failed > 0;
    ++cases_;
    out() << (failed ? "not ok " : "ok ") << cases_ << " - " << one_line(name(stats));
    if (!failed && skip_reason) out() << " # SKIP " << one_line(*skip_reason);
    out() << '\n' << diagnostics_ << std::flush;
    TapBase::testCaseEnded(stats);
  }

  void testRunEnded(const Catch::TestRunStats& stats) override {
    out() << "1.." << cases_ << std::endl;
    TapBase::testRunEnded(stats);
  }

 private:
#if CAIRN_CATCH_2
  std::ostream& out() { return stream; }
  static const std::string& name(const Catch::TestCaseStats& stats) { return stats.testInfo.name; }
#else
  std::ostream& out() { return m_stream; }
  static const std::string& name(const Catch::TestCaseStats& stats) { return stats.testInfo->name; }
#endif

  std::string describe(const Catch::AssertionStats& stats) const {
    const Catch::AssertionResult& result = stats.assertionResult;
    std::ostringstream text;
    text << result.getSourceInfo().file << ':' << result.getSourceInfo().line << ": ";
    if (result.hasExpression()) {
      text << result.getExpressionInMacro();
      if (result.hasExpandedExpression()) text << "\n  with expansion: " << result.getExpandedExpression();
    } else {
      text << "failed";
    }
    if (result.hasMessage()) text << "\n  " << result.getMessage();
    for (const Catch::MessageInfo& message : stats.infoMessages)
      text << "\n  " << message.message;
    for (std::size_t depth = 1; depth < m_sectionStack.size(); ++depth) {
      text << "\n  in section: " << m_sectionStack[depth].name;
    }
    return comment(text.str());
  }

  int cases_ = 0;
  std::string diagnostics_;
};

CATCH_REGISTER_REPORTER("cairn-tap", TapReporter)

}  // namespace
}  // namespace cairn::test
