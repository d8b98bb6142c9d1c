#include <cerrno>
#include <cstdint>
#include <functional>
#include <ios>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

#include "cairn/error.hpp"
#include "checkpoint/program.hpp"
#include "executor/executor_start.hpp"
#include "executor/message.hpp"
#include "executor/wire.hpp"
#include "loop/packet_socket.hpp"
#include "support/catch.hpp"
#include "support/seed.hpp"

using cairn::Errc;
using cairn::Error;
using cairn::executor::decode;
using cairn::executor::encode;
using cairn::executor::Message;
using cairn::executor::MessageType;
using cairn::executor::to_error;
using cairn::executor::WireReader;
using cairn::executor::WireWriter;

namespace {

Message full_message() {
  Message message;
  message.type = MessageType::outcome;
  message.slot = 7;
  message.generation = 0x1122334455667788;
  message.number = -5;
  message.text = "0.1.0";
  message.detail = std::string("a\0b", 3);
  message.error = Error::from_errno(ENOSPC, "write runs/a at 8388608");
  return message;
}

Error round_trip(const Error& error) {
  Message message;
  message.error = error;
  return decode(encode(message)).error.value();
}

Error as_error(const std::function<void()>& throwing) {
  try {
    throwing();
  } catch (...) {
    return to_error(std::current_exception());
  }
  throw std::logic_error("nothing was thrown");
}

/// Takes `read` to everything that can arrive when `bytes` was sent and something went wrong. It may answer or throw
/// Error; anything else ends the test.
void feed_hostile(const std::string& bytes, const std::function<void(const std::string&)>& read) {
  std::mt19937_64 random(cairn::test::seed());
  for (int round = 0; round < 5000; ++round) {
    std::string changed = bytes;
    for (std::uint64_t left = 1 + random() % 4; left > 0; --left) {
      const std::size_t at = random() % changed.size();
      switch (random() % 3) {
        case 0:
          changed[at] = static_cast<char>(random());
          break;
        case 1:
          changed.insert(at, 1, static_cast<char>(random()));
          break;
        default:
          changed[at] = static_cast<char>(0xff);
          break;
      }
    }
    INFO("round " << round);
    try {
      read(changed);
    } catch (const Error&) {
    }
  }
}

}  // namespace

TEST_CASE("a message comes back as it was sent") {
  const Message sent = full_message();
  const Message got = decode(encode(sent));
  CHECK(got.type == sent.type);
  CHECK(got.slot == sent.slot);
  CHECK(got.generation == sent.generation);
  CHECK(got.number == sent.number);
  CHECK(got.text == sent.text);
  CHECK(got.detail == sent.detail);
  REQUIRE(got.error);
  CHECK(got.error->code() == sent.error->code());
  CHECK(std::string(got.error->what()) == sent.error->what());
  CHECK_FALSE(decode(encode(Message())).error);
}

TEST_CASE("errors of every category keep their meaning on the way to the trainer") {
  CHECK(round_trip(Error(Errc::barrier_failed, "x")).code() == Errc::barrier_failed);
  CHECK(round_trip(Error(std::make_error_code(std::errc::io_error), "x")).code() == std::errc::io_error);
  CHECK(round_trip(Error::from_errno(EIO, "x")).code() == std::error_code(EIO, std::system_category()));

  // 1 of the stream category is not EPERM.
  const Error stream = round_trip(Error(std::make_error_code(std::io_errc::stream), "read tokens.bin"));
  CHECK(stream.code() == Errc::writer_failed);
  CHECK(std::string(stream.what()).find("read tokens.bin") != std::string::npos);
  CHECK(std::string(stream.what()).find("Operation not permitted") == std::string::npos);
}

TEST_CASE("whatever was thrown becomes an Error with its text") {
  CHECK(as_error([] { throw Error(Errc::busy, "x"); }).code() == Errc::busy);
  CHECK(as_error([] { throw std::system_error(EIO, std::system_category(), "x"); }).code() ==
        std::error_code(EIO, std::system_category()));
  const Error plain = as_error([] { throw std::runtime_error("no tokens left"); });
  CHECK(plain.code() == Errc::writer_failed);
  CHECK(plain.context() == "no tokens left");
  CHECK(as_error([] { throw 7; }).code() == Errc::writer_failed);
}

