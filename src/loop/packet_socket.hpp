#pragma once

#include <cairn/task.hpp>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "core/unique_fd.hpp"
#include "loop/loop.hpp"

namespace cairn::loop {

/// One message of a PacketSocket, or the news that the other end is closed (then the rest is empty).
struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> descriptors;
  bool closed = false;
};

/// A unix socket of whole messages (SOCK_SEQPACKET) that can carry file descriptors.
///
/// On the loop's thread only. One task may receive while another sends; several that send at once do so in no
/// particular order, each message whole. Destroy it when no task waits in it.
class PacketSocket {
 public:
  static constexpr std::size_t packet_bytes_max = 64 * 1024;
  static constexpr std::size_t packet_descriptors_max = 64;

  /// Two connected ends, non-blocking and close-on-exec. They may cross a fork: nothing is registered anywhere yet.
  static std::pair<UniqueFd, UniqueFd> pair();

  PacketSocket(Loop& loop, UniqueFd fd);
  ~PacketSocket();
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  /// The next message; its descriptors are close-on-exec. A message over the limits of this class is Error EMSGSIZE,
  /// and none of its descriptors stays open. Empty messages cannot be told from the end and are never sent.
  Task<Packet> receive(std::stop_token stop = std::stop_token());

  /// Sends one message of 1 to packet_bytes_max bytes, with copies of `descriptors` (which stay the caller's and must
  /// stay open until this is done). Waits while the other end has no room; a closed other end is Error EPIPE.
  Task<void> send(std::vector<std::byte> bytes, std::vector<int> descriptors = std::vector<int>());

  int fd() const noexcept { return fd_.get(); }

 private:
  Loop& loop_;
  UniqueFd fd_;
  std::vector<std::byte> incoming_;
};

}  // namespace cairn::loop
