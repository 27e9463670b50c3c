#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From audio to streaming word error rates at every size. See ./run.sh --help.
set -eou pipefail

stage=-1
stop_stage=11
corpus=synthetic
data_dir=
dl_dir=download
fsdd_dir=
config=
exp_dir=
system=dense
omni_system=conf/systems/omni.yaml
omni_exp_dir=
report_dir=
seed=0
nj=$(nproc)
world_size=1
ngpu=
dtype=float32
num_epochs=
max_duration=
on_the_fly=false
epoch=
avg=1
use_averaged_model=true
decoding_methods="greedy_search modified_beam_search fast_beam_search"
beam_size=4
levels=
sweep_methods="greedy_search modified_beam_search"
sweep_modes=chunk-wise
set=k2
python=
dry_run=false

help_message=$(cat <<'EOF'
Usage: ./run.sh [--stage N] [--stop-stage N] [--option value ...]

Without options: the whole recipe on synthetic speech, on the CPU, to tables and plots of word error
rates: a dense model, and a supernet with a sub-network for every size.

Stages (inputs -> outputs; D is the data folder, E the dense experiment's, O the supernet's)
  -1  environment     packages -> a line for each; installs them if there are none (install.sh)
   0  corpus          -> D/audio (synthetic) or download/ (LibriSpeech)
   1  manifests       audio -> D/manifests
   2  MUSAN manifests download/musan -> D/manifests (corpora with musan: true)
   3  features        D/manifests -> D/fbank
   4  MUSAN features  D/manifests -> D/fbank/musan_cuts.jsonl.gz
   5  BPE             texts -> D/lang_bpe_<V>/bpe.model, tokens.txt
   6  training        D/fbank, D/lang_bpe_<V> -> E/epoch-N.pt, E/tensorboard
   7  decoding        E/epoch-N.pt -> E/<method>/wer-summary-*.txt (simulated streaming)
   8  decoding        E/epoch-N.pt -> E/streaming/<method>/wer-summary-*.txt (chunk by chunk), and
                      a table of both modes, E/report.md
   9  supernet        D/fbank, D/lang_bpe_<V> -> O/epoch-N.pt: one training, every sparsity
  10  sweep           {E,O}/epoch-N.pt -> {E,O}/results.jsonl: every level (E's pruned in one shot)
  11  report          {E,O}/results.jsonl -> exp/<corpus>/RESULTS.md and plots

What to run on
  --corpus NAME       synthetic, fsdd, fsdd_all, mini_librispeech, librispeech_100, librispeech,
                      or a YAML file like those of conf/corpus (default: synthetic)
  --fsdd-dir DIR      a checkout of the Free Spoken Digit Dataset (corpus fsdd)
  --dl-dir DIR        LibriSpeech and MUSAN are downloaded to it, or already there (default: download)
  --data-dir DIR      D (default: data/<corpus>)
  --exp-dir DIR       E (default: exp/<corpus>/<system>)
  --system NAME       what E and its rows in result tables are called (default: dense)
  --omni-system FILE  how the supernet is made and trained (default: conf/systems/omni.yaml)
  --omni-exp-dir DIR  O (default: exp/<corpus>/<name of that file>)
  --config FILE       model and training settings (default: conf/demo.yaml, for fsdd conf/fsdd.yaml,
                      for LibriSpeech conf/librispeech.yaml), of both models
  --on-the-fly true   compute features while training and decoding, store none

Training (both models alike)
  --seed N  --num-epochs N  --max-duration SECONDS  --dtype float32|float16|bfloat16
  --world-size N      processes, one for each GPU (also --ngpu)

Decoding
  --epoch N           which epoch-N.pt (default: the newest)
  --avg N  --use-averaged-model true|false
  --decoding-methods "greedy_search modified_beam_search fast_beam_search"  --beam-size N

Sweep and report
  --levels "0 0.5 0.9"  sparsities (default: those that the supernet validates)
  --sweep-methods "greedy_search modified_beam_search"
  --sweep-modes "simulated chunk-wise"  (default: chunk-wise)
  --report-dir DIR    of RESULTS.md and its plots (default: exp/<corpus>)

Others
  --set k2|current    package set of install.sh, where none is active
  --python PATH       use the packages of this Python (e.g. of your icefall environment)
  --nj N              processes for data (default: all cores)
  --dry-run true      print the commands of each stage and run none
EOF
)

_caller_dir=$PWD  # no option: those have no underscore in front
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./parse_options.sh

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

# A stage's input, and the stage that makes it.
need() {
  local path=$1 maker=$2
  [ -e "$path" ] || $dry_run || fail "$path is missing; make it with ./run.sh --stage $maker" \
    "--stop-stage $maker $same_options"
}

in_stages() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

[ -z "$ngpu" ] || world_size=$ngpu
for name in stage stop_stage; do
  [[ ${!name} =~ ^-?[0-9]+$ ]] || fail_usage "--${name//_/-} takes a number, not '${!name}'"
done
for name in nj world_size seed avg beam_size epoch num_epochs; do
  [[ ${!name} =~ ^[0-9]*$ ]] || fail_usage "--${name//_/-} takes a number, not '${!name}'"
done
[ "$stage" -le "$stop_stage" ] ||
  fail_usage "nothing to do: --stage $stage is after --stop-stage $stop_stage"

# What another call needs to work on the same files.
same_options="--corpus $corpus"
for name in data_dir exp_dir omni_exp_dir fsdd_dir dl_dir; do
  [[ -z ${!name} || $name:${!name} = dl_dir:download ]] ||
    same_options+=" --${name//_/-} ${!name}"
done
[ "$system" = dense ] || same_options+=" --system $system"
[ "$omni_system" = conf/systems/omni.yaml ] || same_options+=" --omni-system $omni_system"

for name in config data_dir exp_dir omni_system omni_exp_dir report_dir fsdd_dir dl_dir python; do
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
    export OMNI_SET=$set
    run ./install.sh --set "$set"
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
  musan=${musan:-false}
else
  corpus_name=$(python3 -m local.corpus "$corpus" --get name)
  vocab_size=$(python3 -m local.corpus "$corpus" --get vocab_size)
  musan=$(python3 -m local.corpus "$corpus" --get musan)
fi
data_dir=${data_dir:-data/$corpus_name}
exp_dir=${exp_dir:-exp/$corpus_name/$system}
omni_name=$(basename "${omni_system%.*}")
omni_exp_dir=${omni_exp_dir:-exp/$corpus_name/$omni_name}
report_dir=${report_dir:-exp/$corpus_name}
lang_dir=$data_dir/lang_bpe_$vocab_size
case $corpus_name in
  synthetic) config=${config:-conf/demo.yaml} ;;
  fsdd*) config=${config:-conf/fsdd.yaml} ;;
  *) config=${config:-conf/librispeech.yaml} ;;
