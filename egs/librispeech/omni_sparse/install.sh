#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Make the Python environment of the recipe. Needs no root; see --help.
set -eou pipefail
export CDPATH=

usage() {
  cat <<'EOF'
Usage: install.sh [--set k2|current] [--venv DIR] [--python PYTHON] [--force]
       install.sh --link-into ICEFALL

Make a virtual environment with everything the recipe needs, or check an environment of yours.
Running it again is quick; after an interruption it goes on where it stopped.

  --set k2        Python 3.10, torch 1.13.1 and the real k2, every file pinned by its hash (default)
  --set current   Python 3.11 or 3.12, torch 2.13 and fast_rnnt in place of k2; for GPUs that
                  torch 1.13.1 does not know (newer than compute capability 8.x)
  --venv DIR      where to put it (default: .venv-k2 or .venv-current in the root of the repository)
  --python PYTHON use this interpreter's environment, for instance that of an icefall
                  installation: nothing is installed, it is checked and remembered
  --force         go through every step again, even if the environment is complete
  --link-into DIR link this recipe into an icefall checkout, as egs/librispeech/omni_sparse beside
                  ASR; nothing is installed

path.sh then puts the environment on PATH. Needs Linux on x86-64, 5 GB of disk space
(current: 2, and several more where the package index gives a torch with CUDA) and, to
compile kaldifeat and fast_rnnt, a C++ compiler. Compiled wheels are kept in
${XDG_CACHE_HOME:-~/.cache}/omni_sparse.
EOF
}

say() { echo "install.sh: $*"; }
die() { echo "error: $*" >&2; exit 1; }
die_usage() { echo "error: $* (see install.sh --help)" >&2; exit 2; }

# -P: an icefall checkout may have a link to this folder.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
repo=$(cd "$here/../../.." && pwd)
requirements=$repo/requirements

set=k2 venv= python= force=false link_into=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --force) force=true; shift; continue ;;
    --set | --venv | --python | --link-into)
      [ -n "${2:-}" ] || die_usage "install.sh: $1 needs a value" ;;
    *) die_usage "install.sh: unknown option $1" ;;
  esac
  name=${1#--}
  declare "${name//-/_}=$2"
  shift 2
done
case $set in
  k2) pythons=(3.10) needed_gb=5 ;;
  current) pythons=(3.11 3.12) needed_gb=2 ;;
  *) die_usage "install.sh: --set is k2 or current, not $set" ;;
esac

# ---- a link in an icefall checkout ------------------------------------------------------------

if [ -n "$link_into" ]; then
  tasks=$link_into/egs/librispeech link=$link_into/egs/librispeech/omni_sparse
  [ -f "$link_into/icefall/__init__.py" ] && [ -d "$tasks" ] ||
    die "--link-into $link_into: no icefall checkout; it lacks icefall/__init__.py or egs/librispeech"
  if [ "$(readlink -f "$link")" != "$here" ]; then
    [ ! -e "$link" ] && [ ! -L "$link" ] || die "$link exists: move it away first"
    ln -s "$here" "$link"
  fi
  # Absolute: from within the link, .. is this repository's.
  data=$(cd "$tasks" && pwd)/ASR/data
  say "$link is this recipe; with what ASR has prepared, whose manifests say data/fbank/...:"
  say "  cd $link && mkdir -p data && ln -s $data/fbank data/fbank"
  say "  ./run.sh --corpus librispeech --data-dir $data --stage 6"
  exit 0
fi

# Which interpreter set $set uses: written down here, read by path.sh.
note=$repo/.env-$set
remember() { echo "$1" >"$note"; }

check_env() {
  (cd "$here" && PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} "$1" -m local.check_env --set "$set")
}

# ---- an environment of the user's -----------------------------------------------------------

if [ -n "$python" ]; then
  [ -z "$venv" ] || die_usage "install.sh: give --venv or --python, not both"
  command -v "$python" >/dev/null || die "--python $python: there is no such program; give the" \
    "path of an environment's bin/python3"
  python=$(command -v "$python")
  # Not resolved any further: a link out of a virtual environment would lose the environment.
  python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
  prefix='import sys; print(sys.prefix, sys.version_info[:2])'
  [ "$("$python" -c "$prefix")" = "$("$(dirname "$python")/python3" -c "$prefix" 2>/dev/null)" ] ||
    die "--python $python: the python3 beside it is another one; give the path of an" \
      "environment's own bin/python3"
  check_env "$python"
  remember "$python"
  exit 0
