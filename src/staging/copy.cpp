#include "staging/copy.hpp"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#define CAIRN_X86_KERNELS 1
#else
#define CAIRN_X86_KERNELS 0
#endif

// How to copy into memory that is not read soon.
//
// Ordinary stores first read the cache line that they then overwrite: a third of the memory traffic for nothing, which
// is why glibc's memcpy is slow below the size (about 190 MB) from which it uses non-temporal stores. A staging block
// is 4 MiB. One linear stream of non-temporal stores is not the best either, since it follows one page of source at a
// time, where the hardware prefetchers start anew at each page. So four pages are walked side by side, and the line
// that each of them needs a little later is prefetched. That beats one huge memcpy on the project's machines (11.9
// to 10.5 GiB/s).

namespace cairn::staging {
namespace {

constexpr std::size_t line_bytes = 64;

// Below this the copy stays in the cache, and memcpy's ordinary stores are the better ones.
constexpr std::size_t streaming_bytes_min = 4096;

#if CAIRN_X86_KERNELS

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t pages_abreast = 4;
constexpr std::size_t group_bytes = page_bytes * pages_abreast;
constexpr std::size_t prefetch_bytes = 512;  // ahead of the load, within the same page's stream

/// Copies the part before the first whole line of the destination, so that the rest is aligned. Answers its length.
std::size_t copy_head(std::byte* destination, const std::byte* source, std::size_t bytes) noexcept {
  const std::size_t past_line = reinterpret_cast<std::uintptr_t>(destination) % line_bytes;
  std::size_t head = past_line == 0 ? 0 : line_bytes - past_line;
  if (head > bytes) head = bytes;
  std::memcpy(destination, source, head);
  return head;
}

// The two kernels are the same text but for the width: a template cannot carry the target attribute through to the
// intrinsics on both compilers.

__attribute__((target("avx512f"))) void stream_line_avx512(std::byte* destination, const std::byte* source) noexcept {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(destination), _mm512_loadu_si512(source));
}

__attribute__((target("avx512f"))) void copy_avx512(std::byte* destination, const std::byte* source,
                                                    std::size_t bytes) noexcept {
  const std::size_t head = copy_head(destination, source, bytes);
  destination += head;
  source += head;
  bytes -= head;
  for (; bytes >= group_bytes; destination += group_bytes, source += group_bytes, bytes -= group_bytes) {
    for (std::size_t line = 0; line < page_bytes; line += line_bytes) {
      for (std::size_t page = 0; page < group_bytes; page += page_bytes) {
        // A prefetch past the end of the source is only a hint: it never faults.
        const char* const ahead = reinterpret_cast<const char*>(source) + page + line + prefetch_bytes;
        _mm_prefetch(ahead, _MM_HINT_T0);
        stream_line_avx512(destination + page + line, source + page + line);
      }
    }
  }
  for (; bytes >= line_bytes; destination += line_bytes, source += line_bytes, bytes -= line_bytes) {
    stream_line_avx512(destination, source);
  }
  _mm_sfence();
  std::memcpy(destination, source, bytes);
}

__attribute__((target("avx2"))) void stream_line_avx2(std::byte* destination, const std::byte* source) noexcept {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + 32));
  _mm256_stream_si256(reinterpret_cast<__m256i*>(destination), low);
  _mm256_stream_si256(reinterpret_cast<__m256i*>(destination + 32), high);
}

__attribute__((target("avx2"))) void copy_avx2(std::byte* destination, const std::byte* source,
                                               std::size_t bytes) noexcept {
  const std::size_t head = copy_head(destination, source, bytes);
  destination += head;
  source += head;
  bytes -= head;
  for (; bytes >= group_bytes; destination += group_bytes, source += group_bytes, bytes -= group_bytes) {
    for (std::size_t line = 0; line < page_bytes; line += line_bytes) {
      for (std::size_t page = 0; page < group_bytes; page += page_bytes) {
        const char* const ahead = reinterpret_cast<const char*>(source) + page + line + prefetch_bytes;
        _mm_prefetch(ahead, _MM_HINT_T0);
        stream_line_avx2(destination + page + line, source + page + line);
      }
    }
  }
  for (; bytes >= line_bytes; destination += line_bytes, source += line_bytes, bytes -= line_bytes) {
    stream_line_avx2(destination, source);
  }
  _mm_sfence();
  std::memcpy(destination, source, bytes);
}

#endif

CopyKernel best_kernel() noexcept {
  if (has_kernel(CopyKernel::avx512)) return CopyKernel::avx512;
  if (has_kernel(CopyKernel::avx2)) return CopyKernel::avx2;
  return CopyKernel::plain;
}

}  // namespace

bool has_kernel(CopyKernel kernel) noexcept {
#if CAIRN_X86_KERNELS
  switch (kernel) {
    case CopyKernel::avx512:
      return __builtin_cpu_supports("avx512f") != 0;
    case CopyKernel::avx2:
      return __builtin_cpu_supports("avx2") != 0;
    case CopyKernel::plain:
      return true;
  }
#endif
  return kernel == CopyKernel::plain;
}

void copy_bytes_with(CopyKernel kernel, std::byte* destination, const std::byte* source, std::size_t bytes) noexcept {
  if (bytes == 0) return;  // both pointers may be null then, which memcpy does not allow
#if CAIRN_X86_KERNELS
  if (kernel == CopyKernel::avx512) return copy_avx512(destination, source, bytes);
  if (kernel == CopyKernel::avx2) return copy_avx2(destination, source, bytes);
#endif
  static_cast<void>(kernel);
  std::memcpy(destination, source, bytes);
}

void copy_bytes(std::byte* destination, const std::byte* source, std::size_t bytes) noexcept {
  static const CopyKernel kernel = best_kernel();
  copy_bytes_with(bytes < streaming_bytes_min ? CopyKernel::plain : kernel, destination, source, bytes);
}

}  // namespace cairn::staging