esac
data_options=(--corpus "$corpus" --data-dir "$data_dir")

if in_stages 0; then
  log "Stage 0: corpus $corpus_name"
  case $corpus_name in
    synthetic) run python3 -m local.prepare_synthetic --data-dir "$data_dir" --nj "$nj" ;;
    fsdd*) [ -n "$fsdd_dir" ] || fail "--fsdd-dir is not given; get the recordings with:" \
      "git clone https://github.com/Jakobovski/free-spoken-digit-dataset" ;;
    *librispeech*)
      run python3 -m local.download --corpus "$corpus" --download-dir "$dl_dir"
      if $musan; then
        run python3 -m local.download --corpus musan --download-dir "$dl_dir"
      fi
      ;;
    *) log "a corpus of your own: put its manifests into $data_dir/manifests" ;;
  esac
  log "Stage 0 done; next: manifests (stage 1)"
fi

if in_stages 1; then
  log "Stage 1: manifests"
  case $corpus_name in
    synthetic)
      need "$data_dir/audio/train" 0
      run python3 -m local.prepare_synthetic_manifests --data-dir "$data_dir"
      ;;
    fsdd*)
      [ -n "$fsdd_dir" ] || fail "stage 1 of $corpus_name needs --fsdd-dir"
      run python3 -m local.prepare_fsdd "${data_options[@]}" --fsdd-dir "$fsdd_dir"
      ;;
    *librispeech*)
      need "$dl_dir" 0
      run python3 -m local.prepare_librispeech "${data_options[@]}" --corpus-dir "$dl_dir" --nj "$nj"
      ;;
    *) need "$data_dir/manifests" 1 ;;
  esac
  log "Stage 1 done: $data_dir/manifests; next: features (stage 3)"
fi

if in_stages 2 && $musan; then
  log "Stage 2: MUSAN manifests"
  need "$dl_dir/musan" 0
  run python3 -m local.prepare_musan --corpus-dir "$dl_dir" --data-dir "$data_dir"
  log "Stage 2 done: $data_dir/manifests"
fi

if in_stages 3; then
  log "Stage 3: features"
  need "$data_dir/manifests" 1
  run python3 -m local.compute_fbank "${data_options[@]}" --nj "$nj" --on-the-fly "$on_the_fly"
  run python3 -m local.validate_manifest "${data_options[@]}"
  log "Stage 3 done: $data_dir/fbank; next: BPE (stage 5)"
fi

if in_stages 4 && $musan; then
  log "Stage 4: MUSAN features"
  need "$data_dir/manifests" 2
  run python3 -m local.compute_fbank_musan --data-dir "$data_dir" --nj "$nj" --on-the-fly "$on_the_fly"
  log "Stage 4 done: $data_dir/fbank/musan_cuts.jsonl.gz"
