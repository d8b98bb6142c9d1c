#include "checkpoint/registry.hpp"

#include "core/registry.hpp"

namespace cairn {
namespace {

using MakeHook = std::function<std::shared_ptr<WriterHook>()>;
using Init = std::function<void()>;

Registry<MakeHook>& hooks() {
  static Registry<MakeHook> registry("hook");
  return registry;
}

Registry<WriterFactory>& writers() {
  static Registry<WriterFactory> registry("writer");
  return registry;
}

Registry<Init>& inits() {
  static Registry<Init> registry("init function");
  return registry;
}

}  // namespace

void register_hook(std::string name, std::function<std::shared_ptr<WriterHook>()> make) {
  hooks().set(std::move(name), std::move(make));
}

void register_writer(std::string name, WriterFactory make) {
  writers().set(std::move(name), std::move(make));
}

void register_init(std::string name, std::function<void()> init) {
  inits().set(std::move(name), std::move(init));
}

namespace checkpoint {

std::shared_ptr<WriterHook> make_registered_hook(const std::string& name) {
  return hooks().get(name)();
}

WriterFactory registered_writer(const std::string& name) {
  return writers().get(name);
}

std::function<void()> registered_init(const std::string& name) {
  return inits().get(name);
}

}  // namespace checkpoint
}  // namespace cairn
