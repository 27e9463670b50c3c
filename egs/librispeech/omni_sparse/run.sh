#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From audio to streaming word error rates at every size. See ./run.sh --help.
set -eou pipefail

stage=-1
stop_stage=11
skip_stages=
corpus=synthetic
data_dir=
dl_dir=download
fsdd_dir=
an4_dir=
kaldi_dir=
lang_dir=
config=
exp_root=
systems="dense omni chain one_shot"
report_dir=
seeds=0
nj=$(nproc)
world_size=1
ngpu=
train_jobs=
sweep_jobs=1
dtype=float32
num_epochs=
max_duration=
init_from=
tracker=none
on_the_fly=false
epoch=
avg=1
use_averaged_model=true
decoding_methods="greedy_search modified_beam_search fast_beam_search"
beam_size=4
subnets=
sweep_methods="greedy_search modified_beam_search"
sweep_modes=chunk-wise
search_system=omni
search_cost=params
evaluations=500
export_system=omni
export_subnets=
set=
quick=false
package_set=k2
python=
dry_run=false

help_message=$(cat <<'EOF'
Usage: ./run.sh [--stage N] [--stop-stage N] [--option value ...]

Without options: the whole recipe on synthetic speech, on the CPU, to tables and plots of word error
rates: a dense model, a supernet with a sub-network for every size, and a chain of models, each
pruned from the one before. With --quick, all of it in minutes, on commands and digits.

Stages (inputs -> outputs; D is the data folder, X that of all experiments, E that of the dense
model of the first seed: X/dense, or X/dense-seedN where that seed is N)
  -1  environment     packages -> a line for each; installs them if there are none (install.sh)
   0  corpus          -> D/audio (spoken by espeak-ng) or download/ (LibriSpeech)
   1  manifests       audio -> D/manifests
   2  MUSAN manifests download/musan -> D/manifests (corpora with musan: true)
   3  features        D/manifests -> D/fbank
   4  MUSAN features  D/manifests -> D/fbank/musan_cuts.jsonl.gz
   5  BPE             texts -> D/lang_bpe_<V>/bpe.model, tokens.txt
   6  training        D/fbank, D/lang_bpe_<V> -> E/epoch-N.pt, E/tensorboard
   7  decoding        E/epoch-N.pt -> E/<method>/wer-summary-*.txt (simulated streaming)
   8  decoding        E/epoch-N.pt -> E/streaming/<method>/wer-summary-*.txt (chunk by chunk), and
                      a table of both modes, E/report.md
   9  systems         D/fbank, D/lang_bpe_<V> -> X/*/epoch-N.pt: all others, such as a supernet,
                      which is one training for every sparsity
  10  sweep           X/*/epoch-N.pt -> X/*/results.jsonl: every size of every system
  11  report          X/*/results.jsonl -> X/RESULTS.md and plots, all in one as X/report.html
  12  search          X/omni/epoch-N.pt -> X/omni/search/front.json, front.md and plots: the best
                      sub-network of every size
  13  export          X/omni/epoch-N.pt -> X/omni/export/*: sub-networks as plain checkpoints,
                      TorchScript, ONNX for sherpa-onnx, and packed for the sparse CPU runtime
  14  check           X/omni/export/* -> X/omni/export/check.md: sherpa-onnx against PyTorch
  15  benchmark       X/omni/export/* -> X/omni/export/benchmark.md and plots: bytes, memory, time
                      (stages 12 to 15 are not run without --stop-stage)

  --skip-stages "7 8"  leave some out: 7 and 8 decode the dense model, which the sweep does again

What to run on
  --quick             the whole recipe in minutes, on a small corpus; options beside it count. Short for
                      QUICK_OPTIONS
  --corpus NAME       synthetic, quick, spelled, fsdd, fsdd_all, an4, mini_librispeech,
                      librispeech_100, librispeech, kaldi, or a YAML file like those of conf/corpus
                      (default: synthetic)
  --fsdd-dir DIR      a checkout of the Free Spoken Digit Dataset (corpus fsdd)
  --an4-dir DIR       what CMU's an4_sphere.tar.gz unpacks to (corpus an4)
  --kaldi-dir DIR     a folder with the Kaldi data directories train, dev and test (corpus kaldi)
  --dl-dir DIR        LibriSpeech and MUSAN are downloaded to it, or already there (default: download)
  --data-dir DIR      D (default: data/<corpus>)
  --lang-dir DIR      word pieces of another corpus, such as one that a training is to go on with;
                      stage 5 then makes none (default: D/lang_bpe_<V>)
  --exp-root DIR      X (default: exp/<corpus>); its folders are <system>, <system>-<level>,
                      <system>-seed<N> and <system>-<level>-seed<N>
  --systems "dense omni grown dsnn pruned chain chain_long nested small_dense shallow simple_top_k
             iterative_zero_out random_mask one_shot calibrated"  files of conf/systems, or YAML files of your own
                      (default: dense omni chain one_shot)
  --seeds "0 1 2"     each system is trained with each (default: 0)
  --config FILE       model and training settings of all systems (default: what the corpus's file
                      names: conf/demo.yaml, conf/quick.yaml, conf/fsdd.yaml, ...)
  --set "training.base_lr=0.002 sparsity.sampler.parts=3"
                      settings in place of what the files say; may be repeated. Sections model and
                      training are those of --config, for all systems. Any other section is that
                      of the systems whose files have it, and of all those. For one system alone,
                      write a file (like: omni.yaml). Values are YAML: null, false, [0.5, 0.7]
  --on-the-fly true   compute features while training and decoding, store none

Training (all systems alike)
  --num-epochs N  --max-duration SECONDS  --dtype float32|float16|bfloat16
  --init-from EXP     start from the weights of another experiment's newest epoch, or from those of
                      a checkpoint; of like model and word pieces (--lang-dir). A chain starts from
                      dense as always
  --tracker none|wandb|mlflow
                      send metrics and settings there, too; its package must be installed
  --world-size N      processes, one for each GPU (also --ngpu)
  --train-jobs N      trainings side by side, which share the cores (default: 1 with a GPU or
                      --world-size, else one for each core, 4 at most); if stages 6 and 9 are both
                      run, stage 6 starts the trainings of both

Decoding
  --epoch N           which epoch-N.pt (default: the newest)
  --avg N  --use-averaged-model true|false
  --decoding-methods "greedy_search modified_beam_search fast_beam_search"  --beam-size N

Sweep and report
  --subnets "0 0.5 0.9"  sparsities or names, of supernets and what is pruned (default: those that the
                      system validates)
  --sweep-methods "greedy_search modified_beam_search"
  --sweep-modes "simulated chunk-wise"  (default: chunk-wise)
  --sweep-jobs N      sweeps side by side, which share the cores (default: 1)
  --report-dir DIR    of RESULTS.md, report.html and plots (default: X)

Search
  --search-system omni  a file of conf/systems (or of your own) whose supernet is searched
  --search-cost params|bytes|macs|chunk-ms  --evaluations N  (default: params, 500)

Deployment
  --export-system omni  a file of conf/systems (or of your own) whose sub-networks are exported
  --export-subnets "0.5 0.9 front/3"  (default: all levels that were trained)

Others
  --package-set k2|current
                      package set of install.sh, where none is active
  --python PATH       use the packages of this Python (e.g. of your icefall environment)
  --nj N              processes for data (default: all cores)
  --dry-run           print the commands of each stage and run none

Lists take spaces or commas, and switches that are given alone are true.
EOF
)

# What --quick stands for: names and values.
quick_options=(
  corpus quick
  systems "dense omni"
  decoding_methods greedy_search
  sweep_methods greedy_search
)

# No options: those have no underscore in front.
_caller_dir=$PWD
_self=$0
[[ $_self = */* ]] || _self=./$_self
_old_spellings="levels=subnets"
_repeatable=set
_quick=$(printf -- '--%s "%s" ' "${quick_options[@]}")
help_message=${help_message/QUICK_OPTIONS/${_quick//_methods/-methods}}
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./parse_options.sh
. ./side_by_side.sh

log() { echo "$(date '+%Y-%m-%d %H:%M:%S') ($(basename "$0")) $*"; }
fail() { echo "error: $*" >&2; exit 1; }
fail_usage() { echo "error: run.sh: $* (see $0 --help)" >&2; exit 2; }

# A relative path on the command line is meant from where the caller is; conf/x.yaml also from here.
from_caller() {
  if [ "$_caller_dir" = "$PWD" ] || { [ ! -e "$_caller_dir/$1" ] && [ -e "$1" ]; }; then
    echo "$1"
  else
    echo "$_caller_dir/$1"
  fi
}

# How far a stage came, which a dry run does not.
finished() { $dry_run || log "$@"; }

# In a dry run, print a command instead of running it.
run() {
  if $dry_run; then
    printf '  '
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# What this call was, but for its stages: $1 is where to begin, $2 (if given) where to end.
same_call() {
  local i words=("$_self" --stage "$1")
  [ -z "${2:-}" ] || words+=(--stop-stage "$2")
  for ((i = 0; i < ${#_given[@]}; i += 2)); do
    case ${_given[i]} in
      stage | stop_stage | skip_stages | dry_run) ;;
      *) words+=("--${_given[i]//_/-}" "${_given[i + 1]}") ;;
    esac
  done
  printf '%q ' "${words[@]}" | sed 's/ $//'
}

# A stage's input, and the stage that makes it.
need() {
  local path=$1 maker=$2
  [ -e "$path" ] || $dry_run || fail "$path is missing; make it with $(same_call "$maker" "$maker")"
}

# The folder of a training, which stage 6 makes, or stage 9.
need_training() { if [ "$1" = "$exp_dir" ]; then need "$1" 6; else need "$1" 9; fi; }

# The preset, but for what was given.
was_given() {
  local i
  for ((i = 0; i < ${#_given[@]}; i += 2)); do
    [ "${_given[i]}" != "$1" ] || return 0
  done
  return 1
}
if $quick; then
  for ((i = 0; i < ${#quick_options[@]}; i += 2)); do
    was_given "${quick_options[i]}" ||
      printf -v "${quick_options[i]}" '%s' "${quick_options[i + 1]}"
  done
fi

in_stages() {
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] && [[ " $skip_stages " != *" $1 "* ]]
}

. ./check_options.sh

for name in config data_dir exp_root report_dir fsdd_dir an4_dir kaldi_dir lang_dir dl_dir \
  init_from python; do
  if [[ -n ${!name} && ${!name} != /* && $name:${!name} != dl_dir:download ]]; then
    printf -v "$name" '%s' "$(from_caller "${!name}")"
  fi
done
# A corpus is a name, unless it looks like a path.
if [[ $corpus = */* || $corpus = *.yaml || $corpus = *.yml ]] && [[ $corpus != /* ]]; then
  corpus=$(from_caller "$corpus")
fi
[ -z "$python" ] || export OMNI_PYTHON=$python

if in_stages -1; then
  log "Stage -1: environment"
  if [ -n "$python" ]; then
    run ./install.sh --python "$python"
  else
    export OMNI_SET=$package_set
    run ./install.sh --set "$package_set"
  fi
fi
. ./path.sh
if in_stages -1 && [ -z "$python" ]; then  # install.sh --python has checked it already
  run python3 -m local.check_env
fi

if $dry_run && ! python3 -c 'import yaml' 2>/dev/null; then
  # Nothing is installed yet: read as much of the corpus file as the printed commands need.
  file=conf/corpus/$corpus.yaml
  [ ! -f "$corpus" ] || file=$corpus
  [ -f "$file" ] || fail "unknown corpus '$corpus'; known are those of conf/corpus"
  field() { sed -n "s/^$1: *\\([^ #]*\\).*/\\1/p" "$file"; }
  corpus_name=$(basename "${file%.*}") vocab_size=$(field vocab_size) musan=$(field musan)
  musan=${musan:-false} source=$(field source) own_config=$(field config)
  manifests='*' splits=
else
  about=$(python3 -m local.corpus "$corpus")
  about() { sed -n "s/^$1: //p" <<< "$about"; }
  corpus_name=$(about name) vocab_size=$(about vocab_size) musan=$(about musan)
  source=$(about source) own_config=$(about config) splits=$(about splits)
  manifests="$(about prefix)_{recordings,supervisions}_{${splits// /,}}.jsonl.gz"
fi
data_dir=${data_dir:-data/$corpus_name}
exp_root=${exp_root:-exp/$corpus_name}
report_dir=${report_dir:-$exp_root}
own_lang_dir=$data_dir/lang_bpe_$vocab_size
lang_dir=${lang_dir:-$own_lang_dir}
config=${config:-$own_config}
[ -n "$config" ] || [ "$stop_stage" -lt 6 ] || [ "$stage" -gt 9 ] || fail_usage \
  "--config is not given, which a corpus of your own needs: conf/demo.yaml (1.9 million" \
  "parameters), conf/small.yaml or conf/librispeech.yaml (65 million), or your own"
data_options=(--corpus "$corpus" --data-dir "$data_dir")

# The file of a system, which is a name or a path.
system_file() {
  case $1 in
    */* | *.yaml | *.yml) from_caller "$1" ;;
    *) echo "conf/systems/$1.yaml" ;;
  esac
}

# The line of a section in a system's file, or in the file that it is like; fails without one.
section_of() {
  local section=$1 file=$2 like
  grep "^$section:" "$file" && return
  like=$(sed -n 's/^like: *\([^ #]*\).*/\1/p' "$file")
  [ -n "$like" ] && grep "^$section:" "$(dirname "$file")/$like"
}
is_one_shot() { section_of '\(one_shot\|calibrated\)' "$1" > /dev/null; }
is_chain() { section_of chain "$1" > /dev/null; }

# The chain that a system grows around, and the level that it keeps of it; nothing of others.
around_of() { sed -n 's/^ *around: *\([^ #]*\).*/\1/p' "$1"; }

core_of() { sed -n 's/^ *core: *\([0-9.]*\).*/\1/p' "$1"; }

# The folder of a system's training of a seed, at a level (- for systems without).
folder_of() {
  local name=$1 seed=$2 level=$3
  [ "$level" = - ] || name+=-$(LC_ALL=C printf '%.2f' "$level")
  [ "$seed" = 0 ] || name+=-seed$seed
  echo "$exp_root/$name"
}

# Calls a function with the name, file, seed, level and folder of each training of stages 9 and 10.
for_each_run() {
  local seed system file name level own_levels around
  for seed in $seeds; do
    for system in $systems; do
      file=$(system_file "$system")
      [ -e "$file" ] || fail "--systems: there is no $file; see conf/systems"
      name=$(basename "${file%.*}")
      if { is_one_shot "$file" || is_chain "$file"; } && [[ " $systems " != *" dense "* ]]; then
        fail_usage "--systems: $system prunes the dense model; name dense, too"
      fi
      around=$(around_of "$file")
      if [ -n "$around" ] && [[ " $systems " != *" $around "*"$system "* ]]; then
        fail_usage "--systems: $system grows around $around; name $around, too, before it"
      fi
      own_levels=$(section_of levels "$file" | sed -n 's/.*\[\(.*\)\].*/\1/p' | tr ',' ' ') || true
      for level in ${own_levels:--}; do
        "$1" "$name" "$file" "$seed" "$level" "$(folder_of "$name" "$seed" "$level")"
      done
    done
  done
}

# set_words FILE...: into the array set_options, what --set says of these files: config, which stands
# for the configuration, and files of systems.
set_words() {
  local one file section
  set_options=()
  for one in ${settings[@]+"${settings[@]}"}; do
    section=${one%%.*}
    for file in "$@"; do
      if has_section "$section" "$file"; then set_options+=(--set "$one"); fi
    done
  done
}
has_section() {
  case $1 in
    model | training) [ "$2" = config ] ;;
    *) [ "$2" != config ] && section_of "$1" "$2" > /dev/null ;;
  esac
}

# Mistakes are told before the first stage, not after hours of work.
check_trained() {
  local file
  file=$(system_file "${!1}")
  [ -f "$file" ] || fail "--${1//_/-}: there is no $file; see conf/systems"
}
# What a corpus is made of, if the user brings it.
check_source() {
  local split
  in_stages 0 || in_stages 1 || return 0
  case $source in
    fsdd) check_brought fsdd_dir recordings "get the recordings with:" \
      "git clone https://github.com/Jakobovski/free-spoken-digit-dataset" ;;
    an4) check_brought an4_dir etc/an4_train.fileids "get and unpack an4_sphere.tar.gz of" \
      "http://www.speech.cs.cmu.edu/databases/an4" ;;
    kaldi)
      check_brought kaldi_dir "" "it takes a folder of Kaldi data directories"
      for split in $splits; do
        check_brought kaldi_dir "$split/wav.scp" "the splits of $corpus are data directories in it"
      done
      ;;
  esac
}
# An option's folder, and something that is in it; what to do without.
check_brought() {
  local option=--${1//_/-} folder=${!1} inside=$2
  shift 2
  [ -n "$folder" ] || fail "$option is not given; $*"
  [ -d "$folder" ] || fail "$option: there is no folder $folder; $*"
  [ -e "$folder/$inside" ] || fail "$option: $folder has no $inside; $*"
}
check_settings() {
  local system file one section taken files=() start=() track=()
  check_source
  if in_stages 6 || in_stages 9; then
    [ "$lang_dir" = "$own_lang_dir" ] || [ -e "$lang_dir/bpe.model" ] || $dry_run ||
      fail "--lang-dir: there is no $lang_dir/bpe.model; stage 5 of the corpus that it is of makes it"
    [ -z "$init_from" ] || start=(--init-from "$init_from")
    track=(--tracker "$tracker")
  fi
  if in_stages 12; then check_trained search_system; fi
  if in_stages 13 || in_stages 14 || in_stages 15; then check_trained export_system; fi
  if in_stages 9 || in_stages 10 || in_stages 11 || [ -n "$set" ]; then
    for_each_run :
    for system in $systems; do files+=("$(system_file "$system")"); done
  fi
  if [ -n "$config" ] && { [ "$stop_stage" -ge 6 ] || [ -n "$set" ]; }; then
    [ -f "$config" ] || fail "--config: there is no $config"
    $dry_run || python3 -m omni_emformer.check_settings --corpus "$corpus" --config "$config" \
      ${files[@]+--systems "${files[@]}"} ${start[@]+"${start[@]}"} \
      ${track[@]+"${track[@]}"} ${set:+--set "$set"}
  fi
  for one in ${settings[@]+"${settings[@]}"}; do  # in a dry run, too, none may fall by the wayside
    section=${one%%.*} taken=false
    for file in config ${files[@]+"${files[@]}"}; do
      if has_section "$section" "$file"; then taken=true; fi
    done
    $taken || fail "--set $one: no section $section in ${files[*]}"
  done
}
check_settings

if in_stages 0; then
  log "Stage 0: corpus $corpus_name"
  case $source in
    synthetic) run python3 -m local.prepare_synthetic "${data_options[@]}" --nj "$nj" ;;
    fsdd | an4 | kaldi) log "the sound is there already" ;;
    librispeech)
      run python3 -m local.download --corpus "$corpus" --download-dir "$dl_dir"
      if $musan; then
        run python3 -m local.download --corpus musan --download-dir "$dl_dir"
      fi
      ;;
    *) log "a corpus of your own: put $manifests into $data_dir/manifests" ;;
  esac
  finished "Stage 0 done; next: manifests (stage 1)"
fi

if in_stages 1; then
  log "Stage 1: manifests"
  case $source in
    synthetic)
      need "$data_dir/audio/train" 0
      run python3 -m local.prepare_synthetic_manifests "${data_options[@]}"
      ;;
    fsdd)
      run python3 -m local.prepare_fsdd "${data_options[@]}" --fsdd-dir "$fsdd_dir"
      ;;
    an4)
      run python3 -m local.prepare_an4 "${data_options[@]}" --an4-dir "$an4_dir"
      ;;
    kaldi)
      run python3 -m local.prepare_kaldi "${data_options[@]}" --kaldi-dir "$kaldi_dir" --nj "$nj"
      ;;
    librispeech)
      need "$dl_dir" 0
      run python3 -m local.prepare_librispeech "${data_options[@]}" --corpus-dir "$dl_dir" --nj "$nj"
      ;;
    *)
      [ -e "$data_dir/manifests" ] || $dry_run || fail "$data_dir/manifests is missing: a corpus of" \
        "your own has $manifests there (of Kaldi data directories, source: kaldi makes them), and" \
        "goes on with $(same_call 3)"
      ;;
  esac
  finished "Stage 1 done: $data_dir/manifests; next: features (stage 3)"
