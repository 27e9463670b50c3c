# SPDX-License-Identifier: Apache-2.0
"""side_by_side.sh: commands at once, and what run.sh trains that way."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from tests.support.processes import RECIPE
from tests.support.run_sh import BASH

HEAD = 'set -eou pipefail\nfail() { echo "error: $*" >&2; exit 1; }\n'
HEAD += f". {RECIPE}/side_by_side.sh\n"
SECONDS = 60  # for what would hang if it were wrong


def script(text: str, tmp_path, **environment) -> subprocess.CompletedProcess:
    os.mkfifo(tmp_path / "fifo")
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    return subprocess.run(
        [BASH, "-c", HEAD + text], cwd=tmp_path, env={**env, **environment}, capture_output=True,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def test_every_line_says_whose_it_is(tmp_path):
    done = script(
        "start_beside 2 1 a sh -c 'echo one; echo two >&2'\n"
        "start_beside 2 1 b echo three\nfinish_beside",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["[a] one", "[a] two", "[b] three"]


def test_two_run_at_once(tmp_path):
    # Each end of a FIFO waits for the other.
    done = script(
        "start_beside 2 1 reader sh -c 'cat fifo'\n"
        "start_beside 2 1 writer sh -c 'echo met > fifo'\nfinish_beside",
        tmp_path,
    )
    assert done.returncode == 0 and done.stdout == "[reader] met\n"


def test_no_more_than_asked_run_at_once(tmp_path):
    job = "start_beside 1 1 {0} sh -c 'echo {0} begins >> log; echo {0} ends >> log'\n"
    done = script("".join(job.format(name) for name in "abc") + "finish_beside", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "log").read_text().split("\n")
    assert lines == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")] + [""]


def test_threads_are_those_given(tmp_path):
    done = script("start_beside 1 3 a sh -c 'echo $OMP_NUM_THREADS'\nfinish_beside", tmp_path)
    assert done.stdout == "[a] 3\n"


def test_the_users_number_of_threads_stays(tmp_path):
    text = "start_beside 1 3 a sh -c 'echo $OMP_NUM_THREADS'\nfinish_beside"
    assert script(text, tmp_path, OMP_NUM_THREADS="5").stdout == "[a] 5\n"


def test_one_is_waited_for_while_another_goes_on(tmp_path):
    done = script(
        "start_beside 2 1 other sh -c 'cat fifo'\n"
        "start_beside 2 1 one sh -c 'echo done > ended'\n"
        "wait_beside one\n[ -e ended ] && echo met > fifo\nfinish_beside",
        tmp_path,
    )
    assert done.returncode == 0 and done.stdout == "[other] met\n", done.stderr


def test_what_was_never_started_is_not_waited_for(tmp_path):
    done = script("wait_beside nobody\necho on", tmp_path)
    assert done.returncode == 0 and done.stdout == "on\n", done.stderr


# A shell that is told between its announcement and its waiting would not hear it, so: Python.
WAITER = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with open("fifo", "w") as fifo:
    fifo.write("up")
signal.sigwait({signal.SIGTERM})
with open("stopped", "w") as stopped:
    stopped.write("stopped")
sys.exit(1)
"""
WAIT = shlex.join([sys.executable, "-c", WAITER])


def test_one_that_fails_is_named_and_stops_the_others(tmp_path):
    done = script(
        f"start_beside 2 1 good {WAIT}\n"
        "start_beside 2 1 bad sh -c 'cat fifo; exit 3'\nfinish_beside; echo not reached",
        tmp_path,
    )
    assert done.returncode == 1 and "not reached" not in done.stdout
    assert done.stderr.startswith("error: bad failed") and done.stderr.count("\n") == 1
    assert (tmp_path / "stopped").read_text() == "stopped"  # written before stdout was closed


