#include "cairn/version.hpp"

namespace cairn {

const char* version() noexcept {
  return CAIRN_VERSION_STRING;
}

}  // namespace cairn
