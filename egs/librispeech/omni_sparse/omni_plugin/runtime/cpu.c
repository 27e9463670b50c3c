/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the compilations of native.py this machine and its operating system can run. x86-64: 0 for no instruction
 * set in particular, 1 for AVX2, 2 for AVX-512, 3 with dot products of bytes. 64-bit ARM: 1 for dot products of bytes.
 * 32-bit ARM: 1 for NEON. WebAssembly: 1, as a module that has vectors runs nowhere else.
 */
#if defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

int omni_cpu(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 + avx512 +
         (avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"));
#elif defined(__linux__) && defined(__aarch64__)
  return (int)(getauxval(AT_HWCAP) >> 20 & 1); /* HWCAP_ASIMDDP */
#elif defined(__linux__) && defined(__arm__)
  return (int)(getauxval(AT_HWCAP) >> 12 & 1); /* HWCAP_NEON */
#elif defined(__ARM_FEATURE_DOTPROD) || defined(__wasm_simd128__)
  return 1; /* what this file was compiled for has them */
#else
  return 0;
#endif
}
