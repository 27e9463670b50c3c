# SPDX-License-Identifier: Apache-2.0
"""Going on where an interrupted run was, and with what it does not."""

import logging
import os
import shutil
import signal
import subprocess

import pytest
import torch

from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint, numbered, save_checkpoint
from tests.support.training import (
    SMALL_BATCHES,
    Interrupted,
    contents,
    difference,
    interrupt_at,
    same_state,
    train_process,
    trainer,
    write_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# Going on.


def test_the_tiny_run_has_what_these_tests_rely_on(undisturbed, updates_per_epoch):
    state = load_checkpoint(undisturbed / "epoch-2.pt")
    assert 9 < updates_per_epoch < 60
    assert state["update"] > updates_per_epoch + 5
    assert state["model_avg"]["num_samples"] == state["update"] // 2


def test_a_run_repeats_bit_for_bit(undisturbed, config, tiny_data, tmp_path):
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_another_seed_gives_other_weights(undisturbed, config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, "--seed", "1", "--num-epochs", "1")
    run.fit()
    assert same_state(tmp_path / "epoch-1.pt", undisturbed / "epoch-1.pt").startswith("/model")


@pytest.mark.parametrize(
    "at", ["mid-epoch", "between checkpoints", "between epochs", "in the second epoch"]
)
def test_going_on_equals_going_through(
    undisturbed, updates_per_epoch, config, tiny_data, tmp_path, at
):
    update = {
        "mid-epoch": 5,
        "between checkpoints": 8,
        "between epochs": updates_per_epoch,
        "in the second epoch": updates_per_epoch + 6,
    }[at]
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(update)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-1.pt", undisturbed / "epoch-1.pt") is None
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_interrupted_again_and_again_it_gets_there(undisturbed, config, tiny_data, tmp_path):
    for update in (6, 11, 16):
        with pytest.raises(Interrupted):
            trainer(tiny_data, config, tmp_path, method=interrupt_at(update)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


def test_going_on_with_a_loader_process_equals_going_through(
    undisturbed, root, tiny_data, tmp_path
):
    config = write_config(root / "one-worker.yaml", num_workers=1, **SMALL_BATCHES)
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(7)).fit()
    trainer(tiny_data, config, tmp_path).fit()
    ours = load_checkpoint(tmp_path / "epoch-2.pt")
    theirs = load_checkpoint(undisturbed / "epoch-2.pt")
    for name in ("model", "model_avg", "optimizer", "scheduler", "update"):
        assert difference(ours[name], theirs[name], name) is None


def test_going_on_with_muon_equals_going_through(root, tiny_data, tmp_path):
    config = write_config(root / "muon.yaml", optimizer="muon", num_epochs=1, **SMALL_BATCHES)
    trainer(tiny_data, config, tmp_path / "whole").fit()
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path / "parts", method=interrupt_at(5)).fit()
    trainer(tiny_data, config, tmp_path / "parts").fit()
    whole, parts = (tmp_path / name / "epoch-1.pt" for name in ("whole", "parts"))
    assert same_state(parts, whole) is None
    states = load_checkpoint(whole)["optimizer"]["state"].values()
    assert any("momentum" in state for state in states)


def test_epochs_can_be_added(config, tiny_data, tmp_path):
    trainer(tiny_data, config, tmp_path, "--num-epochs", "1").fit()
    run = trainer(tiny_data, config, tmp_path, "--num-epochs", "2")
    assert run.epoch == 2
    # The learning rate is the longer schedule's, not the end of the shorter one's.
    fresh = trainer(tiny_data, config, tmp_path / "fresh", "--num-epochs", "2")
    for _ in range(run.update):
        fresh.scheduler.step()
    assert run.optimizer.param_groups[0]["lr"] == fresh.optimizer.param_groups[0]["lr"]


def test_going_on_says_nothing_of_the_schedulers_order(config, tiny_data, tmp_path, recwarn):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, method=interrupt_at(6)).fit()
    run = trainer(tiny_data, config, tmp_path)
    assert run.update == 5
    assert not [w for w in recwarn if "lr_scheduler" in str(w.message)]


def test_a_finished_run_returns_at_once(undisturbed, config, tiny_data, caplog):
    run = trainer(tiny_data, config, undisturbed, method=interrupt_at(-1))
    run.data = None  # needs no data either
    with caplog.at_level(logging.INFO):
        run.fit()
    assert "all 2 epochs are trained" in caplog.text


def test_a_finished_run_whose_files_were_copied_in_another_order_stays_as_it_is(
    undisturbed, config, tiny_data, tmp_path
):
    shutil.copytree(undisturbed, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / "epoch-1.pt", (2**31, 2**31))
    before = contents(tmp_path / "copy")
    process = train_process(tiny_data, config, tmp_path / "copy")
    said = process.communicate()[1]
    assert (process.returncode, said) == (0, f"{tmp_path}/copy: all 2 epochs are trained\n")
    assert contents(tmp_path / "copy") == before


