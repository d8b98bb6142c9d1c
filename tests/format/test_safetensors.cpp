#include <string>

#include "cairn/error.hpp"
#include "file_bytes.hpp"
#include "format/safetensors.hpp"
#include "support/catch.hpp"

using cairn::DType;
using cairn::Errc;
using cairn::Error;
using cairn::format::Header;
using cairn::test::bytes_of;
using cairn::test::file_with;
using cairn::test::header_of;

namespace {

// Whether it is refused as damage, naming the file.
bool refused(const std::string& file) {
  try {
    header_of(file);
  } catch (const Error& error) {
    return error.code() == Errc::damaged && error.context().find("test file") != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("safetensors: a header as others write it") {
  const Header header = header_of(file_with(
      R"({"b":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]},"a":{"data_offsets":[0,8],"shape":[],"dtype":"I64"},)"
      R"("__metadata__":{"format":"pt"},"empty":{"dtype":"F16","shape":[3,0],"data_offsets":[8,8]}}   )",
      24));
  REQUIRE(header.entries.size() == 3);
  CHECK(header.entries[0].name == "a");
  CHECK(header.entries[1].name == "empty");
  CHECK(header.entries[2].name == "b");
  CHECK(header.entries[2].dtype == DType::f32);
  CHECK(header.entries[2].shape == std::vector<std::int64_t>{2, 2});
  CHECK(header.metadata.at("format") == "pt");
  CHECK(header.find("b") == &header.entries[2]);
  CHECK(header.find("c") == nullptr);
  CHECK(header_of(file_with("{}", 0)).entries.empty());
}

TEST_CASE("safetensors: sub-byte dtypes must fill whole bytes") {
  CHECK(header_of(file_with(R"({"a":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}})", 3)).entries.size() == 1);
  CHECK(header_of(file_with(R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3)).entries.size() == 1);
  CHECK(refused(file_with(R"({"a":{"dtype":"F4","shape":[5],"data_offsets":[0,3]}})", 3)));
  CHECK(refused(file_with(R"({"a":{"dtype":"F6_E3M2","shape":[3],"data_offsets":[0,2]}})", 2)));
}

TEST_CASE("safetensors: lengths that cannot be are refused before anything is read or allocated") {
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{11}, std::uint64_t{100'000'001},
                                     std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    INFO(length);
    std::string file;
    for (unsigned shift = 0; shift < 64; shift += 8)
      file += static_cast<char>(length >> shift & 0xFF);
    file += "{}        ";
    CHECK(refused(file));
  }
  for (std::size_t size = 0; size < 8; ++size)
    CHECK(refused(std::string(size, '\0')));
  const std::string json(20, ' ');
  CHECK_THROWS_AS(cairn::format::parse_header(bytes_of(json), 10, "test file"), Error);
}

TEST_CASE("safetensors: every lie in a header is refused") {
  const auto entry = [](const char* shape, const char* offsets, const char* dtype = "\"U8\"") {
    return std::string("{\"dtype\":") + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  REQUIRE_FALSE(refused(file_with("{\"a\":" + entry("[4]", "[0,4]") + "}", 4)));
  const std::vector<std::string> lies = {
      "",  // not JSON
      "[]",
      "1",
      "null",
      " {}",                                      // not an object, or not at once
      "{\"a\":" + entry("[4]", "[0,4]"),          // cut
      "{\"a\":" + entry("[4]", "[0,4]") + "} x",  // more behind
      "{\"a\":1}",
      "{\"a\":[]}",
      "{\"a\":{}}",                                                                 // not an entry
      "{\"a\":" + entry("[4]", "[0,4]", "4") + "}",                                 // dtype of another type
      "{\"a\":" + entry("[4]", "[0,4]", "\"u8\"") + "}",                            // unknown dtype
      "{\"a\":" + entry("4", "[0,4]") + "}",                                        // shape of another type
      "{\"a\":" + entry("[4.0]", "[0,4]") + "}",                                    // extents that are no integers
      "{\"a\":" + entry("[\"4\"]", "[0,4]") + "}",                                  //
      "{\"a\":" + entry("[-4]", "[0,4]") + "}",                                     //
      "{\"a\":" + entry("[-2,-2]", "[0,4]") + "}",                                  //
      "{\"a\":" + entry("[18446744073709551615]", "[0,4]") + "}",                   // out of range
      "{\"a\":" + entry("[9223372036854775808]", "[0,4]") + "}",                    //
      "{\"a\":" + entry("[99999999999999999999999]", "[0,4]") + "}",                //
      "{\"a\":" + entry("[4294967296,4294967296,4]", "[0,4]") + "}",                // overflows
      "{\"a\":" + entry("[2305843009213693952,8]", "[0,0]") + "}",                  // overflows to 0
      "{\"a\":" + entry("[4]", "[0]") + "}",                                        // offsets that are not two
      "{\"a\":" + entry("[4]", "[0,4,4]") + "}",                                    //
      "{\"a\":" + entry("[4]", "[0,-4]") + "}",                                     // negative
      "{\"a\":" + entry("[4]", "[4,0]") + "}",                                      // backwards
      "{\"a\":" + entry("[4]", "[0,5]") + "}",                                      // disagree with the shape
      "{\"a\":" + entry("[4]", "[0,3]") + "}",                                      //
      "{\"a\":" + entry("[3]", "[0,3]") + "}",                                      // data left over
      "{\"a\":" + entry("[5]", "[0,5]") + "}",                                      // past the end
      "{\"a\":" + entry("[3]", "[1,4]") + "}",                                      // begins late
      "{\"a\":" + entry("[2]", "[0,2]") + ",\"b\":" + entry("[3]", "[1,4]") + "}",  // overlap
      "{\"a\":" + entry("[1]", "[0,1]") + ",\"b\":" + entry("[2]", "[2,4]") + "}",  // hole
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"b\":" + entry("[4]", "[0,4]") + "}",  // the same bytes
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"a\":" + entry("[0]", "[4,4]") + "}",  // the same name
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"\\u0000\":" + entry("[0]", "[4,4]") + "}",  // NUL
      "{\"\xFF\":" + entry("[4]", "[0,4]") + "}",                                         // not UTF-8
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"__metadata__\":{\"a\":1}}",
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"__metadata__\":[]}",
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"__metadata__\":{},\"__metadata__\":{}}",
      "{\"a\":" + entry("[4]", "[0,4]") + ",\"a\":" + std::string(100'000, '['),
  };
  for (const std::string& lie : lies) {
    INFO(lie.substr(0, 200));
    CHECK(refused(file_with(lie, 4)));
  }
}

TEST_CASE("safetensors: a header is padded so that the data is aligned") {
  for (const std::size_t size : {2UL, 4087UL, 4088UL, 4089UL}) {
    const std::string json = "{" + std::string(size - 2, ' ') + "}";
    const std::string header = cairn::format::frame_header(json);
    CHECK(header.size() % 4096 == 0);
    CHECK(header.size() - json.size() < 4096 + 8);
    CHECK(header_of(header).header_bytes == header.size());
  }
  CHECK_THROWS_AS(cairn::format::frame_header(std::string(100'000'000, ' ')), Error);
}
