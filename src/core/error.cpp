#include "cairn/error.hpp"

namespace cairn {
namespace {

class CairnCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "cairn"; }

  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::not_a_checkpoint:
        return "Not a checkpoint";
      case Errc::damaged:
        return "Damaged";
      case Errc::missing_keys:
        return "Missing keys";
      case Errc::shape_mismatch:
        return "Shapes differ";
      case Errc::dtype_mismatch:
        return "Dtypes differ";
      case Errc::kind_mismatch:
        return "Kinds differ";
      case Errc::timed_out:
        return "Timed out";
      case Errc::busy:
        return "Too many saves are waiting";
      case Errc::executor_died:
        return "Checkpoint process terminated unexpectedly";
      case Errc::barrier_failed:
        return "Barrier failed";
      case Errc::commit_unknown:
        return "Cannot tell whether the checkpoint is committed";
      case Errc::cancelled:
        return "Cancelled";
      case Errc::closed:
        return "Closed";
      case Errc::unsafe_fork:
        return "A fork is not safe here";
      case Errc::bad_argument:
        return "Bad argument";
      case Errc::init_failed:
        return "Checkpoint process failed to initialize";
      case Errc::writer_failed:
        return "A hook or writer failed";
      case Errc::too_little_memory:
        return "Too little memory";
      case Errc::version_mismatch:
        return "Versions differ";
    }
    return "Unknown cairn error " + std::to_string(value);
  }
};

}  // namespace

const std::error_category& cairn_category() noexcept {
  static const CairnCategory category;
  return category;
}

}  // namespace cairn
