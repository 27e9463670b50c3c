#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All that is to be measured on a GPU, for a machine that is borrowed for minutes and has no network:
# torch, torchaudio and numpy must be there, everything else is brought. See --help.
set -eou pipefail
export CDPATH=

usage() {
  cat <<'EOF'
Usage: kit.sh pack DIR [--python PYTHON] [--has FILE] [--dry-run]
       kit.sh run DIR [--python PYTHON] [--device cuda|cpu] [--steps "STEP ..."] [--dry-run]
                      [--minutes N] [--small] [-- OPTIONS OF run.sh]

pack  where there is a package index: fills DIR/wheels. PYTHON has the version and the torch
      that the GPU's machine has (for fast_rnnt, which is compiled), and requirements/build.txt
run   on the GPU's machine, with this repository and DIR: the steps in order, each once. Called again
      it goes on with what is not done; a step that failed does not stop those that need nothing of it
        install   DIR/wheels -> DIR/site
        corpus    the corpus synthetic -> DIR/data
        parity    tests of the losses: GPU against CPU
        step      times of the loss's recursion, of an update of the demo's model and of one of
                  conf/librispeech.yaml, and how many kernels they have
        train     dense, omni, pruned and chain side by side, with batches of 240 s and for as many
                  epochs as there is time for, then decoded -> DIR/demo, DIR/demo-report
        wide      dense, omni and pruned with conf/demo_wide.yaml and batches of 60 s
                  -> DIR/wide, DIR/wide-report
      What they said is in DIR/log, what they found in DIR/table.md

  --python PYTHON   default: python3
  --has FILE        what the GPU's machine has already, a line each (its "pip freeze"): not packed
  --device DEVICE   that the times are of (default: cuda)
  --steps "STEP .." only these
  --minutes N       no step begins after these, and trainings are as long as they fit (default: 9)
  --small           all steps in small, to try the kit itself: corpus quick, few updates
  --dry-run         print the commands; those of run.sh are tried with its own --dry-run
  -- OPTIONS        of train and wide, such as --num-epochs 3 --set training.base_lr=0.002
EOF
}

