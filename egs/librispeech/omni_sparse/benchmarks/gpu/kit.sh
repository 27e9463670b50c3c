#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All that is to be measured on a GPU, for a machine that is borrowed for minutes and has no network:
# torch, torchaudio and numpy must be there, everything else is brought. See --help.
set -eou pipefail
export CDPATH=

usage() {
  cat <<'EOF'
Usage: kit.sh pack DIR [--python PYTHON] [--dry-run]
       kit.sh run DIR [--python PYTHON] [--device cuda|cpu] [--steps "STEP ..."] [--dry-run]
                      [-- OPTIONS OF run.sh]

pack  where there is a package index: fills DIR/wheels. PYTHON has the version and the torch
      that the GPU's machine has (for fast_rnnt, which is compiled), and requirements/build.txt
run   on the GPU's machine, with this repository and DIR: the steps in order, each once. Called again
      it goes on with what is not done; a step that failed does not stop those that need nothing of it
        install   DIR/wheels -> DIR/site
        corpus    the corpus synthetic -> DIR/data
        parity    tests of the losses: GPU against CPU
        step      times of the loss's recursion and of an update
        train     dense, omni, pruned and chain side by side, then decoded -> DIR/exp, DIR/report
      What they said is in DIR/log, what they found in DIR/table.md

  --python PYTHON   default: python3
  --device DEVICE   that the times are of (default: cuda)
  --steps "STEP .." only these
  --dry-run         print the commands; those of run.sh are tried with its own --dry-run
  -- OPTIONS        of the step train, such as --num-epochs 3 --set training.base_lr=0.002
EOF
}

die() { echo "error: kit.sh: $*" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
recipe=$(dirname "$(dirname "$here")")
requirements=$recipe/../../../requirements
all_steps="install corpus parity step train"
# What the recipe and its tests import, and what these do, beside torch, torchaudio and numpy.
packages="absl-py audioread cffi click contourpy cycler cytoolz espeakng-loader fonttools grpcio
  iniconfig intervaltree kaldi-native-fbank kaldialign kiwisolver lhotse lilcom markdown markupsafe
  matplotlib packaging pillow pluggy protobuf pycparser pygments pyparsing pytest python-dateutil
  pyyaml sentencepiece six sortedcontainers soundfile tabulate tensorboard tensorboard-data-server
  toolz tqdm urllib3 werkzeug"

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  pack | run) command=$1 ;;
  *) die "say pack or run (see kit.sh --help)" ;;
esac
[[ -n "${2:-}" && "$2" != -* ]] || die "$command needs a folder"
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
python=python3 device=cuda steps=$all_steps dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --dry-run) dry_run=true; shift; continue ;;
    --python | --device | --steps) [ -n "${2:-}" ] || die "$1 needs a value" ;;
    *) die "unknown option $1 (see kit.sh --help)" ;;
  esac
  name=${1#--}
  declare "$name=$2"
  shift 2
done
[[ "$device" = cuda || "$device" = cpu ]] || die "--device is cuda or cpu, not $device"
for step in $steps; do
  [[ " $all_steps " = *" $step "* ]] || die "--steps: there is no step $step"
done
python=$(command -v "$python") || die "--python: there is no such program"
cd "$recipe"

# ---- pack -------------------------------------------------------------------------------------

run() {
  echo "  $*"
  $dry_run || "$@"
}

if [ "$command" = pack ]; then
  pins=()
  for package in $packages; do
    pins+=("$(grep "^$package==" "$requirements/current.txt")") || die "current.txt has no $package"
  done
  run "$python" -m pip download --no-deps --dest "$dir/wheels" "${pins[@]}"
  echo "  $requirements/build_wheel.sh $python fast_rnnt"
  $dry_run || cp "$("$requirements/build_wheel.sh" "$python" fast_rnnt)" "$dir/wheels"
  exit 0
fi

# ---- run --------------------------------------------------------------------------------------

export OMNI_PYTHON=$python PYTHONPATH=$dir/site
recipe_stages=(./run.sh --corpus synthetic --data-dir "$dir/data" --package-set current)

install() {
  run "$python" -m pip install --no-index --no-deps --upgrade --target "$dir/site" "$dir"/wheels/*.whl
}
stages() {
  local options=()
  if $dry_run; then options=(--dry-run true); fi
  echo "  ${recipe_stages[*]} $*"
  "${recipe_stages[@]}" "$@" "${options[@]}"
}
corpus() { stages --stage -1 --stop-stage 5; }
parity() { run "$python" -m pytest -q tests/emformer/test_rnnt_backend.py tests/emformer/mutual_information; }
step() {
  export PYTHONPATH=$recipe:$PYTHONPATH
  run "$python" benchmarks/rnnt_recursion.py --device "$device"
  run "$python" benchmarks/supernet_step.py --device "$device" --seconds 240 --rounds 20
}
train() {
  stages --stage 6 --stop-stage 11 --exp-root "$dir/exp" --report-dir "$dir/report" \
    --systems "dense omni pruned chain" --train-jobs 4 --max-duration 240 \
    --decoding-methods greedy_search --sweep-methods greedy_search "$@"
}

mkdir -p "$dir/log"
failed=
for step in $steps; do
  if [ -e "$dir/log/$step.done" ]; then
    echo "$step: done before"
    continue
  fi
  echo "$step:"
  # In a shell of its own, where set -e holds: it does not within a condition.
  set +e
  (set -e; "$step" "$@") 2>&1 | tee "$dir/log/$step.log"
  status=${PIPESTATUS[0]}
  set -e
  if [ "$status" -ne 0 ]; then
    failed+=" $step"
    echo "$step: FAILED, see $dir/log/$step.log"
    [[ $step != install && $step != corpus ]] || break
  elif ! $dry_run; then
    touch "$dir/log/$step.done"
  fi
done

if ! $dry_run; then
  {
    echo "# Times and word errors on $device"
    echo
    if [ -e "$dir/log/corpus.log" ]; then  # what check_env said
      grep -E '^(torch|GPU 0|RNN-T loss|its recursion) ' "$dir/log/corpus.log" | sed 's/^/    /' || true
    fi
    for step in $steps; do
      [[ " $failed " != *" $step "* ]] || echo "Step $step FAILED."
    done
    echo
    if [ -e "$dir/log/parity.log" ]; then tail -n 1 "$dir/log/parity.log"; fi
    echo
    if [ -e "$dir/log/step.log" ]; then grep -v '^  ' "$dir/log/step.log" || true; fi
    echo
    if [ -e "$dir/report/RESULTS.md" ]; then cat "$dir/report/RESULTS.md"; fi
  } >"$dir/table.md"
  echo "$dir/table.md has what was found"
fi
[ -z "$failed" ]
