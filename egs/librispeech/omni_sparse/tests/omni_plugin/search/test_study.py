# SPDX-License-Identifier: Apache-2.0
"""The study that processes share."""

from concurrent.futures import ThreadPoolExecutor

from omni_plugin.search.study import open_study


def test_no_two_takers_get_the_same_waiting_trial(tmp_path):
    studies = [open_study(tmp_path / "study.db", "it", {}, 10, str(i)) for i in range(2)]
    number = 40
    for i in range(2 * number):
        studies[0].enqueue_trial({"x": i / (2 * number)})

    def take(study) -> list[int]:
        return [study.ask().number for _ in range(number)]

    with ThreadPoolExecutor(2) as pool:
        taken = sum(pool.map(take, studies), [])
    assert sorted(taken) == list(range(2 * number))
