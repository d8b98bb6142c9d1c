#include "checkpoint/attempt.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>
#include <thread>

#include "cairn/error.hpp"

namespace cairn::checkpoint {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view partial_mark = ".partial-";
constexpr std::size_t attempt_id_digits = 32;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

/// State letter and start time of a process, from /proc/<pid>/stat; the name in there may hold anything, so what counts
/// stands behind its last parenthesis.
struct ProcessStat {
  char state = 'X';
  unsigned long long start = 0;
};

std::optional<ProcessStat> process_stat(long pid) {
  const std::string line = first_line("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state;
  constexpr int fields_between_state_and_start = 18;
  std::string skipped;
  for (int field = 0; field < fields_between_state_and_start; ++field)
    fields >> skipped;
  fields >> stat.start;
  if (!fields) return std::nullopt;
  return stat;
}

std::string own_pid_namespace() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/ns/pid", ignored).string();
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

struct flock whole_file(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// Whether `fd` is still the file that stands at `file`: a remover may have been there between open and lock.
bool still_there(int fd, const fs::path& file) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(fd, &opened) == 0 && ::stat(file.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

}  // namespace

std::string make_attempt_id() {
  std::array<unsigned char, attempt_id_digits / 2> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error::from_errno(errno, "getrandom for an attempt id");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string id;
  for (const unsigned char byte : bytes) {
    id += digits[byte >> 4];
    id += digits[byte & 15];
  }
  return id;
}

fs::path partial_path(const fs::path& path, const std::string& attempt) {
  return fs::path(path.native() + std::string(partial_mark) + attempt);
}

fs::path replaced_path(const fs::path& path) {
  return fs::path(path.native() + ".replaced");
}

std::optional<Attempt> parse_partial_path(const fs::path& directory) {
  const std::string& whole = directory.native();
  const auto mark = whole.rfind(partial_mark);
  if (mark == std::string::npos || mark == 0) return std::nullopt;
  const std::string id = whole.substr(mark + partial_mark.size());
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (id.size() != attempt_id_digits || !std::all_of(id.begin(), id.end(), is_digit)) return std::nullopt;
  return Attempt{directory, whole.substr(0, mark), id};
}

std::vector<Attempt> list_attempts(const fs::path& parent) {
  std::vector<Attempt> found;
  std::error_code error;
  fs::directory_iterator entries(parent, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return found;
  if (error) throw Error(error, "list " + parent.string());
  for (; entries != fs::directory_iterator(); entries.increment(error)) {
    if (error) throw Error(error, "list " + parent.string());
    if (auto attempt = parse_partial_path(entries->path())) found.push_back(std::move(*attempt));
  }
  return found;
}

WriterIdentity WriterIdentity::of_process(long pid) {
  WriterIdentity identity;
  identity.trainer_pid = pid;
  if (const auto stat = process_stat(pid)) identity.trainer_start = stat->start;
  identity.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  identity.pid_namespace = own_pid_namespace();
  identity.host = host_name();
  return identity;
}

std::string WriterIdentity::text() const {
  std::ostringstream out;
  out << "trainer_pid " << trainer_pid << "\ntrainer_start " << trainer_start << "\nboot_id " << boot_id
      << "\npid_namespace " << pid_namespace << "\nhost " << host << "\n";
  return out.str();
}

WriterIdentity WriterIdentity::parse(const std::string& text) {
  WriterIdentity identity;
  std::istringstream lines(text);
  std::string name;
  std::string value;
  while (lines >> name >> value) {
    const char* const end = value.data() + value.size();
    if (name == "trainer_pid") std::from_chars(value.data(), end, identity.trainer_pid);
    if (name == "trainer_start") std::from_chars(value.data(), end, identity.trainer_start);
    if (name == "boot_id") identity.boot_id = value;
    if (name == "pid_namespace") identity.pid_namespace = value;
    if (name == "host") identity.host = value;
  }
  return identity;
}

bool WriterIdentity::trainer_runs() const {
  const WriterIdentity here = of_process(::getpid());
  if (boot_id != here.boot_id || pid_namespace != here.pid_namespace) return false;
  const auto stat = process_stat(trainer_pid);
  return stat && stat->start == trainer_start && stat->state != 'Z' && stat->state != 'X';
}

AttemptLock AttemptLock::create(const Attempt& attempt, const WriterIdentity& identity) {
  const fs::path file = attempt.directory / lock_file_name;
  constexpr int tries_max = 1000;
  for (int tries = 0; tries < tries_max; ++tries) {
    if (::mkdir(attempt.directory.c_str(), 0777) != 0 && errno != EEXIST) {
      throw Error::from_errno(errno, "make directory " + attempt.directory.string());
    }
    UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!fd && errno == ENOENT) continue;  // removed in between
    if (!fd) throw Error::from_errno(errno, "open " + file.string());
    struct flock lock = whole_file(F_WRLCK);
    if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
      if (errno != EAGAIN && errno != EACCES) throw Error::from_errno(errno, "lock " + file.string());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // somebody is removing what a dead worker left here
      continue;
    }
    if (!still_there(fd.get(), file)) continue;
    const std::string text = identity.text();
    if (::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      throw Error::from_errno(errno, "write " + file.string());
    }
    return AttemptLock(std::move(fd));
  }
  throw Error(Errc::busy, "lock " + file.string());
}

std::optional<AttemptLock> AttemptLock::take_over(const Attempt& attempt) {
  const fs::path file = attempt.directory / lock_file_name;
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) return std::nullopt;
  struct flock lock = whole_file(F_WRLCK);
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) return std::nullopt;
  if (!still_there(fd.get(), file)) return std::nullopt;
  return AttemptLock(std::move(fd));
}