fi

if in_stages 2 && $musan; then
  log "Stage 2: MUSAN manifests"
  need "$dl_dir/musan" 0
  run python3 -m local.prepare_musan --corpus-dir "$dl_dir" --data-dir "$data_dir"
  finished "Stage 2 done: $data_dir/manifests"
fi

if in_stages 3; then
  log "Stage 3: features"
  need "$data_dir/manifests" 1
  run python3 -m local.compute_fbank "${data_options[@]}" --nj "$nj" --on-the-fly "$on_the_fly"
  run python3 -m local.validate_manifest "${data_options[@]}"
  finished "Stage 3 done: $data_dir/fbank; next: BPE (stage 5)"
fi

if in_stages 4 && $musan; then
  log "Stage 4: MUSAN features"
  need "$data_dir/manifests" 2
  run python3 -m local.compute_fbank_musan --data-dir "$data_dir" --nj "$nj" --on-the-fly "$on_the_fly"
  finished "Stage 4 done: $data_dir/fbank/musan_cuts.jsonl.gz"
fi

if in_stages 5; then
  log "Stage 5: BPE model with $vocab_size pieces"
  if [ "$lang_dir" = "$own_lang_dir" ]; then
    need "$data_dir/fbank" 3
    run python3 -m local.train_bpe_model "${data_options[@]}"
  else
    log "word pieces of another corpus, $lang_dir"
  fi
  finished "Stage 5 done: $lang_dir; next: training (stage 6)"
