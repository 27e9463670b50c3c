# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Sourced by the other scripts (bash, from any folder): the Python to use and where its modules lie.
#
# The first of these that exists becomes `python3`:
#   1. OMNI_PYTHON, the path of an environment's bin/python3;
#   2. what install.sh made or was given, of set OMNI_SET (k2 or current; unset: k2, else current);
#   3. the environment that is active anyway.

_omni_recipe=$(CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

_omni_python=${OMNI_PYTHON:-}
for _omni_set in ${OMNI_SET:-k2 current}; do
  _omni_note=$_omni_recipe/../../../.env-$_omni_set
  if [ -z "$_omni_python" ] && [ -f "$_omni_note" ] && [ -x "$(cat "$_omni_note")" ]; then
    _omni_python=$(cat "$_omni_note")
  fi
done
if [ -n "$_omni_python" ]; then
  export PATH=$(dirname "$_omni_python"):$PATH
fi

export PYTHONPATH=$_omni_recipe${PYTHONPATH:+:$PYTHONPATH}

# torch 1.13.1 carries Intel MKL 2020.0, which looks at the processor's maker and takes its slowest
# code path on AMD. This asks for the AVX-512 path (7) or the AVX2 path (5), as the processor has
# them: matrix products run several times as fast. Later MKLs and other makers' processors take no
# notice.
if grep -qs AuthenticAMD /proc/cpuinfo; then
  _omni_mkl=7
  for _omni_flag in avx512f avx512dq avx512cd avx512bw avx512vl; do
    grep -qsw "$_omni_flag" /proc/cpuinfo || _omni_mkl=5
  done
  export MKL_DEBUG_CPU_TYPE=${MKL_DEBUG_CPU_TYPE:-$_omni_mkl}
  unset _omni_mkl _omni_flag
fi

# Threads that wait for others soon sleep: as long as GNU OpenMP lets them spin by itself, they stop
# everything where other programs want the same cores.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}

unset _omni_recipe _omni_python _omni_set _omni_note
