# SPDX-License-Identifier: Apache-2.0
"""The report says what results.jsonl says; all from made-up records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emformer import report as emformer_report
from emformer.errors import RecipeError
from emformer.report import newest_results
from emformer.scoring.bootstrap import paired_difference
from emformer.scoring.references import fingerprint
from emformer.scoring.wer import write_recogs
from omni_emformer.report.__main__ import write_report
from omni_emformer.report.costs import cost_of
from omni_emformer.report.experiments import losses, read_experiment
from omni_emformer.report.runs import Runs
from tests.support.made_up_results import GREEDY, add_result, section, utterances
from tests.support.read_html import PageReader, svg_of


def write_folders(root: Path) -> list[Path]:
    """A dense model with its one-shot pruning, and a supernet; two test sets."""
    dense, omni = root / "dense", root / "omni"
    for split, more in (("test-clean", 0), ("test-other", 5)):
        add_result(dense, "dense", "dense", 4 + more, split=split)
        for subnet, errors in (("0.50", 10), ("0.90", 15)):
            add_result(dense, "one_shot", subnet, errors + more, split=split)
        for subnet, errors in (("dense", 5), ("0.50", 6), ("0.90", 9)):
            changes = {"train_seconds": 80.25, "train_cost": 350.0}
            add_result(omni, "omni", subnet, errors + more, split=split, **changes)
    with (omni / "metrics.jsonl").open("w") as f:
        for update in (100, 200):
            for name in ("0.00", "0.90"):
                value = {f"pruned_loss_sparsity-{name}": 50 / update}
                f.write(json.dumps({"group": "valid", "update": update, **value}) + "\n")
    (dense / "run.sh").write_text(
        "#!/usr/bin/env bash\n/usr/bin/python3 -m emformer.train --seed 0\n"
    )
    (dense / "environment.json").write_text(json.dumps({"git_revision": "def456"}))
    (omni / "sweep.json").write_text(
        json.dumps(
            {
                "commands": ["python3 -m omni_emformer.sweep --exp-dir exp/omni"],
                "coverage": {"omni": {"pattern": "8x1", "num_weights": 30, "num_params": 800}},
            }
        )
    )
    return [dense, omni]


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    return write_folders(tmp_path)


def read(folders) -> list:
    return [read_experiment(folder) for folder in folders]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """The report's folder."""
    root = tmp_path_factory.mktemp("report")
    folders = write_folders(root)
    return write_report(read(folders), root / "out", "python3 -m omni_emformer.report").parent


@pytest.fixture
def page(out) -> str:
    return (out / "RESULTS.md").read_text()


# RESULTS.md.


def test_a_row_a_network_with_its_rates_on_both_test_sets(page):
    table = section(page, "WER: greedy_search, chunk-wise")
    assert [row[:4] for row in table[1:]] == [
        ["dense", "dense", "1,000", "4.00 [3.00, 5.00]"],
        ["one_shot", "0.50", "600", "10.00 [9.00, 11.00]"],
        ["one_shot", "0.90", "280", "15.00 [14.00, 16.00]"],
        ["omni", "dense", "1,000", "5.00 [4.00, 6.00]"],
        ["omni", "0.50", "600", "6.00 [5.00, 7.00]"],
        ["omni", "0.90", "280", "9.00 [8.00, 10.00]"],
    ]
    assert [row[5] for row in table[1:3]] == ["9.00 [8.00, 10.00]", "15.00 [14.00, 16.00]"]


def test_differences_are_the_paired_bootstrap_of_the_texts(page):
    rows = section(page, "WER")[1:]
    assert rows[0][4] == "-"
    d = paired_difference(utterances(4, "test-clean"), utterances(10, "test-clean"))
    assert rows[1][4] == f"**+6.00** (+150 %) [{d.low:+.2f}, {d.high:+.2f}]"
    d = paired_difference(utterances(4, "test-clean"), utterances(5, "test-clean"))
    assert rows[3][4] == f"+1.00 (+25 %) [{d.low:+.2f}, {d.high:+.2f}]"


def test_budget_sizes_and_coverage(page):
    dense, one_shot, omni = section(page, "Training")[1:]
    assert dense == ["dense", "1", "1", "500", "700", "700", "1.00", "1 min 15 s", "1.00"]
    assert one_shot[:3] == ["one_shot: of another's training", "2", "-"]
    assert omni[:7] == ["omni", "3", "1", "500", "700", "350", "0.50"]
    sizes = section(page, "Size")
    assert sizes[3] == ["one_shot", "0.90", "1,000", "280", "720", "72.0 %"]
    assert "omni: pattern 8x1 covers 800 parameters in 30 matrices, 80.0 % of the model" in page