fi

# ---- is there anything to do? ---------------------------------------------------------------

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "the packages are for Linux on x86-64," \
  "this is $(uname -s) on $(uname -m); use --python with an environment of your own"
if [ -z "$venv" ]; then
  python=${OMNI_PYTHON:-$(cat "$note" 2>/dev/null || true)}
  prefix=$(dirname "$(dirname "$python")")
  if [ -f "$prefix/.omni_sparse" ]; then
    venv=$prefix  # made with --venv
  elif [ -x "$python" ] && ! $force; then
    say "using $python as you said before; --force makes an environment of its own"
    exit 0
  fi
fi
venv=${venv:-$repo/.venv-$set}
mkdir -p "$(dirname "$venv")"
venv=$(cd "$(dirname "$venv")" && pwd)/$(basename "$venv")
# A link to another clone's environment is that one, which is complete where it is; it is not made anew.
[ ! -L "$venv" ] || venv=$(readlink -m "$venv")

# The stamp says what the environment is for and where it is (a virtual environment cannot be moved);
# its second line is there only if the environment is complete, and says what it was made from.
stamp=$venv/.omni_sparse
purpose="set $set at $venv"
lists=("$requirements"/{build,native,"$set"}.txt)
contents="complete $(cat "${lists[@]}" | sha256sum | cut -c 1-16)"

is_complete() {
  [ -x "$venv/bin/python3" ] && [ "$(cat "$stamp")" = "$purpose"$'\n'"$contents" ]
}
leave_if_complete() {
  if ! $force && is_complete; then
    remember "$venv/bin/python3"
    say "$venv is complete"
    exit 0
  fi
}

if [ -f "$stamp" ]; then
  leave_if_complete
  [[ $(cat "$stamp") != "set "* || $(cat "$stamp") == "set $set "* ]] ||
    die "$venv holds another set ($(head -n 1 "$stamp")): choose another --venv"
elif [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
  die "$venv exists and was not made by install.sh: choose another --venv, or use it as it is" \
    "with --python $venv/bin/python3"
fi
mkdir -p "$venv"
[ -f "$stamp" ] || echo unfinished >"$stamp"
exec 9>"$venv/.lock"
flock 9  # run.sh and test.sh may both be here
leave_if_complete

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -V |
  tail -n 1) || capability=
if [ "$set" = k2 ] && [ "${CUDA_VISIBLE_DEVICES-all}" ] &&
  [[ $capability =~ ^(9|[1-9][0-9])\. ]]; then
  die "torch 1.13.1 knows no GPU of compute capability $capability: use --set current (or, with" \
    "CUDA_VISIBLE_DEVICES= in the environment, set k2 on the CPU)"
fi

# ---- a Python ---------------------------------------------------------------------------------

