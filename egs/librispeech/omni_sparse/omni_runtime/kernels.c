/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

#include "omni_runtime.h"

#include <stdlib.h>
#include <string.h>

int omni_cpu(void);

#define DECLARE(suffix)                                                              \
  int omni_linear##suffix(const omni_layer *, const float *, float *, long);         \
  void emformer_step##suffix(const emformer *, const float *, float *, float *, float *, long); \
  long emformer_state_size##suffix(const emformer *);                                \
  long emformer_work_size##suffix(const emformer *);
#define ENTRY(suffix, name, group)                                                                   \
  {name, group, omni_linear##suffix, emformer_step##suffix, emformer_state_size##suffix, emformer_work_size##suffix}

DECLARE(_plain)
/* As omni_cpu numbers them, and as the Makefile compiles them. */
#if defined(OMNI_PLAIN_ONLY)
static const kernels units[] = {ENTRY(_plain, "plain", 1)};
#elif defined(__x86_64__)
DECLARE(_avx2)
DECLARE(_avx512)
DECLARE(_vnni)
static const kernels units[] = {ENTRY(_plain, "plain", 1), ENTRY(_avx2, "avx2", 1), ENTRY(_avx512, "avx512", 1),
                                ENTRY(_vnni, "vnni", 4)};
#elif defined(__aarch64__)
DECLARE(_dot)
static const kernels units[] = {ENTRY(_plain, "plain", 1), ENTRY(_dot, "dot", 4)};
#elif defined(__arm__)
DECLARE(_neon)
static const kernels units[] = {ENTRY(_plain, "plain", 1), ENTRY(_neon, "neon", 1)};
#elif defined(__wasm_simd128__)
DECLARE(_simd128)
static const kernels units[] = {ENTRY(_plain, "plain", 1), ENTRY(_simd128, "simd128", 4)};
#else
static const kernels units[] = {ENTRY(_plain, "plain", 1)};
#endif

#define NUM_UNITS ((int)(sizeof units / sizeof *units))

const kernels *kernels_of_machine(void) {
  const int found = omni_cpu(), best = found < NUM_UNITS ? found : NUM_UNITS - 1;
  const char *wanted = getenv("OMNI_INSTRUCTIONS");
  for (int i = 0; wanted && i < best; i++)
    if (!strcmp(units[i].name, wanted)) return &units[i];
  return &units[best];
}

const char *omni_instructions(void) { return kernels_of_machine()->name; }