std::optional<WriterIdentity> live_writer(const Attempt& attempt) {
  const fs::path file = attempt.directory / lock_file_name;
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  struct flock lock = whole_file(F_RDLCK);
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  std::array<char, 1024> text{};
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), 0);
  return WriterIdentity::parse(std::string(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0));
}

std::vector<Attempt> orphaned_writers(const fs::path& parent) {
  std::vector<Attempt> orphans;
  for (Attempt& attempt : list_attempts(parent)) {
    const auto writer = live_writer(attempt);
    if (writer && !writer->trainer_runs()) orphans.push_back(std::move(attempt));
  }
  return orphans;
}

std::string describe(const std::vector<Attempt>& attempts) {
  std::string text;
  for (const Attempt& attempt : attempts) {
    if (!text.empty()) text += ", ";
    text += attempt.directory.string();
    if (const auto writer = live_writer(attempt)) {
      text += " (trainer " + std::to_string(writer->trainer_pid) + " on " + writer->host + ")";
    }
  }
  return text;
}

void wait_for_orphans(const fs::path& parent, std::chrono::milliseconds wait_max, const std::optional<fs::path>& only) {
  const auto deadline = std::chrono::steady_clock::now() + wait_max;
  // Only those that are there now: what a dead trainer staged has its directory already.
  std::vector<Attempt> waited_for = orphaned_writers(parent);
  std::erase_if(waited_for,
                [&](const Attempt& attempt) { return only && attempt.path.filename() != only->filename(); });
  while (true) {
    std::erase_if(waited_for, [](const Attempt& attempt) { return !live_writer(attempt); });
    if (waited_for.empty()) return;
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error(Errc::timed_out, "wait " + std::to_string(wait_max.count()) +
                                       " ms for executors that are still writing " + describe(waited_for));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void remove_directory(const fs::path& directory) {
  std::error_code error;
  fs::remove_all(directory, error);
  if (error && error != std::errc::no_such_file_or_directory) throw Error(error, "remove " + directory.string());
}

void sync_directory(const fs::path& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, "open directory " + directory.string());
  // EINVAL: a file system whose directories cannot be synced has nothing to sync.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) throw Error::from_errno(errno, "sync directory " + directory.string());
}

fs::path readable_path(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return path;
  const fs::path replaced = replaced_path(path);
  return fs::exists(replaced / manifest_file_name, ignored) ? replaced : path;
}

}  // namespace cairn::checkpoint