@pytest.mark.parametrize("sent, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_script_leaves_nothing_running(tmp_path, sent, status):
    os.mkfifo(tmp_path / "fifo")
    text = HEAD + f"start_beside 2 1 a {WAIT}\nfinish_beside"
    with subprocess.Popen(
        [BASH, "-c", text], cwd=tmp_path, stdout=subprocess.PIPE,
        # Who runs the tests may ignore it, and bash cannot trap what was ignored before it began.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        (tmp_path / "fifo").read_text()  # it is up, and waits for what never comes
        running.send_signal(sent)
        running.communicate(timeout=SECONDS)  # until the last of them has closed its output
        assert running.returncode == status
    assert (tmp_path / "stopped").exists()


# What run.sh starts that way.


@pytest.fixture
def recorded(tmp_path):
    """run.sh with a Python that records its trainings and decodings instead of running them.

    What goes on from a training that has not ended is recorded, too.
    """
    python = tmp_path / "bin/python3"
    python.parent.mkdir()
    python.write_text(
        f"""#!/bin/sh
case "$*" in
  *check_settings*) ;;
  *" emformer."* | *omni_emformer.*)
    echo "${{OMP_NUM_THREADS:-all}} $2 $*" >> {tmp_path}/log
    for word; do
      case $last in
        --start-from) [ -e "$word/ended" ] || echo "too early $*" >> {tmp_path}/log ;;
        --exp-dir) folder=$word ;;
      esac
      last=$word
    done
    case $2 in *.train) mkdir -p "$folder" && touch "$folder/ended" ;; esac ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
    )
    python.chmod(0o755)
    for name in ("data/fbank", "data/lang_bpe_128", "exp/dense"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/lang_bpe_128/bpe.model").touch()

    def run(*words: str) -> list[list[str]]:
        env = {k: v for k, v in os.environ.items() if k not in ("OMNI_SET", "OMP_NUM_THREADS")}
        folders = ("--data-dir", f"{tmp_path}/data", "--exp-root", f"{tmp_path}/exp")
        subprocess.run(
            [BASH, "run.sh", "--stage", "6", *folders, *words],
            cwd=RECIPE, env={**env, "OMNI_PYTHON": str(python)}, check=True, timeout=SECONDS,
        )  # fmt: skip
        return [line.split()[:2] for line in (tmp_path / "log").read_text().splitlines()]

    return run


def test_the_dense_model_and_the_supernet_are_trained_side_by_side(recorded):
    begun = recorded("--stop-stage", "9", "--train-jobs", "2", "--systems", "dense omni")
    assert sorted(what for _, what in begun[:2]) == ["emformer.train", "omni_emformer.train"]
    assert begun[2][1] == "emformer.decode"
    threads = {number for number, what in begun if what.endswith(".train")}
    assert threads == {str((len(os.sched_getaffinity(0)) + 1) // 2)}


def test_with_one_job_the_supernet_is_trained_after_the_dense_model_is_decoded(recorded):
    begun = recorded("--stop-stage", "9", "--train-jobs", "1", "--systems", "dense omni")
    assert [what.split(".")[-1] for _, what in begun] == [
        "train", "decode", "streaming_decode", "report", "train",
    ]  # fmt: skip
    assert {number for number, _ in begun} == {"all"}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_step_of_a_chain_begins_when_the_one_before_has_ended(recorded, jobs):
    words = ("--systems", "dense omni chain", "--seeds", "0 1", "--train-jobs", jobs)
    begun = recorded("--stop-stage", "9", *words)
    assert [what for _, what in begun].count("omni_emformer.train") == 11  # dense of seed 1, too
    assert "too" not in {first for first, _ in begun}


def test_stages_can_be_left_out(recorded):
    words = ("--skip-stages", "7,8", "--systems", "dense omni", "--train-jobs", "1")
    begun = recorded("--stop-stage", "9", *words)
    assert [what for _, what in begun] == ["emformer.train", "omni_emformer.train"]


def test_sweeps_side_by_side_share_the_cores(recorded):
    recorded("--stop-stage", "9", "--systems", "dense omni")
    words = ("--sweep-jobs", "2", "--systems", "dense omni one_shot")
    sweeps = recorded("--stage", "10", "--stop-stage", "10", *words)
    sweeps = [threads for threads, what in sweeps if what == "omni_emformer.sweep"]
    assert sweeps == [str((len(os.sched_getaffinity(0)) + 1) // 2)] * 3


def test_a_single_training_has_all_cores(recorded):
    assert recorded("--stop-stage", "6", "--train-jobs", "2") == [["all", "emformer.train"]]
