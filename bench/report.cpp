#include "report.hpp"

#include <fmt/format.h>

#include "format/json.hpp"

namespace cairn::bench {
namespace {

std::string number(double value) {
  return fmt::format("{:.4g}", value);
}

std::string number(const std::optional<double>& value) {
  return value ? number(*value) : "";
}

std::string ratio_with_spread(const Result& result) {
  return result.ratio ? fmt::format("{:.3f} ({:.2f}-{:.2f})", *result.ratio, result.ratio_min, result.ratio_max) : "";
}

std::string describe(const Goal& goal, const Result& result) {
  const double reached = goal.of == Goal::Of::ratio ? result.ratio.value_or(0) : result.value;
  const bool at_least = goal.side == Goal::Side::at_least;
  const bool is_reached = at_least ? reached >= goal.bound : reached <= goal.bound;
  return fmt::format("{} {} {}{}", goal.of == Goal::Of::ratio ? "ratio" : "value", at_least ? ">=" : "<=", goal.bound,
                     is_reached ? "" : " (missed)");
}

std::string json_string(const std::string& text) {
  std::string json;
  format::append_json_string(json, text);
  return json;
}

std::string json_number(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : "null";
}

}  // namespace

std::string as_table(const std::vector<Result>& results) {
  constexpr const char* row = "{:<26} {:>9} {:<6} {:>9} {:>17} {:>7} {:>9} {:>9}  {:<22} {}\n";
  std::string table =
      fmt::format(fmt::runtime(row), "name", "value", "unit", "baseline", "ratio", "samples", "min", "max", "goal", "");
  for (const Result& result : results) {
    table += fmt::format(fmt::runtime(row), result.name, number(result.value), result.unit, number(result.baseline),
                         ratio_with_spread(result), result.samples, number(result.min), number(result.max),
                         result.goal ? describe(*result.goal, result) : "", result.what);
  }
  return table;
}

std::string as_json(const Machine& machine, const std::vector<Result>& results) {
  std::string json = "{\"machine\": {";
  for (std::size_t at = 0; at < machine.size(); ++at) {
    json += at == 0 ? "" : ", ";
    json += json_string(machine[at].first) + ": " + json_string(machine[at].second);
  }
  json += "},\n \"results\": [";
  for (std::size_t at = 0; at < results.size(); ++at) {
    const Result& result = results[at];
    json += at == 0 ? "\n  " : ",\n  ";
    json += fmt::format(
        R"({{"name": {}, "value": {}, "unit": {}, "baseline": {}, "ratio": {}, "samples": {}, "min": {}, "max": {}}})",
        json_string(result.name), result.value, json_string(result.unit), json_number(result.baseline),
        json_number(result.ratio), result.samples, result.min, result.max);
  }
  return json + "\n ]}\n";
}

}  // namespace cairn::bench