fi

first_seed=${seeds%% *}
exp_dir=$(folder_of dense "$first_seed" -)

# All systems: the same data and number of updates.
launcher=(python3)
if [ "$world_size" -gt 1 ]; then
  launcher=(python3 -m torch.distributed.run --standalone --nproc_per_node "$world_size")
fi
train_options=(--lang-dir "$lang_dir" --dtype "$dtype")
train_options+=("${data_options[@]}" --on-the-fly-feats "$on_the_fly")
init_options=()
[ -z "$init_from" ] || init_options=(--init-from "$init_from")
[ -z "$num_epochs" ] || train_options+=(--num-epochs "$num_epochs")
[ -z "$max_duration" ] || train_options+=(--max-duration "$max_duration")
[ "$tracker" = none ] || train_options+=(--tracker "$tracker")

# Trainings that are started in this call, those at a time, and the threads of each.
num_trainings=0
in_stages 6 && num_trainings=1
count_training() {
  [ "$5" = "$exp_dir" ] || is_one_shot "$2" || num_trainings=$((num_trainings + 1))
}
if in_stages 9; then for_each_run count_training; fi
if [ -z "$train_jobs" ]; then
  train_jobs=1
  if [ "$world_size" = 1 ] && ! nvidia-smi -L 2> /dev/null | grep -q GPU; then
    train_jobs=$(($(nproc) < 4 ? $(nproc) : 4))
  fi
