#pragma once

#include <string>

namespace cairn {

/// Where a tensor's memory is.
struct Device {
  /// Memory of the process; what a default-constructed Device is.
  static constexpr Device host() noexcept { return Device(); }

  /// Memory of the CUDA device with this ordinal.
  static constexpr Device cuda(int index) noexcept { return Device(index); }

  constexpr Device() noexcept = default;

  constexpr bool is_host() const noexcept { return index_ < 0; }
  constexpr bool is_cuda() const noexcept { return index_ >= 0; }

  /// The CUDA ordinal; -1 for the host.
  constexpr int index() const noexcept { return index_; }

  friend constexpr bool operator==(Device, Device) noexcept = default;

 private:
  explicit constexpr Device(int index) noexcept : index_(index) {}

  int index_ = -1;
};

/// "host", "cuda:0"
std::string to_string(Device device);

}  // namespace cairn
