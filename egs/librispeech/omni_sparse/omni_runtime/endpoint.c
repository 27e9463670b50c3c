/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

bool endpoint_check(const omni_endpoint_rules *rules, omni_error *error) {
  const double all[] = {rules->rule1_min_trailing_silence, rules->rule2_min_trailing_silence,
                        rules->rule3_min_utterance_length};
  for (int i = 0; i < 3; i++)
    if (!(all[i] > 0)) return omni_fail(error, "rule %d ends utterances at %g s; it must be above 0", i + 1, all[i]);
  return true;
}

int endpoint_of(const omni_endpoint_rules *rules, double length, double silence, bool is_spoken) {
  if (silence >= rules->rule1_min_trailing_silence) return 1;
  if (is_spoken && silence >= rules->rule2_min_trailing_silence) return 2;
  return length >= rules->rule3_min_utterance_length ? 3 : 0;
}