fi
[ "$train_jobs" -le "$num_trainings" ] || train_jobs=$num_trainings
[ "$train_jobs" -ge 1 ] || train_jobs=1

# start_one JOBS NAME COMMAND...: alone and in sight, or beside others, so many at a time.
start_one() {
  local jobs=$1 name=$2
  shift 2
  if $dry_run || [ "$jobs" = 1 ]; then
    run "$@"
  else
    start_beside "$jobs" $((($(nproc) + jobs - 1) / jobs)) "$name" "$@"
  fi
}

all_trained=false           # by stage 6 of this call
chain_of="" chain_start=""  # the chain that is under way, and what its next level goes on from

train_run() {
  local name=$1 file=$2 seed=$3 level=$4 folder=$5 options=() around
  if is_one_shot "$file" || [ "$folder" = "$exp_dir" ]; then  # made of E; E itself, of stage 6
    return
  fi
  [ "$level" = - ] || options=(--level "$level")
  is_chain "$file" || options+=("${init_options[@]}")
  if is_chain "$file"; then
    around=$(around_of "$file")
    if [ "$chain_of" != "$name $seed" ]; then
      chain_start=$(folder_of dense "$seed" -)
      [ -z "$around" ] || chain_start=$(folder_of "$around" "$seed" "$(core_of "$file")")
    fi
    if [ -n "$around" ] && [ "$level" != 0.0 ]; then
      options+=(--blocks-from "$(folder_of "$around" "$seed" "$level")")
    elif [ -n "$around" ]; then
      options+=(--blocks-from "$(folder_of dense "$seed" -)")
    fi
    wait_beside "$(basename "$chain_start")"  # the level before, or the dense model
    options+=(--start-from "$chain_start" --teacher "$(folder_of dense "$seed" -)")
    chain_of="$name $seed" chain_start=$folder
  fi
  log "$name, seed $seed: $folder"
  set_words config "$file"
  start_one "$train_jobs" "$(basename "$folder")" \
    "${launcher[@]}" -m omni_emformer.train --system "$file" "${options[@]}" --config "$config" \
    --exp-dir "$folder" --seed "$seed" "${train_options[@]}" ${set_options[@]+"${set_options[@]}"}
}