fi

if in_stages 5; then
  log "Stage 5: BPE model with $vocab_size pieces"
  need "$data_dir/fbank" 3
  run python3 -m local.train_bpe_model "${data_options[@]}"
  log "Stage 5 done: $lang_dir; next: training (stage 6)"
fi

# The dense model and the supernet: the same data, seed and number of updates.
launcher=(python3)
if [ "$world_size" -gt 1 ]; then
  launcher=(python3 -m torch.distributed.run --standalone --nproc_per_node "$world_size")
fi
train_options=(--lang-dir "$lang_dir" --seed "$seed" --dtype "$dtype")
train_options+=("${data_options[@]}" --on-the-fly-feats "$on_the_fly")
[ -z "$num_epochs" ] || train_options+=(--num-epochs "$num_epochs")
[ -z "$max_duration" ] || train_options+=(--max-duration "$max_duration")

if in_stages 6; then
  log "Stage 6: training of $system"
  need "$data_dir/fbank" 3
  need "$lang_dir/bpe.model" 5
  run "${launcher[@]}" -m emformer.train --config "$config" --exp-dir "$exp_dir" "${train_options[@]}"
  log "Stage 6 done: $exp_dir; curves: tensorboard --logdir $exp_dir/tensorboard;" \
    "next: decoding (stages 7 and 8)"
fi

weights_options=("${data_options[@]}" --avg "$avg")
weights_options+=(--use-averaged-model "$use_averaged_model" --on-the-fly-feats "$on_the_fly")
weights_options+=(--beam-size "$beam_size")
[ -z "$epoch" ] || weights_options+=(--epoch "$epoch")
decode_options=(--exp-dir "$exp_dir" --system "$system" "${weights_options[@]}")

if in_stages 7; then
  log "Stage 7: decoding, simulated streaming"
  need "$exp_dir" 6
  # shellcheck disable=SC2086 # several methods, separated by spaces
  run python3 -m emformer.decode "${decode_options[@]}" --method $decoding_methods
  log "Stage 7 done: $exp_dir/*/wer-summary-*.txt"
fi

if in_stages 8; then
  log "Stage 8: decoding, chunk by chunk"
  need "$exp_dir" 6
  # shellcheck disable=SC2086
  run python3 -m emformer.streaming_decode "${decode_options[@]}" --method $decoding_methods \
    --compare-encoders true
  run python3 -m emformer.report --exp-dir "$exp_dir"
  log "Stage 8 done: $exp_dir/report.md and $exp_dir/streaming/*/wer-summary-*.txt;" \
    "next: the supernet (stage 9)"
fi

if in_stages 9; then
  log "Stage 9: training of the supernet $omni_name"
  need "$data_dir/fbank" 3
  need "$lang_dir/bpe.model" 5
  run "${launcher[@]}" -m omni_emformer.train --system "$omni_system" --config "$config" \
    --exp-dir "$omni_exp_dir" "${train_options[@]}"
  log "Stage 9 done: $omni_exp_dir; next: sweep (stage 10)"
fi

if in_stages 10; then
  log "Stage 10: sweep over sparsities"
  need "$exp_dir" 6
  need "$omni_exp_dir" 9
  # shellcheck disable=SC2206 # several, separated by spaces
  sweep_options=(--methods $sweep_methods --modes $sweep_modes "${weights_options[@]}")
  # shellcheck disable=SC2206
  [ -z "$levels" ] || sweep_options+=(--levels $levels)
  run python3 -m omni_emformer.sweep --exp-dir "$exp_dir" --system-name "$system" \
    --system "$omni_system" "${sweep_options[@]}"
  run python3 -m omni_emformer.sweep --exp-dir "$omni_exp_dir" --system-name "$omni_name" \
    "${sweep_options[@]}"
  log "Stage 10 done: results.jsonl in $exp_dir and $omni_exp_dir; next: report (stage 11)"
fi

if in_stages 11; then
  log "Stage 11: report"
  need "$exp_dir/results.jsonl" 10
  need "$omni_exp_dir/results.jsonl" 10
  run python3 -m omni_emformer.report --exp-dirs "$exp_dir" "$omni_exp_dir" --out "$report_dir"
  log "Stage 11 done: $report_dir/RESULTS.md. What to try next:
    ./run.sh --stage 9 --omni-system MY.yaml                         a supernet of your own
    ./run.sh --stage 6 --seed 1 --exp-dir exp/$corpus_name/$system-seed1 \\
      --omni-exp-dir exp/$corpus_name/$omni_name-seed1 --report-dir exp/$corpus_name/seed1
                                                                     another seed
    ./run.sh --corpus fsdd --fsdd-dir DIR                            real voices
    ./run.sh --corpus mini_librispeech --config conf/small.yaml      LibriSpeech, 5 hours"
fi
