# SPDX-License-Identifier: Apache-2.0
"""run.sh --set: whose settings they are."""

import shlex

from tests.support.run_sh import commands, dry, only_line, run_sh, stage

SYSTEMS = ["--systems", "dense omni pruned one_shot"]


def test_settings_go_where_their_section_is():
    words = ["--set", "training.base_lr=0.002, sparsity.valid_levels=[0.5, 0.7]"]
    words += ["--set", "one_shot.pattern=16x1"]
    found = commands(dry("--stage", "6", "--stop-stage", "10", *SYSTEMS, *words))
    given = {}
    for command in found:
        tokens = shlex.split(command)
        name = tokens[tokens.index("--system") + 1] if "--system" in tokens else tokens[2]
        values = [tokens[i + 1] for i, word in enumerate(tokens) if word == "--set"]
        given.setdefault((tokens[2], name), []).append(values)
    everywhere, level = "training.base_lr=0.002", "sparsity.valid_levels=[0.5, 0.7]"
    file = "conf/systems/{}.yaml".format
    assert given.pop(("emformer.train",) * 2) == [[everywhere]]
    assert given.pop(("omni_emformer.train", file("omni"))) == [[everywhere, level]]
    assert given.pop(("omni_emformer.train", file("pruned"))) == [[everywhere, level]] * 4
    assert given.pop(("omni_emformer.sweep", file("one_shot"))) == [["one_shot.pattern=16x1"]]
    assert not any(any(values) for values in given.values())


def test_a_section_that_a_file_has_from_another_is_its_section():
    words = ["--systems", "dense random_mask", "--set", "sparsity.shrink=0.3"]
    (command,) = stage(9, *words)
    assert "random_mask" in command and "--set sparsity.shrink=0.3" in command


def test_a_setting_that_nobody_takes_ends_even_a_dry_run():
    line = only_line(dry("--systems", "dense omni", "--set", "chain.epochs=3"), 1)
    assert "--set chain.epochs=3: no section chain in conf/systems/dense.yaml conf/sy" in line


def test_settings_are_checked_before_the_first_stage(tmp_path):
    words = ["--stage", "0", "--data-dir", tmp_path / "data", "--set", "training.base_lrr=1"]
    line = only_line(run_sh(*words), 1)
    assert "--set training.base_lrr=1: conf/demo.yaml has no such setting; did you mean" in line
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_has_an_option_is_not_given_by_both():
    line = only_line(dry("--num-epochs", "2", "--set", "training.num_epochs=3"), 2)
    assert "--set training.num_epochs=3: --num-epochs says it, too" in line


def test_the_package_set_of_old_is_told_its_new_name():
    assert "the package set is now --package-set k2" in only_line(dry("--set", "k2"), 2)


def test_a_remedy_repeats_the_settings(tmp_path):
    own = ["--set", "training.base_lr=0.1", "--set", "sparsity.levels=[0.5, 0.7]"]
    own += ["--systems", "dense omni", "--exp-root", str(tmp_path / "exp")]
    done = run_sh("--stage", "7", "--stop-stage", "7", *own)
    remedy = done.stderr.split("make it with ")[1]
    assert shlex.split(remedy) == ["./run.sh", "--stage", "6", "--stop-stage", "6", *own]
