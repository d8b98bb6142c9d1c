#include "executor/message.hpp"

#include "executor/wire.hpp"

namespace cairn::executor {
namespace {

constexpr std::uint32_t protocol_version = 1;
constexpr std::size_t text_bytes_max = 16 * 1024;  // two texts and an error stay below a packet's 64 KiB

std::string_view cut(std::string_view text) {
  return text.substr(0, text_bytes_max);
}

bool crosses(const std::error_category& category) {
  return category == cairn_category() || category == std::generic_category() || category == std::system_category();
}

/// The number of a category that the other end cannot name would mean something else there: it goes as text.
void put_error(WireWriter& out, const Error& error) {
  if (!crosses(error.code().category())) return put_error(out, Error(Errc::writer_failed, error.what()));
  out.text(error.code().category().name());
  out.i64(error.code().value());
  out.text(cut(error.context()));
}

Error take_error(WireReader& in) {
  const std::string category = in.text();
  const auto value = static_cast<int>(in.i64());
  std::string context = in.text();
  if (category == cairn_category().name()) return Error(static_cast<Errc>(value), std::move(context));
  if (category == std::generic_category().name()) {
    return Error(std::error_code(value, std::generic_category()), std::move(context));
  }
  return Error::from_errno(value, std::move(context));
}

}  // namespace

std::string encode(const Message& message) {
  WireWriter out;
  out.u32(protocol_version).u32(static_cast<std::uint32_t>(message.type));
  out.u32(message.slot).u64(message.generation).i64(message.number);
  out.text(cut(message.text)).text(cut(message.detail));
  out.u32(message.error ? 1 : 0);
  if (message.error) put_error(out, *message.error);
  return out.take();
}

Message decode(std::string_view bytes) {
  WireReader in(bytes);
  const std::uint32_t version = in.u32();
  if (version != protocol_version) {
    throw Error(Errc::version_mismatch, "executor speaks protocol " + std::to_string(version) + ", this library " +
                                            std::to_string(protocol_version));
  }
  Message message;
  const std::uint32_t type = in.u32();
  if (type < static_cast<std::uint32_t>(MessageType::hello) || type > static_cast<std::uint32_t>(MessageType::exit)) {
    throw Error(Errc::bad_argument, "executor message of unknown type " + std::to_string(type));
  }
  message.type = static_cast<MessageType>(type);
  message.slot = in.u32();
  message.generation = in.u64();
  message.number = in.i64();
  message.text = in.text();
  message.detail = in.text();
  const bool has_error = in.u32() != 0;
  if (has_error) message.error = take_error(in);
  return message;
}

Error to_error(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return error;
  } catch (const std::system_error& error) {
    return Error(error.code(), error.what());
  } catch (const std::exception& error) {
    return Error(Errc::writer_failed, error.what());
  } catch (...) {
    return Error(Errc::writer_failed, "an exception that is no std::exception");
  }
}

}  // namespace cairn::executor
