# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh: commands side by side, each on its share of the cores.
#
# A small model gains little from a second thread (a training of conf/demo.yaml took 23 min 55 s with
# one, 22 min 59 s with two, on the same shared machine), so two at once are done sooner than the
# same two one after the other.

_names=() _pids=()

# start_beside AT_A_TIME THREADS NAME COMMAND...: starts it as soon as fewer than AT_A_TIME run. Its
# lines get "[NAME] " in front; OMP_NUM_THREADS, where it is set, stands in place of THREADS.
start_beside() {
  local at_a_time=$1 threads=$2 name=$3
  shift 3
  while [ "${#_pids[@]}" -ge "$at_a_time" ]; do
    _wait_for_one
  done
  OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads} "$@" > >(sed -u "s|^|[$name] |") 2>&1 &
  _names+=("$name") _pids+=("$!")
}

# Waits for one of them; nothing of that name is nothing to wait for.
wait_beside() {
  while [[ " ${_names[*]} " = *" $1 "* ]]; do
    _wait_for_one
  done
}

finish_beside() {
  while [ "${#_pids[@]}" -gt 0 ]; do
    _wait_for_one
  done
}

# Where one fails, the others are stopped, and so is what is still to come.
#
# It looks again and again, since `wait -n` misses one that ended just before it was called, and then
# waits for another.
_wait_for_one() {
  local i ended=0
  while [ "$ended" -eq 0 ]; do
    for i in "${!_pids[@]}"; do
      if ! kill -0 "${_pids[i]}" 2> /dev/null; then
        wait "${_pids[i]}" || fail "${_names[i]} failed, see its last lines above; what ran beside" \
          "it was stopped and goes on from its last checkpoint when run again"
        unset "_pids[i]" "_names[i]"
        ended=1
      fi
    done
    [ "$ended" -eq 1 ] || sleep 0.2
  done
}

# However the script ends, nothing that it started runs on.
trap '[ "${#_pids[@]}" -eq 0 ] || kill "${_pids[@]}" 2> /dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
