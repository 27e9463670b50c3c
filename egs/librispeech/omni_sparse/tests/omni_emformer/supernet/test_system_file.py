# SPDX-License-Identifier: Apache-2.0
"""system.yaml: written as it was trained, refused where it differs."""

import dataclasses

import pytest

from emformer.errors import RecipeError
from omni_emformer.supernet.system import System
from omni_emformer.supernet.system_file import check_same_system, read_system, write_system
from tests.support.supernets import settings

SYSTEM = System("mine", sparsity=settings(), level=0.5)


def test_what_is_written_is_read(tmp_path):
    assert read_system(tmp_path) == {}
    write_system(tmp_path, SYSTEM, seed=3)
    assert read_system(tmp_path) == {**SYSTEM.to_dict(), "seed": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["system.yaml"]


def test_the_same_system_goes_on(tmp_path):
    check_same_system(tmp_path, SYSTEM, seed=0)  # nothing is there yet
    write_system(tmp_path, SYSTEM, seed=0)
    check_same_system(tmp_path, SYSTEM, seed=0)


def test_what_changes_no_weight_may_change(tmp_path):
    write_system(tmp_path, SYSTEM, seed=0)
    other = dataclasses.replace(SYSTEM, name="other", sparsity=settings(valid_levels=[0.1]))
    check_same_system(tmp_path, other, seed=0)


@pytest.mark.parametrize(
    "changes, seed, said",
    [
        ({"sparsity": settings(pattern="4x1")}, 0, "sparsity.pattern was 8x1 and is now 4x1"),
        ({"sparsity": None}, 0, "sparsity.pattern was 8x1 and is now None"),
        ({"level": 0.7}, 0, "level was 0.5 and is now 0.7"),
        ({"model": {"ffn_dim": 8}}, 0, "model.ffn_dim was None and is now 8"),
        ({}, 1, "seed was 0 and is now 1"),
    ],
)
def test_the_first_difference_is_named_in_one_line(tmp_path, changes, seed, said):
    write_system(tmp_path, SYSTEM, seed=0)
    with pytest.raises(RecipeError) as e:
        check_same_system(tmp_path, dataclasses.replace(SYSTEM, **changes), seed)
    assert str(e.value) == f"{tmp_path}/system.yaml: {said}; use another --exp-dir"


def test_a_setting_that_is_newer_than_the_file_is_no_difference(tmp_path):
    write_system(tmp_path, SYSTEM, seed=0)
    path = tmp_path / "system.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "refresh_every" not in line))
    check_same_system(tmp_path, SYSTEM, seed=0)


@pytest.mark.parametrize("content", [b"[", b"- 1\n", b"name: \xff\n"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "system.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match="system.yaml: "):
        read_system(tmp_path)
