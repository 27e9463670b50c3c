/* SPDX-License-Identifier: Apache-2.0
 *
 * The instruction sets that this machine and its operating system have: 0 for none in particular, 1 for AVX2, 2 for
 * AVX-512, 3 with dot products of bytes.
 */
int omni_cpu(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 + avx512 +
         (avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"));
#else
  return 0;
#endif
}
