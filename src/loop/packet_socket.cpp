#include "loop/packet_socket.hpp"

#include <sys/socket.h>

#include <array>
#include <cairn/error.hpp>
#include <cerrno>
#include <cstring>
#include <string>

namespace cairn::loop {

namespace {

constexpr std::size_t descriptors_bytes_max = PacketSocket::packet_descriptors_max * sizeof(int);

/// Room for one control message with the most descriptors that a packet may carry.
struct Control {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(descriptors_bytes_max)> bytes;
};

/// Takes over all descriptors that came with a message.
std::vector<UniqueFd> take_descriptors(msghdr& message) {
  std::vector<UniqueFd> taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    taken.reserve(taken.size() + count);
    for (std::size_t index = 0; index < count; ++index) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
      taken.emplace_back(fd);
    }
  }
  return taken;
}

void put_descriptors(msghdr& message, Control& control, const std::vector<int>& descriptors) {
  if (descriptors.empty()) return;
  const std::size_t bytes = descriptors.size() * sizeof(int);
  std::memset(control.bytes.data(), 0, control.bytes.size());
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_SPACE(bytes);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(header), descriptors.data(), bytes);
}

/// True with the packet, false when there is none yet. Throws Error.
bool receive_now(int fd, std::vector<std::byte>& buffer, Packet& packet) {
  Control control;
  iovec part = {};
  part.iov_base = buffer.data();
  part.iov_len = buffer.size();
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t count = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  // ECONNRESET: the other end closed with messages of ours unread. It is reported once, before the messages that are
  // still here for us, and then the end.
  while (count < 0 && (errno == EINTR || errno == ECONNRESET))
    count = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (count < 0) throw Error::from_errno(errno, "receive a packet");
  if (count == 0) {
    packet.closed = true;
    return true;
  }
  packet.descriptors = take_descriptors(message);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) throw Error::from_errno(EMSGSIZE, "receive a packet");
  packet.bytes.assign(buffer.begin(), buffer.begin() + count);
  return true;
}

}  // namespace

std::pair<UniqueFd, UniqueFd> PacketSocket::pair() {
  std::array<int, 2> ends = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) < 0)
    throw Error::from_errno(errno, "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

PacketSocket::PacketSocket(Loop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {}

PacketSocket::~PacketSocket() = default;

Task<Packet> PacketSocket::receive(std::stop_token stop) {
  if (incoming_.empty()) incoming_.resize(packet_bytes_max);
  Packet packet;
  while (!receive_now(fd_.get(), incoming_, packet))
    co_await loop_.readable(fd_.get(), std::nullopt, stop);
  co_return packet;
}

Task<void> PacketSocket::send(std::vector<std::byte> bytes, std::vector<int> descriptors) {
  const std::string what = "send a packet of " + std::to_string(bytes.size()) + " bytes";
  if (bytes.empty()) throw Error(Errc::bad_argument, what);
  if (bytes.size() > packet_bytes_max || descriptors.size() > packet_descriptors_max)
    throw Error::from_errno(EMSGSIZE, what);
  Control control;
  iovec part = {};
  part.iov_base = bytes.data();
  part.iov_len = bytes.size();
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  put_descriptors(message, control, descriptors);
  while (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    // Closed with messages unread is ECONNRESET once, and EPIPE from then on.
    if (errno == ECONNRESET) throw Error::from_errno(EPIPE, what);
    if (errno != EAGAIN && errno != EWOULDBLOCK) throw Error::from_errno(errno, what);
    co_await loop_.writable(fd_.get());
  }
}

}  // namespace cairn::loop
