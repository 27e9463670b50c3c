# SPDX-License-Identifier: Apache-2.0
"""What decoding tells about its progress without a terminal."""

import logging

import pytest
import torch

from emformer.decoding.progress import Progress, Stopwatch


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)


def test_a_line_for_each_quarter(caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("test-clean", 40)
    for _ in range(40):
        progress.add(1)
    progress.close()
    counts = [message.split()[1] for message in caplog.messages]
    assert counts == ["10/40", "20/40", "30/40", "40/40"]
    assert all("ETA" in message for message in caplog.messages[:-1])
    assert "ETA" not in caplog.messages[-1]


def test_one_line_where_a_step_covers_several_quarters(caplog):
    caplog.set_level(logging.INFO)
    progress = Progress("test-clean", 4)
    progress.add(3)
    progress.add(1)
    assert [message.split()[1] for message in caplog.messages] == ["3/4", "4/4"]


def test_stopwatch_sums_only_what_it_measures(monkeypatch):
    now = iter([1.0, 1.5, 10.0, 12.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    watch = Stopwatch(torch.device("cpu"))
    for _ in range(2):
        with watch:
            pass
    assert watch.seconds == pytest.approx(2.5)
