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
# code path on AMD. This asks for the AVX2 path; matrix products run 1.3 to 2.5 times as fast.
# Later MKLs and other makers' processors take no notice.
if grep -qs AuthenticAMD /proc/cpuinfo; then
  export MKL_DEBUG_CPU_TYPE=${MKL_DEBUG_CPU_TYPE:-5}
fi

unset _omni_recipe _omni_python _omni_set _omni_note
