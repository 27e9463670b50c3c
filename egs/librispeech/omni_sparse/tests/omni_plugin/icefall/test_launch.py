# SPDX-License-Identifier: Apache-2.0
"""Replacing functions of a train.py: what is refused, and the two lines in one's own."""

import re
import shutil

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.icefall import install
from omni_plugin.icefall.__main__ import main
from omni_plugin.icefall.options import settings_of
from omni_plugin.icefall.recipe import ARGUMENTS, FUNCTIONS, check_functions, import_recipe
from tests.support.icefall.cases import STAND_IN
from tests.support.icefall.runner import Runner
from tests.support.icefall.toy import params_of
from tests.support.processes import free_port, run_module


def functions() -> dict:
    def with_arguments(*names: str):
        return eval(f"lambda {', '.join(names)}: None")

    found = {name: with_arguments(*ARGUMENTS.get(name, ())) for name in FUNCTIONS}
    return {**found, "get_model": with_arguments("params")}


@pytest.mark.parametrize("name", [*FUNCTIONS, "get_model"])
def test_a_recipe_without_a_function_is_refused_by_its_name(name):
    check_functions(names := functions(), "recipe/train.py")
    del names[name]
    with pytest.raises(OmniError, match=f"recipe/train.py has no function {name}"):
        check_functions(names, "recipe/train.py")


@pytest.mark.parametrize("function", ARGUMENTS)
def test_a_function_with_other_arguments_is_refused(function):
    names = functions()
    names[function] = lambda batch: None
    with pytest.raises(OmniError, match=f"{function} has no argument params"):
        check_functions(names, "train.py")


def test_a_folder_that_is_no_recipe_is_refused(tmp_path):
    with pytest.raises(OmniError, match="there is no train.py"):
        import_recipe(tmp_path)


def test_functions_are_replaced_once():
    names = functions()
    install(names)
    replaced = dict(names)
    install(names)
    assert names == replaced


def test_what_only_imports_the_file_makes_the_recipes_own_model():
    names = {**functions(), "get_model": lambda params: params["model"]}
    install(names)
    assert names["get_model"]({"model": "dense"}) == "dense"


def test_samplers_that_need_parts_of_a_batch_are_refused(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"sampler": {"name": "split"}}')
    with pytest.raises(OmniError, match="sampler 'split'"):
        settings_of(params_of("--omni-settings", str(path)))


def test_settings_come_from_the_options_and_the_file(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"layer_spread": 0.1}')
    words = ["--omni-pattern", "16x1", "--omni-levels", "0.5", "0.7", "--omni-settings", str(path)]
    words += ["--omni-sampler", "sandwich", "--omni-distillation", "alpha"]
    settings = settings_of(params_of(*words))
    assert settings.pattern == "16x1" and settings.levels == (0.5, 0.7)
    assert settings.layer_spread == 0.1 and settings.distillation.kind == "alpha"
    path.write_text("{")
    with pytest.raises(OmniError, match="--omni-settings"):
        settings_of(params_of("--omni-settings", str(path)))


def test_two_lines_in_a_train_py_train_what_the_launcher_trains(stand_in: Runner):
    own = stand_in.folder / "own"
    shutil.copytree(STAND_IN.recipe, own)
    lines = "from omni_plugin.icefall import install\n\ninstall(globals())\n\n"
    script = own / "train.py"
    before, main, after = script.read_text().rpartition('if __name__ == "__main__":')
    script.write_text(before + lines + main + after)
    words = ["--num-epochs", "1", "--exp-dir"]
    stand_in(script, *STAND_IN.omni, *words, "by-lines")
    stand_in.train("by-launcher", *words[:-1])
    one, other = (stand_in.load(f"by-{how}/epoch-1.pt") for how in ("lines", "launcher"))
    assert "omni" in one
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


def test_a_run_that_goes_on_within_an_epoch_draws_the_same_sub_networks(stand_in: Runner):
    omni = (*STAND_IN.omni, "--omni-refresh-every", 1)
    drawn = []
    for more in ((), ("--start-batch", 5)):
        said = stand_in.train("within", "--num-epochs", 1, *more, omni=omni).stderr
        drawn.append(re.findall(r"omni_plugin: (update .*)", said))
    assert len(drawn[0]) == 8 and drawn[1] == drawn[0][5:]


def test_processes_of_the_installed_command_train_and_do_not_start_it_again(stand_in: Runner):
    script = stand_in.folder / "omni-plugin-icefall"  # as pip writes it
    script.write_text(
        "import sys\n\nfrom omni_plugin.icefall.__main__ import command\n\n"
        'if __name__ == "__main__":\n    sys.exit(command())\n'
    )
    ours = ["--recipe", STAND_IN.recipe, *STAND_IN.omni, "--omni-workaround", "cpu-ddp"]
    theirs = ["--num-epochs", 1, "--world-size", 2, "--master-port", free_port()]
    stand_in(script, "train", *ours, "--", *theirs, "--exp-dir", "by-command")
    assert "omni" in stand_in.load("by-command/epoch-1.pt")


def test_the_recipes_options_go_behind_two_dashes(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "zipformer", "--num-epochs", "1"])
    assert "the recipe's own options go behind --" in capsys.readouterr().err


def test_a_mistake_is_one_line(tmp_path):
    words = ["--recipe", str(tmp_path), "--exp-dir", str(tmp_path), "--subnet", "0.5"]
    done = run_module("omni_plugin.icefall", "bake", *words, check=False)
    assert done.returncode == 1 and "not enough checkpoints" in done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_coverage_is_told_by_class_and_says_what_stays_dense(stand_in: Runner):
    said = stand_in.omni("coverage", "--", "--lstm", "1").stdout
    rows = {line.split()[0]: line.split()[-1] for line in said.splitlines()[2:]}
    for name in ("ScaledLSTM", "ScaledLinear", "DropoutAndLinear"):
        assert float(rows[name].rstrip("%")) > 85
    assert rows["ScaledEmbedding"] == "0.0%"
    assert "stay dense: embedding" in said and "stay dense: used in training only" in said
