// SPDX-License-Identifier: BSD-3-Clause
// Which sanitizer this is built with. g++ defines a macro, clang 14 answers __has_feature().
#pragma once

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define GMESP_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define GMESP_THREAD_SANITIZER
#endif
#endif

namespace gmesp {

#if defined(__SANITIZE_ADDRESS__) || defined(GMESP_ADDRESS_SANITIZER)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__) || defined(GMESP_THREAD_SANITIZER)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
inline constexpr bool kSanitizer = kAddressSanitizer || kThreadSanitizer;

}  // namespace gmesp