if in_stages 6; then
  log "Stage 6: training of the dense model, seed $first_seed"
  need "$data_dir/fbank" 3
  need "$lang_dir/bpe.model" 5
  set_words config
  start_one "$train_jobs" "$(basename "$exp_dir")" "${launcher[@]}" -m emformer.train --config "$config" \
    --exp-dir "$exp_dir" --seed "$first_seed" "${train_options[@]}" "${init_options[@]}" \
    ${set_options[@]+"${set_options[@]}"}
  if in_stages 9 && [ "$train_jobs" -gt 1 ] && ! $dry_run; then
    log "beside it, $train_jobs trainings at a time, those of stage 9"
    for_each_run train_run
    all_trained=true
  fi
  finish_beside
  finished "Stage 6 done: $exp_dir; curves: tensorboard --logdir $exp_dir/tensorboard;" \
    "next: decoding (stages 7 and 8)"
fi

weights_options=("${data_options[@]}" --avg "$avg")
weights_options+=(--use-averaged-model "$use_averaged_model" --on-the-fly-feats "$on_the_fly")
weights_options+=(--beam-size "$beam_size")
[ -z "$epoch" ] || weights_options+=(--epoch "$epoch")
decode_options=(--exp-dir "$exp_dir" --system-name dense "${weights_options[@]}")

