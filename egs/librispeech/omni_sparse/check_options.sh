# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by run.sh after its options were parsed: values that cannot be meant end it here, before
# anything is done. It needs fail_usage.

# The words of an option must be among these.
choices() {
  local name=$1 word
  shift
  [ -n "${!name// /}" ] || fail_usage "--${name//_/-} names nothing; known are $*"
  for word in ${!name}; do
    [[ " $* " == *" $word "* ]] || fail_usage "--${name//_/-}: '$word' is none of $*"
  done
}

# Sparsities in [0, 1), or names of sub-networks.
check_subnets() {
  local name=$1 word
  for word in ${!name}; do
    [[ $word =~ ^(0|0?\.[0-9]+|0\.|dense|units-[0-9]+(_0\.[0-9]+)?|[a-z][a-z-]*/[0-9]+)$ ]] ||
      fail_usage "--${name//_/-}: '$word' is no sparsity in [0, 1), nor a name such as front/3"
  done
}

[ -z "$ngpu" ] || world_size=$ngpu
for name in stage stop_stage; do
  [[ ${!name} =~ ^-?[0-9]+$ ]] || fail_usage "--${name//_/-} takes a number, not '${!name}'"
done
for name in nj evaluations world_size train_jobs avg beam_size epoch num_epochs; do
  [[ ${!name} =~ ^[0-9]*$ ]] || fail_usage "--${name//_/-} takes a number, not '${!name}'"
done
for name in seeds systems decoding_methods sweep_methods sweep_modes subnets export_subnets; do
  printf -v "$name" '%s' "${!name//,/ }"
done
choices dtype float32 float16 bfloat16
choices set k2 current
choices decoding_methods greedy_search modified_beam_search fast_beam_search
choices sweep_methods greedy_search modified_beam_search fast_beam_search
choices sweep_modes simulated chunk-wise
choices search_cost params bytes macs chunk-ms
check_subnets subnets
check_subnets export_subnets
[[ -z $max_duration || $max_duration =~ ^[0-9]*\.?[0-9]+$ ]] ||
  fail_usage "--max-duration takes seconds, not '$max_duration'"
[[ $seeds =~ ^[0-9]+(\ +[0-9]+)*$ ]] || fail_usage "--seeds takes numbers, not '$seeds'"
[ "$stage" -le "$stop_stage" ] ||
  fail_usage "nothing to do: --stage $stage is after --stop-stage $stop_stage"