TEST_CASE("messages with texts of any length fit in a packet") {
  Message message;
  message.text.assign(1 << 20, 't');
  message.detail.assign(1 << 20, 'd');
  message.error = Error(Errc::writer_failed, std::string(1 << 20, 'e'));
  const std::string bytes = encode(message);
  CHECK(bytes.size() <= cairn::loop::PacketSocket::packet_bytes_max);
  CHECK(decode(bytes).error->context().starts_with("eee"));
}

TEST_CASE("a message that was cut anywhere is refused") {
  const std::string bytes = encode(full_message());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("first " << length << " bytes");
    CHECK_THROWS_AS(decode(bytes.substr(0, length)), Error);
  }
}

TEST_CASE("another protocol and unknown types are refused by name") {
  std::string bytes = encode(full_message());
  const auto code_of = [](const std::string& wrong) {
    try {
      decode(wrong);
    } catch (const Error& error) {
      return error.code();
    }
    return std::error_code();
  };
  std::string version = bytes;
  version[0] = 99;
  CHECK(code_of(version) == Errc::version_mismatch);
  for (const char type : {'\0', '\x0d', '\xff'}) {
    std::string wrong = bytes;
    wrong[4] = type;
    CHECK(code_of(wrong) == Errc::bad_argument);
  }
}

TEST_CASE("hostile messages are refused or read, and nothing else") {
  feed_hostile(encode(full_message()), [](const std::string& bytes) { decode(bytes); });
}

TEST_CASE("wire values come back, and lengths beyond the end are refused") {
  const std::map<std::string, std::string> entries = {{"", ""}, {"a", "1"}, {"b", std::string(300, 'x')}};
  WireWriter out;
  out.u32(1)
      .u64(~std::uint64_t{0})
      .i64(-1)
      .text("")
      .text("abc")
      .optional_i64(std::nullopt)
      .optional_i64(-9)
      .map(entries);
  const std::string bytes = out.take();
  const auto read_all = [&](const std::string& from) {
    WireReader in(from);
    const bool same = in.u32() == 1 && in.u64() == ~std::uint64_t{0} && in.i64() == -1 && in.text().empty() &&
                      in.text() == "abc" && !in.optional_i64() && in.optional_i64() == -9 && in.map() == entries;
    return same;
  };
  CHECK(read_all(bytes));
  // Those of the first bytes that still hold right values are read as far as they go.
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_THROWS_AS(read_all(bytes.substr(0, length)), Error);

  WireWriter hostile;
  hostile.u64(~std::uint64_t{0});
  const std::string huge = hostile.take();
  CHECK_THROWS_AS(WireReader(huge).text(), Error);
  CHECK_THROWS_AS(WireReader(huge).map(), Error);
}

TEST_CASE("an executor's start that was cut or changed is refused") {
  // Without descriptors, so that nobody's are closed: there is nothing to map in the end.
  WireWriter out;
  out.u64(4).i64(-1).i64(-1).i64(-1).i64(-1).i64(-1).i64(-1).i64(0).text("identity").text("").i64(0).u32(0).text("");
  const std::string bytes = out.take();
  for (std::size_t length = 0; length <= bytes.size(); ++length)
    CHECK_THROWS_AS(cairn::executor::ExecutorStart::decode(bytes.substr(0, length)), Error);
}

TEST_CASE("the program goes over an exec whole") {
  using cairn::checkpoint::CheckpointProgram;
  cairn::CheckpointWriterConfig writer;
  writer.write_stall_timeout = std::chrono::milliseconds(11);
  writer.write_barrier_timeout = std::chrono::milliseconds(12);
  writer.live_writer_timeout = std::chrono::milliseconds(13);
  writer.direct_io = false;
  writer.io_backend = cairn::IoBackend::threads;
  cairn::BarrierConfig barrier;
  barrier.barrier_type = "tcp_store";
  barrier.barrier_args["host"] = "localhost";
  cairn::CheckpointerParts parts;
  parts.commit_hook_name = "hook";
  parts.subprocess_init_name = "init";
  parts.checkpoint_writer_name = "writer";
  const CheckpointProgram program(writer, barrier, cairn::RankInfo(), parts);
  const std::string bytes = program.encode();
  CHECK(CheckpointProgram::decode(bytes).encode() == bytes);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_THROWS_AS(CheckpointProgram::decode(bytes.substr(0, length)), Error);
  feed_hostile(bytes, [](const std::string& changed) { CheckpointProgram::decode(changed); });
}
