#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cairn/error.hpp>
#include <cairn/scope.hpp>
#include <cstring>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "loop/packet_socket.hpp"
#include "loop/run_on.hpp"
#include "support/catch.hpp"

namespace {

using cairn::Scope;
using cairn::Task;
using cairn::UniqueFd;
using cairn::loop::Loop;
using cairn::loop::Packet;
using cairn::loop::PacketSocket;
using cairn::test::run_on;

std::vector<std::byte> pattern(std::size_t bytes, int seed) {
  std::vector<std::byte> out(bytes);
  for (std::size_t index = 0; index < bytes; ++index)
    out[index] = static_cast<std::byte>(index * 7 + static_cast<std::size_t>(seed));
  return out;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory))
    ++count;
  ::closedir(directory);
  return count;
}

/// Two ends on one loop.
struct Ends {
  explicit Ends(Loop& loop) : Ends(loop, PacketSocket::pair()) {}
  Ends(Loop& loop, std::pair<UniqueFd, UniqueFd> fds)
      : a(std::make_unique<PacketSocket>(loop, std::move(fds.first))),
        b(std::make_unique<PacketSocket>(loop, std::move(fds.second))) {}
  std::unique_ptr<PacketSocket> a;
  std::unique_ptr<PacketSocket> b;
};

Task<void> send_many(PacketSocket& socket, int packets, std::size_t bytes) {
  for (int index = 0; index < packets; ++index) {
    std::vector<std::byte> packet = pattern(bytes, index);
    co_await socket.send(std::move(packet));
  }
}

Task<void> receive_many(PacketSocket& socket, int packets, std::size_t bytes, int* right) {
  for (int index = 0; index < packets; ++index) {
    const Packet packet = co_await socket.receive();
    if (!packet.closed && packet.descriptors.empty() && packet.bytes == pattern(bytes, index)) ++*right;
  }
}

Task<void> both(PacketSocket& from, PacketSocket& to, int packets, std::size_t bytes, int* right) {
  Scope scope;
  scope.spawn(send_many(from, packets, bytes));
  scope.spawn(receive_many(to, packets, bytes, right));
  co_await scope.join();
}

int errno_of(Loop& loop, Task<void> task) {
  try {
    run_on(loop, std::move(task));
  } catch (const cairn::Error& error) {
    return error.code().value();
  }
  return 0;
}

}  // namespace

TEST_CASE("packets arrive whole and in order, also when the socket is full for a while") {
  Loop loop;
  const Ends ends(loop);
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{1000}, PacketSocket::packet_bytes_max}) {
    int right = 0;
    run_on(loop, both(*ends.a, *ends.b, 100, bytes, &right));
    CHECK(right == 100);
  }
}

TEST_CASE("descriptors travel with a packet and are close-on-exec") {
  Loop loop;
  const Ends ends(loop);
  const UniqueFd file(::memfd_create("sent", MFD_CLOEXEC));
  std::vector<int> two = {file.get(), file.get()};
  run_on(loop, ends.a->send(pattern(10, 0), two));
  const Packet packet = run_on(loop, ends.b->receive());
  REQUIRE(packet.descriptors.size() == 2);
  struct stat sent = {};
  struct stat received = {};
  REQUIRE(::fstat(file.get(), &sent) == 0);
  REQUIRE(::fstat(packet.descriptors[1].get(), &received) == 0);
  CHECK(sent.st_ino == received.st_ino);
  CHECK(packet.descriptors[0].get() != file.get());
  CHECK((::fcntl(packet.descriptors[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("the other end's close is seen, after what it sent") {
  Loop loop;
  Ends ends(loop);
  run_on(loop, ends.a->send(pattern(5, 1)));
  SECTION("with its own mail read") {}
  SECTION("with mail unread") {
    run_on(loop, ends.b->send(pattern(5, 2)));
  }
  loop.post([&] { ends.a.reset(); });
  int packets = 0;
  Packet packet = run_on(loop, ends.b->receive());
  while (!packet.closed && packets < 10) {
    ++packets;
    packet = run_on(loop, ends.b->receive());
  }
  CHECK(packets == 1);
  CHECK(packet.closed);
  CHECK(packet.bytes.empty());
  CHECK(errno_of(loop, ends.b->send(pattern(5, 1))) == EPIPE);
}

TEST_CASE("a send that waits for room ends with EPIPE when the other end goes") {
  Loop loop;
  Ends ends(loop);
  loop.post([&] {
    // After the socket is full: the sender runs until it has to wait.
    loop.post([&] { loop.post([&] { ends.b.reset(); }); });
  });
  CHECK(errno_of(loop, send_many(*ends.a, 1000, 60000)) == EPIPE);
}

TEST_CASE("packets over the limits are refused, in both directions") {
  Loop loop;
  const Ends ends(loop);
  CHECK(errno_of(loop, ends.a->send(pattern(PacketSocket::packet_bytes_max + 1, 0))) == EMSGSIZE);
  CHECK(errno_of(loop, ends.a->send(std::vector<std::byte>())) == static_cast<int>(cairn::Errc::bad_argument));
  std::vector<int> many(PacketSocket::packet_descriptors_max + 1, 0);
  CHECK(errno_of(loop, ends.a->send(pattern(1, 0), many)) == EMSGSIZE);

  // A peer that sends more than we take: nothing of it stays open.
  const std::size_t before = open_descriptors();
  std::vector<std::byte> big = pattern(PacketSocket::packet_bytes_max + 100, 0);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(100 * sizeof(int))> control = {};
  iovec part = {big.data(), big.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(100 * sizeof(int));
  std::array<int, 100> descriptors;
  descriptors.fill(0);
  std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof descriptors);
  REQUIRE(::sendmsg(ends.a->fd(), &message, 0) == static_cast<ssize_t>(big.size()));
  CHECK_THROWS_AS(run_on(loop, ends.b->receive()), cairn::Error);
  CHECK(open_descriptors() == before);
  int right = 0;
  run_on(loop, both(*ends.a, *ends.b, 3, 100, &right));
  CHECK(right == 3);
}

TEST_CASE("a receive is ended by a stop from another thread, and the socket works on") {
  Loop loop;
  const Ends ends(loop);
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  CHECK_THROWS_AS(run_on(loop, ends.a->receive(stop.get_token())), cairn::Error);
  stopper.join();
  int right = 0;
  run_on(loop, both(*ends.b, *ends.a, 3, 100, &right));
  CHECK(right == 3);
}