def test_a_finished_run_is_told_without_its_features(undisturbed, config, tiny_data, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lang_bpe_64").symlink_to(tiny_data / "lang_bpe_64")
    process = train_process(tmp_path / "data", config, undisturbed)
    assert "all 2 epochs are trained" in process.communicate()[1]
    assert process.returncode == 0


def test_a_finished_run_of_another_seed_is_refused(undisturbed, config, tiny_data):
    process = train_process(tiny_data, config, undisturbed, "--seed", "1")
    said = process.communicate()[1]
    assert process.returncode == 1
    assert said.startswith("error: ") and "epoch-2.pt: trained with --seed 0" in said


def test_killed_in_the_middle_it_ends_with_the_same_weights(
    undisturbed, config, tiny_data, tmp_path
):
    process = train_process(tiny_data, config, tmp_path)
    for line in process.stderr:
        if "update 8/" in line:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stderr.read()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (tmp_path / "epoch-2.pt").exists()

    again = train_process(tiny_data, config, tmp_path)
    log = again.stderr.read()
    assert again.wait() == 0, log
    again.stderr.close()
    assert "going on from" in log
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None

    # The experiment's own script repeats the command.
    done = subprocess.run(
        ["bash", "run.sh"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all 2 epochs are trained" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_newest_checkpoint_is_named_and_trained_again(
    undisturbed, config, tiny_data, tmp_path, caplog, content
):
    trainer(tiny_data, config, tmp_path).fit()
    before = list(numbered(tmp_path, "checkpoint").values())[-1]
    (tmp_path / "epoch-2.pt").write_bytes(content)
    with caplog.at_level(logging.INFO):
        trainer(tiny_data, config, tmp_path).fit()
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1 and "epoch-2.pt: damaged" in warned[0]
    assert f"going on from {before}" in caplog.text
    assert same_state(tmp_path / "epoch-2.pt", undisturbed / "epoch-2.pt") is None


# Refusals.


def test_exported_weights_are_no_training_to_go_on_with(undisturbed, config, tiny_data, tmp_path):
    state = load_checkpoint(undisturbed / "epoch-2.pt")
    for name in ("optimizer", "scheduler", "sampler", "update"):
        del state[name]
    save_checkpoint(tmp_path / "epoch-1.pt", state)
    with pytest.raises(RecipeError, match="epoch-1.pt: no more than weights"):
        trainer(tiny_data, config, tmp_path)


@pytest.fixture
def interrupted(config, tiny_data, tmp_path):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path / "exp", method=interrupt_at(5)).fit()
    return tmp_path / "exp"


def test_another_seed_is_refused(interrupted, config, tiny_data):
    with pytest.raises(RecipeError, match="trained with --seed 0; use another --exp-dir"):
        trainer(tiny_data, config, interrupted, "--seed", "7")


def test_another_setting_is_refused_by_name(interrupted, config, tiny_data):
    with pytest.raises(RecipeError, match=r"trained with training.base_lr 0.003, now 0.5; use"):
        trainer(tiny_data, config, interrupted, "--base-lr", "0.5")


def test_another_architecture_is_refused_by_name(interrupted, tiny_data, tmp_path):
    other = write_config(tmp_path / "other.yaml", right_context=2, **SMALL_BATCHES)
    with pytest.raises(RecipeError, match=r"trained with model.right_context 1, now 2; use"):
        trainer(tiny_data, other, interrupted)


def test_another_bpe_model_is_refused(interrupted, config, tiny_data, tmp_path):
    from local.train_bpe_model import main

    data = tmp_path / "data"
    data.mkdir()
    for name in ("manifests", "fbank"):
        (data / name).symlink_to(tiny_data / name)
    main(["--corpus", "synthetic", "--data-dir", str(data), "--vocab-size", "48"])
    with pytest.raises(RecipeError, match="trained with another BPE model; use another --exp-dir"):
        trainer(tiny_data, config, interrupted, "--lang-dir", str(data / "lang_bpe_48"))


def test_settings_that_change_no_weight_may_change(interrupted, tiny_data, tmp_path):
    free = {"num_workers": 1, "log_interval": 1, "save_every_n": 7, "keep_last_k": 9}
    other = write_config(tmp_path / "other.yaml", **free, **SMALL_BATCHES)
    assert trainer(tiny_data, other, interrupted).update == 5


def test_a_refused_run_leaves_the_description_as_it_was(interrupted, config, tiny_data):
    before = {p.name: p.read_bytes() for p in interrupted.iterdir() if p.is_file()}
    with pytest.raises(RecipeError):
        trainer(tiny_data, config, interrupted, "--base-lr", "0.5")
    assert {p.name: p.read_bytes() for p in interrupted.iterdir() if p.is_file()} == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_float16_without_a_gpu_is_refused(config, tiny_data, tmp_path):
    with pytest.raises(RecipeError, match="float16 needs a GPU"):
        trainer(tiny_data, config, tmp_path, "--dtype", "float16")
