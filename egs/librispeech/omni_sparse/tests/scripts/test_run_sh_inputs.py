# SPDX-License-Identifier: Apache-2.0
"""What run.sh reads: folders, corpora, what is missing, and trainings to start from."""

import re
from importlib.util import find_spec

import pytest

from emformer.data.corpus import load_corpus
from tests.support.processes import RECIPE
from tests.support.run_sh import commands, dry, modules, only_line, run_sh

# Folders.


def test_it_runs_from_another_folder(tmp_path):
    here = dry("--stage", "3", "--stop-stage", "9")
    there = dry("--stage", "3", "--stop-stage", "9", cwd=tmp_path)
    assert commands(here) == commands(there)


def test_paths_are_meant_from_where_the_caller_is(tmp_path):
    (tmp_path / "my.yaml").write_text("model: {}\n")
    words = ["--stage", "6", "--stop-stage", "6", "--config", "my.yaml", "--exp-root", "my/exp"]
    (command,) = commands(dry(*words, cwd=tmp_path))
    assert f"--config {tmp_path}/my.yaml --exp-dir {tmp_path}/my/exp/dense" in command


def test_a_configuration_of_the_recipe_is_found_from_anywhere(tmp_path):
    words = ["--stage", "6", "--stop-stage", "6", "--config", "conf/demo.yaml"]
    assert "--config conf/demo.yaml" in commands(dry(*words, cwd=tmp_path))[0]


def test_a_folder_named_like_the_corpus_does_not_confuse(tmp_path):
    (tmp_path / "synthetic").mkdir()
    (command,) = commands(dry("--stage", "5", "--stop-stage", "5", cwd=tmp_path))
    assert "--corpus synthetic" in command


def test_a_corpus_of_the_users_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n"
    )
    words = ["--stage", "5", "--stop-stage", "6", "--corpus", "mine.yaml"]
    words += ["--config", "conf/small.yaml"]
    found = commands(dry(*words, cwd=tmp_path))
    assert f"--corpus {tmp_path}/mine.yaml --data-dir data/mine" in found[0]
    assert "--lang-dir data/mine/lang_bpe_77" in found[1]


@pytest.mark.parametrize("name", ["synthetic", "fsdd_mine", "multilingual_librispeech_de"])
def test_a_corpus_given_as_a_path_is_ones_own_whatever_its_name(tmp_path, name):
    path = tmp_path / f"{name}.yaml"
    path.write_text("prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n")
    done = dry("--stage", "0", "--stop-stage", "1", "--corpus", path)
    assert done.returncode == 0 and commands(done) == []
    words = ["--corpus", path, "--data-dir", tmp_path / "data"]
    line = only_line(run_sh("--stage", "1", "--stop-stage", "1", *words), 1)
    assert "has mine_{recordings,supervisions}_{a,b,c}.jsonl.gz there" in line
    assert "goes on with ./run.sh --stage 3" in line


