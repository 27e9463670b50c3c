# SPDX-License-Identifier: Apache-2.0
"""The study that processes share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from omni_plugin.errors import OmniError
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


@pytest.mark.parametrize("name", ["a?b", "a?mode=memory", "a%20b", "a#b", "a b", "\u00e4;b'c"])
def test_a_study_lies_where_its_path_says(tmp_path, name):
    path = tmp_path / name / "study.db"
    open_study(path, "one", {"made": name}, 10, "seed")
    assert path.is_file() and [p.name for p in tmp_path.iterdir()] == [name]
    # It is found again, and is nobody else's.
    with pytest.raises(OmniError, match="was made with another made"):
        open_study(path, "one", {"made": "other"}, 10, "seed")
