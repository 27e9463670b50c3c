# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by run.sh after its options were parsed: values that cannot be meant end it here, before
# anything is done. It needs fail_usage.

# Words of a list with commas or spaces between them, which may be "*": into the array words.
split_words() { IFS=' ' read -r -d '' -a words < <(printf '%s\0' "${1//[,$'\n\t']/ }") || true; }

# Whole numbers of at most 9 digits, LEAST or more; empty only where nothing is the default.
check_number() {
  local name=$1 least=$2 value=${!1} option=--${1//_/-}
  if [ -z "$value" ]; then
    [[ " epoch num_epochs train_jobs " == *" $name "* ]] || fail_usage "$option takes a number"
    return 0
  fi
  [[ $value =~ ^-?[0-9]{1,9}$ ]] || fail_usage "$option takes a number, not '$value'"
  local sign=${value%%[0-9]*}
  printf -v "$name" '%s' "$sign$((10#${value#-}))"  # 08 is no octal number
  [ "${!name}" -ge "$least" ] || fail_usage "$option is $value; it must be $least or more"
}

# The words of an option must be among these; one word only where the option is no list.
choices() {
  local option=--${1//_/-} value=${!1} word words
  shift
  split_words "$value"
  [ "${#words[@]}" -gt 0 ] || fail_usage "$option names nothing; known are $*"
  for word in "${words[@]}"; do
    [[ " $* " == *" $word "* ]] || fail_usage "$option: '$word' is none of $*"
  done
}
choice() {
  [[ ${!1} != *[\ ,]* ]] || fail_usage "--${1//_/-} takes one of ${*:2}, not '${!1}'"
  choices "$@"
}

# Sparsities in [0, 1), or names of sub-networks.
check_subnets() {
  local option=--${1//_/-} word words
  split_words "${!1}"
  for word in ${words[@]+"${words[@]}"}; do
    [[ $word =~ ^(0|0?\.[0-9]+|0\.|dense|units-[0-9]+(_0\.[0-9]+)?|[a-z][a-z-]*/[0-9]+)$ ]] ||
      fail_usage "$option: '$word' is no sparsity in [0, 1), nor a name such as front/3"
  done
}

# Nothing twice: two trainings would write to one folder.
check_each_once() {
  local option=$1 word seen=" "
  shift
  for word in "$@"; do
    [[ $seen != *" $word "* ]] || fail_usage "$option names $word twice; once is enough"
    seen+="$word "
  done
}

# --set into the array settings. A setting begins where a name with its sections and an equals sign
# do, so that values may hold spaces and commas, as in a.b=[1, 2].
_setting='[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*='
split_settings() {
  local rest=$1 one
  settings=()
  while [[ $rest =~ ^(.*[^\ ,])[\ ,]+($_setting.*)$ ]]; do
    settings=("${BASH_REMATCH[2]}" ${settings[@]+"${settings[@]}"})
    rest=${BASH_REMATCH[1]}
  done
  [ -z "$rest" ] || settings=("$rest" ${settings[@]+"${settings[@]}"})
  for one in ${settings[@]+"${settings[@]}"}; do
    [[ $one != k2 && $one != current ]] ||
      fail_usage "--set takes settings; the package set is now --package-set $one"
    [[ $one =~ ^$_setting. && ${one%%=*} = *.* ]] ||
      fail_usage "--set: '$one' is no setting such as training.base_lr=0.002"
  done
}
split_settings "$set"
for name in num_epochs max_duration; do
  for one in ${settings[@]+"${settings[@]}"}; do
    [[ -z ${!name} || $one != training.$name=* ]] ||
      fail_usage "--set $one: --${name/_/-} says it, too; give one of them"
  done
done

[ -z "$ngpu" ] || world_size=$ngpu
for name in stage stop_stage; do check_number "$name" -1; done
for name in nj evaluations world_size train_jobs sweep_jobs avg beam_size epoch num_epochs; do
  check_number "$name" 1
done
choice dtype float32 float16 bfloat16
choice tracker none wandb mlflow
choice package_set k2 current
choice search_cost params bytes macs chunk-ms
choices decoding_methods greedy_search modified_beam_search fast_beam_search
choices sweep_methods greedy_search modified_beam_search fast_beam_search
choices sweep_modes simulated chunk-wise
check_subnets subnets
check_subnets export_subnets
[[ -z $max_duration || ( $max_duration =~ ^[0-9]*\.?[0-9]+$ && $max_duration =~ [1-9] ) ]] ||
  fail_usage "--max-duration takes seconds above 0, not '$max_duration'"
split_words "$seeds"
[[ ${words[*]-} =~ ^[0-9]{1,9}(\ [0-9]{1,9})*$ ]] ||
  fail_usage "--seeds takes numbers, not '$seeds'"
for name in "${!words[@]}"; do words[name]=$((10#${words[name]})); done
seeds=${words[*]}
check_each_once --seeds "${words[@]}"
split_words "$skip_stages"
for one in ${words[@]+"${words[@]}"}; do
  [[ $one =~ ^(-1|[0-9]|1[0-5])$ ]] || fail_usage "--skip-stages: '$one' is no stage, -1 to 15"
done
skip_stages=${words[*]-}
split_words "$systems"
[ "${#words[@]}" -gt 0 ] || fail_usage "--systems names nothing; see conf/systems"
systems=${words[*]}
for name in "${!words[@]}"; do
  words[name]=${words[name]##*/}
  words[name]=${words[name]%.*}
done
check_each_once --systems "${words[@]}"
for name in decoding_methods sweep_methods sweep_modes subnets export_subnets; do
  split_words "${!name}"
  printf -v "$name" '%s' "${words[*]-}"
done
[ "$stage" -le "$stop_stage" ] ||
  fail_usage "nothing to do: --stage $stage is after --stop-stage $stop_stage"
