#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Usage: build_wheel.sh PYTHON PACKAGE
#
# Compile PACKAGE (kaldifeat or fast_rnnt) against the torch of PYTHON, which must also have what
# requirements/build.txt lists, and print the path of the wheel. Wheels are kept in the user's cache
# folder, so that each is compiled once for a Python, torch and recipe version. Needs a C++ compiler.
set -eou pipefail

python=$1
package=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

versions=$("$python" -c '
import sys, torch
print("cp{}{}-torch{}".format(*sys.version_info[:2], torch.__version__))')
recipe=$(cat "$here"/{build_wheel.sh,build.txt,native.txt,cmake/*/*} | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/omni_sparse/wheels/$versions-$recipe
mkdir -p "$cache"

find_wheel() { find "$cache" -maxdepth 1 -name "$package-*.whl" -print -quit; }
wheel=$(find_wheel)
if [ -n "$wheel" ]; then
  echo "$wheel"
  exit 0
fi

command -v c++ >/dev/null || { echo "there is no C++ compiler (c++) on PATH" >&2; exit 1; }

# On the file system of the cache, so that the wheel appears there whole or not at all.
work=$(mktemp -d "$cache/.build-XXXXXX")
trap 'rm -rf "$work"' EXIT
grep "^$package==" "$here/native.txt" >"$work/requirement.txt"

# The first three lines keep cmake from downloading pybind11 and from asking for a CUDA toolkit.
# UNITY joins a library's sources, since nearly all of the time goes into torch's headers: 50
# seconds instead of 165 on two cores. LIBDIR and INCLUDEDIR would be empty and put kaldifeat's
# library where its extension does not look.
pybind11_dir=$("$python" -m pybind11 --cmakedir)
options="-DFETCHCONTENT_SOURCE_DIR_PYBIND11='$here/cmake/pybind11'
  -Dpybind11_DIR='$pybind11_dir'
  -DTorch_DIR='$here/cmake/torch'
  -DPYTHON_EXECUTABLE='$python'
  -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_CXX_STANDARD=17
  -DCMAKE_POLICY_VERSION_MINIMUM=3.5
  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=5
  -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_INCLUDEDIR=include
  -Dkaldifeat_BUILD_TESTS=OFF -DFT_BUILD_TESTS=OFF -DFT_WITH_CUDA=OFF"
options=$(tr '\n' ' ' <<<"$options")  # it becomes a part of one line of shell

cores=$(nproc)
jobs=$((cores < 4 ? cores : 4))       # a job takes about 1 GB
PATH=$(dirname "$python"):$PATH \
  KALDIFEAT_CMAKE_ARGS=$options FT_CMAKE_ARGS=$options \
  KALDIFEAT_MAKE_ARGS=-j$jobs FT_MAKE_ARGS=-j$jobs \
  "$python" -m pip wheel --verbose --no-deps --no-build-isolation --require-hashes \
  --wheel-dir "$work/wheel" --requirement "$work/requirement.txt" >&2
mv "$work"/wheel/"$package"-*.whl "$cache/"
find_wheel