def test_a_corpus_of_ones_own_needs_a_configuration(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n")
    assert "--config is not given" in only_line(dry("--corpus", path), 2)


def test_a_source_says_how_a_corpus_is_made(tmp_path):
    path = tmp_path / "ours.yaml"
    text = (RECIPE / "conf/corpus/mini_librispeech.yaml").read_text()
    path.write_text(text.replace("vocab_size: 200", "vocab_size: 100"))
    assert "local.download" in modules(dry("--stage", "0", "--stop-stage", "0", "--corpus", path))


# Missing inputs.


@pytest.mark.parametrize(
    "stage, maker",
    [
        (1, 0), (3, 1), (5, 3), (6, 3), (7, 6), (8, 6), (9, 3), (10, 6), (11, 6), (13, 9),
        (14, 13), (15, 13),
    ],
)  # fmt: skip
def test_a_missing_input_names_the_stage_that_makes_it(tmp_path, stage, maker):
    where = ["--data-dir", tmp_path / "data", "--exp-root", tmp_path / "exp"]
    line = only_line(run_sh("--stage", stage, "--stop-stage", stage, *where), 1)
    assert f"is missing; make it with ./run.sh --stage {maker} --stop-stage {maker} " in f"{line} "
    assert f"--data-dir {tmp_path}/data" in line
    assert list(tmp_path.iterdir()) == []


def test_training_without_a_bpe_model_names_stage_5(tmp_path):
    (tmp_path / "fbank").mkdir()
    line = only_line(run_sh("--stage", "6", "--stop-stage", "6", "--data-dir", tmp_path), 1)
    assert re.search(r"lang_bpe_\d+/bpe.model is missing; make it with ./run.sh --stage 5", line)


BROUGHT = {"fsdd": "fsdd", "fsdd_all": "fsdd", "an4": "an4", "kaldi": "kaldi"}


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("corpus", BROUGHT)
def test_a_corpus_that_the_user_brings_is_asked_for_by_its_option(tmp_path, corpus, stage):
    words = ["--stage", stage, "--stop-stage", stage, "--corpus", corpus, "--data-dir", tmp_path]
    line = only_line(run_sh(*words), 1)
    assert f"--{BROUGHT[corpus]}-dir is not given; " in line


@pytest.mark.parametrize("corpus", BROUGHT)
def test_a_folder_that_is_not_there_is_told_before_the_first_stage(tmp_path, corpus):
    option = f"--{BROUGHT[corpus]}-dir"
    done = run_sh("--stage", "0", "--corpus", corpus, option, tmp_path / "x", "--data-dir", "/y")
    assert f"{option}: there is no folder {tmp_path}/x; " in only_line(done, 1)
    assert done.stdout == ""


INSIDE = {"fsdd": "recordings", "an4": "etc/an4_train.fileids", "kaldi": "train/wav.scp"}


@pytest.mark.parametrize("corpus, inside", INSIDE.items())
def test_a_folder_of_something_else_is_told_before_the_first_stage(tmp_path, corpus, inside):
    option = f"--{corpus}-dir"
    done = run_sh("--stage", "0", "--corpus", corpus, option, tmp_path, "--data-dir", "/y")
    assert f"{option}: {tmp_path} has no {inside}" in only_line(done, 1)
    assert done.stdout == ""


def test_a_corpus_that_the_user_brings_is_prepared_by_one_command(tmp_path):
    for inside in (*INSIDE.values(), "dev/wav.scp", "test/wav.scp"):
        (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside).touch()
    for corpus in ("an4", "kaldi", "fsdd"):
        words = ["--stage", "0", "--stop-stage", "6", "--corpus", corpus]
        found = commands(dry(*words, f"--{corpus}-dir", ".", cwd=tmp_path))
        made = f"python3 -m local.prepare_{corpus} --corpus {corpus} --data-dir data/{corpus} "
        assert found[0].startswith(f"{made}--{corpus}-dir {tmp_path}/.")
        assert f"--config {load_corpus(corpus).config} " in found[-1]


# Trainings that go on with others.


def test_word_pieces_of_another_corpus_are_used_and_none_are_made(tmp_path):
    words = ["--stage", "5", "--stop-stage", "6", "--lang-dir", "pieces"]
    (train,) = commands(dry(*words, cwd=tmp_path))
    assert f"--lang-dir {tmp_path}/pieces " in train


def test_word_pieces_that_are_not_there_are_told_before_the_first_stage(tmp_path):
    done = run_sh("--stage", "0", "--lang-dir", tmp_path, "--data-dir", tmp_path / "data")
    assert f"--lang-dir: there is no {tmp_path}/bpe.model; stage 5" in only_line(done, 1)
    assert not (tmp_path / "data").exists()


def test_all_trainings_but_those_of_a_chain_start_from_what_is_given(tmp_path):
    words = ["--systems", "dense omni pruned chain", "--init-from", "exp/first", "--seeds", "0 1"]
    (dense,) = commands(dry("--stage", "6", "--stop-stage", "6", *words, cwd=tmp_path))
    others = commands(dry("--stage", "9", "--stop-stage", "9", *words, cwd=tmp_path))
    assert dense.endswith(f" --init-from {tmp_path}/exp/first")
    for command in others:
        is_chain = "conf/systems/chain.yaml" in command
        assert is_chain != (f" --init-from {tmp_path}/exp/first" in command)
    assert any("conf/systems/chain.yaml" in command for command in others)


def test_an_experiment_to_start_from_that_is_none_is_told_before_the_first_stage(tmp_path):
    words = ["--stage", "0", "--data-dir", tmp_path / "data", "--init-from"]
    line = only_line(run_sh(*words, tmp_path), 1)
    assert f"{tmp_path}: no epoch-N.pt; train first" in line
    line = only_line(run_sh(*words, "x.pt", cwd=tmp_path), 1)
    assert f"{tmp_path}/x.pt: no such checkpoint" in line
    assert not (tmp_path / "data").exists()


def test_a_failing_stage_ends_the_run(tmp_path):
    (tmp_path / "manifests").mkdir()
    done = run_sh("--stage", "3", "--stop-stage", "5", "--data-dir", tmp_path)
    assert "no manifests of" in only_line(done, 1)
    assert "Stage 5" not in done.stdout


def test_every_training_has_the_tracker():
    words = ["--systems", "dense omni pruned", "--stage", "6", "--stop-stage", "9"]
    trainings = [line for line in commands(dry(*words, "--tracker", "mlflow")) if "train " in line]
    assert len(trainings) == 6
    assert all(" --tracker mlflow" in line for line in trainings)
    assert not any("--tracker" in line for line in commands(dry(*words)))


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_trackers_missing_package_is_told_before_the_first_stage(tmp_path):
    words = ["--stage", "3", "--stop-stage", "6", "--data-dir", tmp_path / "data"]
    line = only_line(run_sh(*words, "--tracker", "wandb"), 1)
    assert "--tracker wandb: the package wandb is missing; 'python3 -m pip install wandb'" in line
    assert list(tmp_path.iterdir()) == []