if in_stages 7; then
  log "Stage 7: decoding, simulated streaming"
  need "$exp_dir" 6
  # shellcheck disable=SC2086 # several methods, separated by spaces
  run python3 -m emformer.decode "${decode_options[@]}" --methods $decoding_methods
  finished "Stage 7 done: $exp_dir/*/wer-summary-*.txt"
fi

if in_stages 8; then
  log "Stage 8: decoding, chunk by chunk"
  need "$exp_dir" 6
  # shellcheck disable=SC2086
  run python3 -m emformer.streaming_decode "${decode_options[@]}" --methods $decoding_methods \
    --compare-encoders true
  run python3 -m emformer.report --exp-dir "$exp_dir"
  finished "Stage 8 done: $exp_dir/report.md and $exp_dir/streaming/*/wer-summary-*.txt;" \
    "next: the other systems (stage 9)"
fi

if in_stages 9; then
  log "Stage 9: training of $systems (seeds $seeds)"
  need "$data_dir/fbank" 3
  need "$lang_dir/bpe.model" 5
  $all_trained || for_each_run train_run
  finish_beside
  finished "Stage 9 done: $exp_root; next: sweep (stage 10)"
fi

sweep_run() {
  local name=$1 file=$2 seed=$3 level=$4 folder=$5 options=()
  if is_one_shot "$file"; then
    folder=$(folder_of dense "$seed" -)
    set_words "$file"
    options=(--system-name dense --system "$file" --one-shot-name "$name")
    options+=(${set_options[@]+"${set_options[@]}"})
  else
    options=(--system-name "$name")
  fi
  need_training "$folder"
  options+=("${sweep_options[@]}")
  # Only a supernet and what is pruned by its kind of settings have levels to choose from.
  if [ -n "$subnets" ] && [ "$level" = - ] && ! section_of layers "$file" > /dev/null &&
    section_of '\(sparsity\|one_shot\|calibrated\)' "$file" > /dev/null; then
    # shellcheck disable=SC2206
    options+=(--subnets $subnets)
  fi
  wait_beside "$(basename "$folder")"  # one file of results
  start_one "$sweep_jobs" "$(basename "$folder")" \
    python3 -m omni_emformer.sweep --exp-dir "$folder" "${options[@]}"
}