die() { echo "error: kit.sh: $*" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
recipe=$(dirname "$(dirname "$here")")
requirements=$recipe/../../../requirements
all_steps="install corpus parity step train wide"
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
python=python3 device=cuda steps=$all_steps minutes=9 has= small=false dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --dry-run) dry_run=true; shift; continue ;;
    --small) small=true; shift; continue ;;
    --python | --device | --steps | --minutes | --has) [ -n "${2:-}" ] || die "$1 needs a value" ;;
    *) die "unknown option $1 (see kit.sh --help)" ;;
  esac
  name=${1#--}
  declare "$name=$2"
  shift 2
done
[[ "$device" = cuda || "$device" = cpu ]] || die "--device is cuda or cpu, not $device"
[[ "$minutes" =~ ^[0-9]+$ ]] || die "--minutes is a whole number, not $minutes"
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
  [ -z "$has" ] || [ -f "$has" ] || die "--has: there is no $has"
  pins=()
  for package in $packages; do
    if [ -n "$has" ] && sed 's/[ =].*//; y/_ABCDEFGHIJKLMNOPQRSTUVWXYZ/-abcdefghijklmnopqrstuvwxyz/' \
      "$has" | grep -qx "$package"; then continue; fi
    pins+=("$(grep "^$package==" "$requirements/current.txt")") || die "current.txt has no $package"
  done
  run "$python" -m pip download --no-deps --dest "$dir/wheels" "${pins[@]}"
  echo "  $requirements/build_wheel.sh $python fast_rnnt"
  $dry_run || cp "$("$requirements/build_wheel.sh" "$python" fast_rnnt)" "$dir/wheels"
  exit 0
fi

# ---- run --------------------------------------------------------------------------------------

export OMNI_PYTHON=$python PYTHONPATH=$dir/site
corpus=synthetic batch=240
if $small; then corpus=quick batch=40; fi
recipe_stages=(./run.sh --corpus "$corpus" --data-dir "$dir/data")

install() {
  run "$python" -m pip install --no-index --no-deps --upgrade --target "$dir/site" "$dir"/wheels/*.whl
}
stages() {
  local options=()
  if $dry_run; then options=(--dry-run true); fi
  echo "  ${recipe_stages[*]} $*"
  "${recipe_stages[@]}" "$@" "${options[@]}"
}
# Not run.sh's stage -1, which would install, or ask for k2.
corpus() {
  PYTHONPATH=$recipe:$PYTHONPATH run "$python" -m local.check_env
  stages --stage 0 --stop-stage 5
}
parity() { run "$python" -m pytest -q tests/emformer/test_rnnt_backend.py tests/emformer/mutual_information; }
step() {
  export PYTHONPATH=$recipe:$PYTHONPATH
  if $small; then
    run "$python" benchmarks/rnnt_recursion.py --device "$device" --rounds 2
    updates --config conf/quick.yaml --seconds 12 --utterance 3 --rounds 2 --memory-updates 1
    kernels --config conf/quick.yaml --seconds 12 --utterance 3
    return
  fi
  run "$python" benchmarks/rnnt_recursion.py --device "$device"
  updates --config conf/demo.yaml --seconds "$batch" --utterance 6 --rounds 15 --memory-updates 0
  kernels --config conf/demo.yaml --seconds "$batch" --utterance 6
  updates --config conf/librispeech.yaml --seconds 300 --utterance 12 --rounds 8 --memory-updates 0
  kernels --config conf/librispeech.yaml --seconds 300 --utterance 12
  [ "$device" = cpu ] || updates --config conf/librispeech.yaml --seconds 300 --utterance 12 \
    --rounds 8 --memory-updates 0 --dtype bfloat16
}
updates() { run "$python" benchmarks/supernet_step.py --device "$device" "$@"; }
kernels() { run "$python" benchmarks/step_profile.py --device "$device" "$@"; }

# Seconds beside training: programs start, networks are decoded, and each step of a chain is pruned.
train() { compare demo 300 "$batch" conf/demo.yaml "dense omni pruned chain" 6.8 1.5 "$@"; }
wide() { compare wide 120 60 conf/demo_wide.yaml "dense omni pruned" 6.3 1.5 "$@"; }
# compare NAME SECONDS BATCH CONFIG SYSTEMS TRAININGS LONGEST: what fits into the time that is left
# but for SECONDS, with batches of BATCH seconds, side by side, and decoded. The systems are so many
# dense trainings, of which the longest must follow one another. NAME is that of their folders.
compare() {
  local name=$1 left=$((60 * minutes - SECONDS - $2)) batch=$3 config=$4 systems=$5 trainings=$6
  local longest=$7 epochs=() options jobs
  jobs=$(($(nproc) < 4 ? 2 : $(nproc) < 16 ? $(nproc) / 2 : 8))
  shift 7
  if ! $small && ! $dry_run && [ "$device" = cuda ]; then
    epochs=(--num-epochs "$(
      export PYTHONPATH=$recipe:$PYTHONPATH
      kernels --config "$config" --seconds "$batch" --utterance 3 --kinds dense |
        tee "$dir/log/$name-update.log" | "$python" benchmarks/gpu/plan.py --corpus "$corpus" \
        --data-dir "$dir/data" --max-duration "$batch" --seconds "$((left > 0 ? left : 0))" \
        --trainings "$trainings" --longest "$longest"
    )")
  fi
  options=(--exp-root "$dir/$name" --report-dir "$dir/$name-report" --config "$config"
    --max-duration "$batch" --systems "$systems" --sweep-methods greedy_search
    --sweep-modes simulated "${epochs[@]}" "$@")
  stages --stage 6 --stop-stage 11 --skip-stages "7 8" --train-jobs "$jobs" --sweep-jobs "$jobs" \
    "${options[@]}"
}

mkdir -p "$dir/log"
failed= late=
for step in $steps; do
  if [ -e "$dir/log/$step.done" ]; then
    echo "$step: done before"
    continue
  fi
  if [ "$SECONDS" -ge "$((60 * minutes))" ]; then
    late+=" $step"
    echo "$step: no time is left; call again for it"
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
      [[ " $late " != *" $step "* ]] || echo "Step $step was not begun: no time was left."
    done
    echo
    if [ -e "$dir/log/parity.log" ]; then tail -n 1 "$dir/log/parity.log"; fi
    echo
    if [ -e "$dir/log/step.log" ]; then grep -vE '^(  |STAGE:)' "$dir/log/step.log" || true; fi
    echo
    for name in demo wide; do
      if [ -e "$dir/$name-report/RESULTS.md" ]; then cat "$dir/$name-report/RESULTS.md"; fi
    done
  } >"$dir/table.md"
  echo "$dir/table.md has what was found"
fi
[ -z "$failed" ]
