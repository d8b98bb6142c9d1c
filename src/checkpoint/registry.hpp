#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cairn/writer.hpp"

namespace cairn::checkpoint {

/// What was registered under a name. Each throws bad_argument, listing the known names, for one that is not known.
std::shared_ptr<WriterHook> make_registered_hook(const std::string& name);
WriterFactory registered_writer(const std::string& name);
std::function<void()> registered_init(const std::string& name);

}  // namespace cairn::checkpoint