if in_stages 10; then
  log "Stage 10: sweep over the sizes of $systems (seeds $seeds)"
  # shellcheck disable=SC2206 # several, separated by spaces
  sweep_options=(--methods $sweep_methods --modes $sweep_modes "${weights_options[@]}")
  for_each_run sweep_run
  finish_beside
  finished "Stage 10 done: $exp_root/*/results.jsonl; next: report (stage 11)"
fi

report_run() {
  local file=$2 folder=$5
  if is_one_shot "$file"; then
    return
  fi
  need_training "$folder"
  need "$folder/results.jsonl" 10
  if [ "$folder" = "$exp_dir" ]; then
    folders=("$folder" "${folders[@]}")  # first: what others are compared with
  else
    folders+=("$folder")
  fi
}

if in_stages 11; then
  log "Stage 11: report"
  folders=()
  for_each_run report_run
  run python3 -m omni_emformer.report --exp-dirs "${folders[@]}" --out "$report_dir"
  finished "Stage 11 done: $report_dir/RESULTS.md, and report.html for a browser. What to try next:
    $(same_call 6) --seeds \"0 1 2\"       other seeds
    $(same_call 9) --systems \"dense omni pruned small_dense\"   the comparison
    $(same_call 9) --systems \"dense omni MY.yaml one_shot\"     a system of your own
    $_self --corpus fsdd --fsdd-dir DIR                               real voices
    $_self --corpus mini_librispeech --config conf/small.yaml         LibriSpeech, 5 hours"