# Can this Python, of the set and version given, make the environment? It needs the shared libpython
# that k2 and the compiled extensions link to; and headers, if something must be compiled. Prints
# its path (that of a pyenv shim will not do), and libpython's if it has to be loaded by hand.
probe='
import ctypes, ensurepip, os, sys, sysconfig, venv
assert "%d.%d" % sys.version_info[:2] == sys.argv[2]
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
assert sys.argv[1] == "k2" or os.path.exists(header)
print(sys.executable)
library = "libpython%s.so.1.0" % sys.argv[2]
folders = (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib"))
if library not in open("/proc/self/maps").read():
    for path in [os.path.join(folder, library) for folder in folders] + [library]:
        try:
            ctypes.CDLL(path)
        except OSError:
            continue
        print(path)
        break
    else:
        sys.exit(1)
'
find_python() {
  local version candidate found
  for version in "${pythons[@]}"; do
    while read -r candidate; do
      [ -x "$candidate" ] || continue
      found=$("$candidate" -c "$probe" "$set" "$version" 2>/dev/null) || continue
      { read -r python; read -r libpython || true; } <<<"$found"
      return
    done < <(
      type -aP "python$version" python3 || true
      ls -d {"$(pyenv root 2>/dev/null || true)","$HOME/.pyenv"}/versions/"$version"*/bin/python3 \
        {"${CONDA_PREFIX:-}","${CONDA_PREFIX:-}"/envs/*,"$HOME"/{mini,}conda3}/bin/python3 \
        2>/dev/null || true
      uv python find "$version" 2>/dev/null || true
    )
  done
  local wanted=${pythons[*]}
  die "found no Python ${wanted// / or } with venv, headers and libpython${pythons[0]}.so; get one with" \
    "'PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install ${pythons[0]}'," \
    "'conda create -n omni python=${pythons[0]}' (then activate it) or" \
    "'apt install python${pythons[0]}-{dev,venv}'"
}

# ---- the steps --------------------------------------------------------------------------------

log=$venv/install.log
unset PYTHONHOME PYTHONPATH  # what is installed elsewhere does not count
export PIP_USER=0

if [ "$(head -n 1 "$stamp")" != "$purpose" ] ||
  ! "$venv/bin/python3" -m pip --version >/dev/null 2>&1; then
  find_python
  say "making $venv with $python"
  rm -rf "${venv:?}"/{bin,include,lib,lib64,share,pyvenv.cfg}
  "$python" -m venv "$venv" >"$log" 2>&1 || die "$python -m venv failed, see $log"
  if [ -n "$libpython" ]; then
    # This Python is linked statically, but k2 asks the loader for a libpython: give it one.
    echo "import ctypes; ctypes.CDLL('$libpython')" \
      >"$(echo "$venv"/lib/python3*/site-packages)/omni_sparse_libpython.pth"
  fi
fi
echo "$purpose" >"$stamp"
python=$venv/bin/python3

pip() {
  "$python" -m pip install --no-input --disable-pip-version-check --no-deps "$@" >>"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "pip install $* failed, see $log; to go on, run install.sh again"; }
}

# Entries of a list whose package's name matches, with their hashes.
part_of_list() {
  awk -v name="^($2)==" '/^[^ #]/ { wanted = $0 ~ name } wanted' "$requirements/$1.txt"
}

# Measured with the packages as pinned; where torch is installed already, most of it is there.
free_gb=$(($(df --output=avail -k "$venv" | tail -n 1) / 1000000))
[ -x "$venv/bin/torchrun" ] || [ "$free_gb" -ge "$needed_gb" ] ||
  die "$venv: $free_gb GB are free on its disk, set $set needs $needed_gb; make room, or give" \
    "another place with --venv DIR"

# What pip itself needs to be, and the compiling tools.
pip --require-hashes -r "$requirements/build.txt"
say "installing $(grep -c == "$requirements/$set.txt") packages, 2 to 6 minutes (log: $log)"
if [ "$set" = k2 ]; then
  # The largest alone: pip keeps the downloads of all that it is asked for until the last is installed.
  for name in torch nvidia-cudnn-cu11 nvidia-cublas-cu11; do
    part_of_list k2 "$name" >"$venv/part.txt"
    pip --require-hashes -r "$venv/part.txt"
  done
  pip --require-hashes -r "$requirements/k2.txt"
else
  # torch brings the CUDA packages that its build for this machine needs: only here are
  # dependencies left to pip.
  "$python" -m pip install --no-input --disable-pip-version-check \
    -c "$requirements/current.txt" torch >>"$log" 2>&1 || die "pip install torch failed, see $log"
  pip -r "$requirements/current.txt"
fi

compile() {
  say "compiling $1, about a minute unless it was compiled before"
  local wheel
  wheel=$("$requirements/build_wheel.sh" "$python" "$1" 2>>"$log") || return 1
  pip --force-reinstall "$wheel"
}
remedy="install a C++ compiler (for instance g++) or see $log, then run install.sh --force"
if [ "$set" = k2 ]; then
  compile kaldifeat || say "warning: kaldifeat was not compiled, lhotse's Fbank takes its place; $remedy"
  compile fast_rnnt || say "warning: fast_rnnt was not compiled, its tests are left out; $remedy"
else
  compile fast_rnnt || die "fast_rnnt was not compiled: $remedy"
fi

check_env "$python"
printf '%s\n' "$purpose" "$contents" >"$stamp"
remember "$python"
say "$venv is complete, after $((SECONDS / 60)) min $((SECONDS % 60)) s"