def test_it_is_honest_about_seeds_and_tells_where_all_comes_from(page):
    assert "- 1 seed a system (dense 0, one_shot 0, omni 0); intervals are over utterances" in page
    assert "not over seeds" in page
    assert page.startswith("# Results: synthetic\n")
    assert "test-clean: 20 utterances, 100 words" in page
    assert "trained at def456, unknown; decoded at abc123" in page
    for command in ("python3 -m emformer.train --seed 0\n",
                    "python3 -m omni_emformer.sweep --exp-dir exp/omni\n",
                    "# this page\npython3 -m omni_emformer.report\n"):  # fmt: skip
        assert command in page
    assert "/usr/bin/python3" not in page


def test_every_plot_it_shows_is_there_as_png_and_svg(page, out):
    shown = [line.split("(")[-1][:-1] for line in page.splitlines() if line.startswith("![")]
    assert shown == [
        "wer-greedy_search-chunk-wise.png", "training-curves.png", "layer-sparsity.png",
    ]  # fmt: skip
    for name in shown:
        assert (out / name).stat().st_size > 10_000
        assert (out / name).with_suffix(".svg").exists()


def test_html_has_the_pages_tables_and_plots_in_one_file(page, out):
    read = PageReader((out / "report.html").read_text())
    svgs = sorted(path.read_text() for path in out.glob("*.svg"))
    assert svgs and sorted(svg_of(image["src"]) for image in read.of("img")) == svgs
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [[cell.replace("*", "").strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert read.rows == [row for row in rows if not row[0].startswith(":--")]


def test_versions_are_told_once_where_all_are_alike(folders):
    for folder in folders:
        about = {"git_revision": "def456", "torch": "1.13.1"}
        (folder / "environment.json").write_text(json.dumps(about))
    text = write_report(read(folders), folders[0].parent / "out").read_text()
    assert text.count("torch 1.13.1") == 1 and "\nTrained with torch 1.13.1.\n" in text


def test_versions_that_differ_are_told_with_their_folders(folders):
    for folder, version in zip(folders, ("1.13.1", "2.1.0"), strict=True):
        (folder / "environment.json").write_text(json.dumps({"torch": version}))
    text = write_report(read(folders), folders[0].parent / "out").read_text()
    assert "- dense: trained with torch 1.13.1\n- omni: trained with torch 2.1.0\n" in text


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_environment_is_unknown(folders, content):
    (folders[0] / "environment.json").write_text(content)
    experiment = read_experiment(folders[0])
    assert (experiment.revision, experiment.versions) == ("unknown", {})


# What counts.


def test_the_last_result_of_a_cell_counts(folders):
    add_result(folders[1], "omni", "0.50", 8, train_seconds=80.25)
    points = Runs(read(folders)).points(GREEDY)
    (p,) = [p for p in points if (p.system, p.subnet, p.split) == ("omni", "0.50", "test-clean")]
    assert p.wer == 8.0 and p.difference.mean == 4.0


def test_results_of_an_earlier_training_are_left_out(folders, caplog):
    add_result(folders[1], "omni", "0.50", 8, train_seconds=99.0)
    experiment = read_experiment(folders[1])
    assert [(r.subnet, r.wer) for r in experiment.results] == [("0.50", 8.0)]
    assert "6 results of other checkpoints" in caplog.text


def test_results_of_other_weights_of_a_checkpoint_are_left_out(folders):
    add_result(folders[1], "omni", "0.50", 8, train_seconds=80.25, weights="other averaging")
    found = read_experiment(folders[1]).results
    assert [(r.split, r.wer) for r in found if r.subnet == "0.50"] == [("test-clean", 8.0)]
    assert len(found) == 5


def test_texts_of_another_decoding_give_no_difference(folders):
    path = folders[1] / "streaming/greedy_search/recogs-test-clean-omni-0.50.txt"
    write_recogs(path, utterances(7, "test-clean"))
    (folders[1] / "streaming/greedy_search/recogs-test-clean-omni-0.90.txt").unlink()
    points = Runs(read(folders)).points(GREEDY)
    own = [p for p in points if (p.system, p.split) == ("omni", "test-clean")]
    known = {p.subnet: p.difference for p in own}
    assert known["dense"] is not None
    assert known["0.50"] is known["0.90"] is None


def test_one_shot_starts_at_the_dense_model_and_has_no_training(folders):
    runs = Runs(read(folders))
    untrained = [label for label in runs.systems if runs.is_untrained(label)]
    assert untrained == ["one_shot"]
    line = [p for p in runs.lines(GREEDY) if (p.system, p.split) == ("one_shot", "test-clean")]
    assert sorted((p.num_nonzero, p.wer) for p in line) == [(280, 15.0), (600, 10.0), (1000, 4.0)]


def test_runs_of_one_system_and_seed_are_told_apart_by_their_folders(folders, tmp_path):
    other = tmp_path / "again"
    add_result(other, "omni", "dense", 5, train_seconds=3.0)
    labels = list(Runs(read([*folders, other])).style)
    assert labels[2:] == ["omni (omni)", "omni (again)"]


# Several seeds, several levels.


@pytest.fixture
def seeds(folders, tmp_path) -> list[Path]:
    """The same with a second seed of the supernet, and models pruned one by one."""
    second = tmp_path / "omni-seed1"
    for split, more in (("test-clean", 0), ("test-other", 5)):
        for subnet, errors in (("dense", 7), ("0.50", 10), ("0.90", 13)):
            changes = {"train_seconds": 90.25, "train_cost": 350.0, "seed": 1}
            add_result(second, "omni", subnet, errors + more, split=split, **changes)
    pruned = []
    for subnet, errors in (("0.50", 9), ("0.90", 14)):
        pruned.append(tmp_path / f"pruned-{subnet}")
        for split, more in (("test-clean", 0), ("test-other", 5)):
            add_result(pruned[-1], "pruned", subnet, errors + more, split=split, train_seconds=60.0)
    return [*folders, second, *pruned]


def test_seeds_and_levels_of_a_system_are_one_line(seeds):
    runs = Runs(read(seeds))
    assert list(runs.systems) == ["dense", "one_shot", "omni", "pruned"]
    assert [e.folder.name for e in runs.systems["pruned"]] == ["pruned-0.50", "pruned-0.90"]
    assert set(runs.networks("pruned")) == {"0.50", "0.90"}


def test_a_rate_is_the_mean_over_the_seeds_and_surer_than_none_of_them(seeds):
    found = {(p.system, p.subnet): p for p in Runs(read(seeds)).points(GREEDY)
             if p.split == "test-clean"}  # fmt: skip
    one = found["omni", "0.50"]
    assert one.wer == pytest.approx((6 + 10) / 2)
    # Two seeds 4 points apart: a standard error of 2, times 12.7 of Student's t.
    assert one.low < 8 - 20 and one.high > 8 + 20
    # The dense model has the first seed alone, with which the difference is.
    d = paired_difference(utterances(4, "test-clean"), utterances(6, "test-clean"))
    difference = found["omni", "0.50"].difference
    assert (difference.mean, difference.low) == pytest.approx((d.mean, d.low))
    assert difference.share == pytest.approx(0.5)  # 6 errors of one seed against 4


def test_parameters_are_the_mean_over_seeds_that_keep_other_layers(tmp_path):
    folders = [tmp_path / "simple_top_k", tmp_path / "simple_top_k-seed1"]
    for seed, (folder, size) in enumerate(zip(folders, (480, 440), strict=True)):
        changes = {"seed": seed, "num_params": size, "num_nonzero": size}
        add_result(folder, "simple_top_k", "dense", 5, **changes)
    (point,) = Runs(read(folders)).points(GREEDY)
    assert point.num_params == point.num_nonzero == 460


def test_what_all_sizes_of_a_system_cost_is_summed_over_levels_not_seeds(seeds, tmp_path):
    text = write_report(read(seeds), tmp_path / "out").read_text()
    omni, pruned = section(text, "Training")[3:]
    assert omni == ["omni", "3", "1", "500", "700", "350", "0.50", "1 min 25 s", "1.13"]
    assert pruned == ["pruned", "2", "2", "1,000", "1,400", "1,400", "2.00", "2 min 0 s", "1.59"]
    assert "- 1 to 2 seeds a system (dense 0, one_shot 0, omni 0 1, pruned 0)" in text
    assert "over utterances (bootstrap of Bisani and Ney, 2004) and, where a system has" in text


def test_a_chain_costs_what_it_goes_on_from_too(folders, tmp_path):
    for subnet, seconds in (("0.50", 3.0), ("0.90", 5.0)):
        folder = tmp_path / f"chain-{subnet}"
        changes = {"train_seconds": seconds, "train_updates": 20, "train_passes": 20}
        add_result(folder, "chain", subnet, 9, train_cost=20.0, **changes)
        (folder / "system.yaml").write_text("name: chain\nlevel: 0.5\nchain: {shares: [0.1]}\n")
    runs = Runs(read([folders[0], tmp_path / "chain-0.50", tmp_path / "chain-0.90"]))
    dense, chain = cost_of(runs, "dense"), cost_of(runs, "chain")
    assert (chain.sizes, chain.trainings) == (3, 3)  # with the dense model
    assert chain.whole_passes == dense.whole_passes + 40
    assert chain.seconds == dense.seconds + 8


def test_what_grows_around_a_chain_costs_the_chain_as_far_as_its_core_too(folders, tmp_path):
    for name, subnet, level, system in (
        ("chain", "0.50", 0.5, "shares: [0.1]"),
        ("chain", "0.90", 0.9, "shares: [0.1]"),
        ("nested", "dense", 0.0, "around: chain, core: 0.5"),
    ):
        changes = {"train_seconds": 3.0, "train_updates": 20, "train_passes": 20}
        folder = tmp_path / f"{name}-{subnet}"
        add_result(folder, name, subnet, 9, train_cost=20.0, **changes)
        text = f"name: {name}\nlevel: {level}\nchain: {{{system}}}\n"
        (folder / "system.yaml").write_text(text)
    chain = [tmp_path / f"chain-{level}" for level in ("0.50", "0.90")]
    grown = tmp_path / "nested-dense"
    nested = cost_of(Runs(read([folders[0], *chain, grown])), "nested")
    dense = cost_of(Runs(read([folders[0]])), "dense")
    assert (nested.sizes, nested.trainings) == (2, 3)  # its own, and the core
    assert nested.whole_passes == dense.whole_passes + 40
    alone = read([folders[0], grown])
    assert cost_of(Runs(alone), "nested") is None
    write_report(alone, tmp_path / "out")


def test_a_chain_may_be_the_reference(tmp_path):
    add_result(tmp_path / "chain-0.50", "chain", "0.50", 9, train_cost=20.0)
    system = "name: chain\nlevel: 0.5\nchain: {shares: [0.1]}\n"
    (tmp_path / "chain-0.50" / "system.yaml").write_text(system)
    cost = cost_of(Runs(read([tmp_path / "chain-0.50"])), "chain")
    assert (cost.trainings, cost.whole_passes) == (1, 20.0)


def test_other_utterances_are_not_compared(folders):
    path = folders[1] / "streaming/greedy_search/recogs-test-clean-omni-0.50.txt"
    write_recogs(path, [u._replace(id=u.id + "x") for u in utterances(6, "test-clean")])
    with pytest.raises(RecipeError, match="omni and .*dense decoded other utterances of test-c"):
        Runs(read(folders)).points(GREEDY)


def test_methods_with_other_settings_have_a_section_each(folders, tmp_path):
    for beam, subnet in ((4, "dense"), (8, "dense"), (8, "0.50")):
        add_result(
            folders[1], "omni", subnet, 3, method="modified_beam_search",
            settings={"beam_size": beam}, mode="simulated", train_seconds=80.25,
        )  # fmt: skip
    text = write_report(read(folders), tmp_path / "out").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## WER")]
    assert titles == [
        "## WER: greedy_search, chunk-wise",
        "## WER: modified_beam_search (beam size 8), simulated",
        "## WER: decoded otherwise",
    ]
    (row,) = section(text, "WER: decoded otherwise")[1:]
    assert row[:2] == ["omni", "modified_beam_search (beam size 4), simulated"]
    assert (tmp_path / "out" / "wer-modified_beam_search-beam-size-8-simulated.svg").exists()
    # One size makes no plot.
    assert not (tmp_path / "out" / "wer-modified_beam_search-beam-size-4-simulated.svg").exists()
    assert "beam-size-4-simulated.png" not in text


def test_a_dense_model_alone_can_be_reported(folders, tmp_path):
    other = tmp_path / "alone"
    add_result(other, "dense", "dense", 4)
    text = write_report(read([other]), tmp_path / "out").read_text()
    assert "layer-sparsity" not in text and "training-curves" not in text
    assert section(text, "WER")[1][0] == "dense"


def test_the_table_of_the_whole_model_leaves_out_what_was_pruned_from_it(folders):
    found = newest_results(read_experiment(folders[0]).results)
    assert [(r.system, r.split) for r in found] == [
        ("dense", "test-clean"), ("dense", "test-other"),
    ]  # fmt: skip


# Curves of training.


def test_losses_are_read_by_level_and_the_newer_value_counts():
    records = [
        {"group": "train", "update": 10, "pruned_loss": 9.0},
        {"group": "valid", "update": 20, "pruned_loss_sparsity-0.90": 0.9, "loss_sparsity-0.90": 5},
        {"group": "valid", "update": 20, "pruned_loss_sparsity-0.00": 0.5},
        {"group": "valid", "update": 10, "pruned_loss_sparsity-0.00": 0.7},
        {"group": "valid", "update": 20, "pruned_loss_sparsity-0.00": 0.4},
    ]
    assert losses(records) == {"dense": ([10, 20], [0.7, 0.4]), "0.90": ([20], [0.9])}
    dense = [{"group": "valid", "update": 10, "pruned_loss": 1.0, "simple_loss": 2.0}]
    assert losses(dense) == {"dense": ([10], [1.0])}


def test_losses_have_the_names_that_sub_networks_have_in_results():
    names = ["full", "units-4", "full_sparsity-0.00", "full_sparsity-0.50", "units-4_sparsity-0.50"]
    for name, shown in zip(
        names, ["dense", "units-4", "dense", "0.50", "units-4_0.50"], strict=True
    ):
        record = {"group": "valid", "update": 1, f"pruned_loss_{name}": 1.0}
        assert list(losses([record])) == [shown]


# Mistakes.


def test_an_experiment_without_results_says_what_to_do(tmp_path):
    with pytest.raises(RecipeError, match="results.jsonl.*decode first"):
        read_experiment(tmp_path)
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(RecipeError, match="has no result; decode first"):
        read_experiment(tmp_path)


def test_rates_against_other_references_are_not_compared(folders, tmp_path):
    """That the lines tell; the older ones by their texts."""
    own = {
        split: fingerprint((u.id, u.ref) for u in utterances(4, split))
        for split in ("test-clean", "test-other")
    }
    other, rule = tmp_path / "other", {"normalization": "nmt_nfkc"}
    add_result(other, "small", "dense", 4, references=own["test-clean"], **rule)
    Runs(read([*folders, other]))
    add_result(other, "small", "dense", 4, references="another", **rule)
    message = "scored against other references of test-clean .normalised by no rule and nmt_nfkc"
    with pytest.raises(RecipeError, match=message):
        Runs(read([*folders, other]))


def test_older_lines_are_compared_by_their_texts(folders):
    path = folders[1] / "streaming/greedy_search/recogs-test-clean-omni-0.50.txt"
    texts = utterances(6, "test-clean")
    write_recogs(
        path, [u._replace(ref=["one", *u.ref[1:]], hyp=["one", *u.hyp[1:]]) for u in texts]
    )
    with pytest.raises(RecipeError, match="omni and .*dense were scored against other references"):
        Runs(read(folders)).points(GREEDY)


def test_within_an_experiment_the_newest_references_count(folders, caplog):
    found = fingerprint((u.id, u.ref) for u in utterances(4, "test-clean"))
    add_result(folders[0], "dense", "dense", 7, references="corrected", normalization="nmt_nfkc")
    experiment = read_experiment(folders[0])
    left = [(r.system, r.split) for r in experiment.results]
    assert ("dense", "test-clean") in left and ("one_shot", "test-clean") not in left
    assert left.count(("one_shot", "test-other")) == 2
    assert "3 results against other references of test-clean" in caplog.text
    add_result(folders[0], "dense", "dense", 4, references=found, normalization="nmt_nfkc")
    left = [(r.system, r.split) for r in read_experiment(folders[0]).results]
    assert left.count(("one_shot", "test-clean")) == 2


def test_the_report_of_one_model_has_one_set_of_references(tmp_path, monkeypatch):
    folder, rule = tmp_path / "dense", {"normalization": "nmt_nfkc"}
    add_result(folder, "dense", "dense", 4, method="modified_beam_search", references="a", **rule)
    add_result(folder, "dense", "dense", 5, references="b", **rule)
    monkeypatch.setattr("sys.argv", ["report", "--exp-dir", str(folder)])
    emformer_report.main()
    table = (folder / "report.md").read_text()
    assert "greedy_search" in table and "modified_beam_search" not in table


@pytest.mark.parametrize("change", [{"corpus": "fsdd"}, {"num_words": 99}])
def test_other_test_sets_are_not_compared(folders, tmp_path, change):
    add_result(tmp_path / "other", "omni", "dense", 4, **change)
    with pytest.raises(RecipeError, match="decoded on different data: test-clean"):
        Runs(read([*folders, tmp_path / "other"]))