fi

if in_stages 12; then
  log "Stage 12: search"
  file=$(system_file "$search_system")
  searched=$(folder_of "$(basename "${file%.*}")" "$first_seed" -)
  need "$searched" 9
  run python3 -m omni_emformer.search --exp-dir "$searched" --lang-dir "$lang_dir" \
    --cost "$search_cost" --evaluations "$evaluations" --num-workers "$nj" "${weights_options[@]}"
  finished "Stage 12 done: $searched/search; decode what it found by name or by budget:
    python3 -m omni_emformer.sweep --exp-dir $searched --subnets front/3
    python3 -m omni_emformer.sweep --exp-dir $searched --max-params 0.8M"
fi

if in_stages 13 || in_stages 14 || in_stages 15; then
  file=$(system_file "$export_system")
  exported=$(folder_of "$(basename "${file%.*}")" "$first_seed" -)
fi

if in_stages 13; then
  log "Stage 13: export"
  need "$exported" 9
  export_options=(--exp-dir "$exported" --avg "$avg" --use-averaged-model "$use_averaged_model")
  [ -z "$epoch" ] || export_options+=(--epoch "$epoch")
  # shellcheck disable=SC2206 # several, separated by spaces
  [ -z "$export_subnets" ] || export_options+=(--subnets $export_subnets)
  run python3 -m omni_emformer.export "${export_options[@]}"
  finished "Stage 13 done: $exported/export; next: check (stage 14)"
fi

if in_stages 14; then
  log "Stage 14: check of what is exported"
  need "$exported/export" 13
  run python3 -m omni_emformer.check_onnx --exp-dir "$exported" "${data_options[@]}"
  finished "Stage 14 done: $exported/export/check.md; next: benchmark (stage 15)"
fi

if in_stages 15; then
  log "Stage 15: benchmark of what is exported"
  need "$exported/export" 13
  run python3 -m omni_emformer.benchmark --exp-dir "$exported" "${data_options[@]}" \
    --on-the-fly-feats "$on_the_fly"
  finished "Stage 15 done: $exported/export/benchmark.md. Listen to it (SIZE: 0.9, units-4, front/3, ...):
    python3 -m omni_emformer.transcribe --exp-dir $exported --compare dense,SIZE FILE.wav"
fi
