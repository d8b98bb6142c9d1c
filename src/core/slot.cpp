#include "core/slot.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "cairn/error.hpp"

namespace cairn {
namespace {

constexpr std::size_t control_bytes = 4096;
constexpr std::size_t header_stride = 128;  // two cache lines: neighbours do not disturb each other
constexpr std::size_t digest_bytes = 16;
static_assert(sizeof(SlotHeader) <= header_stride && SharedSlots::slots_max * header_stride <= control_bytes);

UniqueFd make_memfd(const std::string& name, unsigned flags, bool required) {
  const int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | flags);
  if (fd < 0 && required) throw Error::from_errno(errno, "memfd_create " + name);
  return UniqueFd(fd);
}

void write_all_at(int fd, const void* from, std::size_t bytes, off_t offset) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t done = ::pwrite(fd, at, bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error::from_errno(errno, "write a slot's request");
    at += done;
    offset += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void read_all_at(int fd, void* into, std::size_t bytes, off_t offset) {
  auto* at = static_cast<char*>(into);
  while (bytes > 0) {
    const ssize_t done = ::pread(fd, at, bytes, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw Error::from_errno(done < 0 ? errno : EIO, "read a slot's request");
    at += done;
    offset += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

/// The digests stand behind the request, at a multiple of their own size.
off_t digests_offset(const SlotHeader& header) {
  const std::uint64_t request_bytes = header.request_bytes.load(std::memory_order_acquire);
  return static_cast<off_t>((request_bytes + digest_bytes - 1) / digest_bytes * digest_bytes);
}

}  // namespace

SharedSlots SharedSlots::create(unsigned slots) {
  if (slots == 0 || slots > slots_max) {
    throw Error(Errc::bad_argument,
                "max_in_flight " + std::to_string(slots) + " is not between 1 and " + std::to_string(slots_max));
  }
  SharedSlots made;
  made.control_ = make_memfd("cairn-control", 0, true);
  if (::ftruncate(made.control_.get(), control_bytes) != 0) throw Error::from_errno(errno, "size the control memfd");
  for (unsigned slot = 0; slot < slots; ++slot) {
    const std::string name = "cairn-slot-" + std::to_string(slot);
    Slot& added = made.slots_.emplace_back();
    added.data = make_memfd(name, 0, true);
    added.huge_data = make_memfd(name + "-huge", MFD_HUGETLB, false);
    added.request = make_memfd(name + "-request", 0, true);
  }
  made.map_control();
  for (unsigned slot = 0; slot < slots; ++slot)
    new (&made.header(slot)) SlotHeader{};
  return made;
}

SharedSlots SharedSlots::adopt(const std::vector<int>& descriptors) {
  if (descriptors.size() < 4 || (descriptors.size() - 1) % 3 != 0 || (descriptors.size() - 1) / 3 > slots_max) {
    throw Error(Errc::bad_argument, "adopt shared slots from " + std::to_string(descriptors.size()) + " descriptors");
  }
  SharedSlots made;
  made.control_ = UniqueFd(descriptors[0]);
  for (std::size_t at = 1; at < descriptors.size(); at += 3) {
    Slot& added = made.slots_.emplace_back();
    added.data = UniqueFd(descriptors[at]);
    added.huge_data = UniqueFd(descriptors[at + 1]);
    added.request = UniqueFd(descriptors[at + 2]);
  }
  made.map_control();
  return made;
}

SharedSlots SharedSlots::duplicate() const {
  std::vector<int> copies;
  for (const int fd : descriptors()) {
    const int copy = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd >= 0 && copy < 0) {
      const int failure = errno;
      for (const int made : copies)
        ::close(made);
      throw Error::from_errno(failure, "duplicate the descriptors of shared slots");
    }
    copies.push_back(copy);
  }
  return adopt(copies);
}

SharedSlots::SharedSlots(SharedSlots&& other) noexcept
    : control_(std::move(other.control_)),
      control_memory_(std::exchange(other.control_memory_, nullptr)),
      slots_(std::move(other.slots_)) {}

SharedSlots::~SharedSlots() {
  if (control_memory_ != nullptr) ::munmap(control_memory_, control_bytes);
}

void SharedSlots::map_control() {
  void* const memory = ::mmap(nullptr, control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, control_.get(), 0);
  if (memory == MAP_FAILED) throw Error::from_errno(errno, "map the control memfd");
  control_memory_ = memory;
}

SlotHeader& SharedSlots::header(unsigned slot) const noexcept {
  return *reinterpret_cast<SlotHeader*>(static_cast<std::byte*>(control_memory_) + slot * header_stride);
}

int SharedSlots::data_fd(unsigned slot, bool huge) const noexcept {
  return (huge ? slots_[slot].huge_data : slots_[slot].data).get();
}

void SharedSlots::write_request(unsigned slot, const std::string& bytes) const {
  write_all_at(slots_[slot].request.get(), bytes.data(), bytes.size(), 0);
  header(slot).request_bytes.store(bytes.size(), std::memory_order_release);
}

std::string SharedSlots::read_request(unsigned slot) const {
  std::string bytes(header(slot).request_bytes.load(std::memory_order_acquire), '\0');
  read_all_at(slots_[slot].request.get(), bytes.data(), bytes.size(), 0);
  return bytes;
}

void SharedSlots::write_digests(unsigned slot, std::uint64_t first_block, const void* digests,
                                std::size_t bytes) const {
  write_all_at(slots_[slot].request.get(), digests, bytes,
               digests_offset(header(slot)) + static_cast<off_t>(first_block * digest_bytes));
}

void SharedSlots::read_digests(unsigned slot, void* digests, std::size_t bytes) const {
  read_all_at(slots_[slot].request.get(), digests, bytes, digests_offset(header(slot)));
}

std::vector<int> SharedSlots::descriptors() const {
  std::vector<int> all{control_.get()};
  for (const Slot& slot : slots_) {
    all.push_back(slot.data.get());
    all.push_back(slot.huge_data.get());
    all.push_back(slot.request.get());
  }
  return all;
}

}  // namespace cairn
