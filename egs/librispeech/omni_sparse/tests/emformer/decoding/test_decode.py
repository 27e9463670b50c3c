# SPDX-License-Identifier: Apache-2.0
"""decode.py and streaming_decode.py on a small experiment with random weights."""

import gzip
import json
import math
from types import SimpleNamespace

import pytest
import torch

from emformer import decode, streaming_decode
from emformer.decoding.model import load_decoding_model, share_of_zeros
from emformer.errors import RecipeError
from emformer.experiment.averaging import RunningAverage
from emformer.experiment.checkpoint import save_checkpoint
from emformer.model import make_model, num_deployed_parameters
from emformer.scoring.consistency import Consistency
from emformer.scoring.results import read_results
from emformer.scoring.wer import count_errors, read_recogs
from tests.support.noise_corpus import write_corpus, write_cuts
from tests.support.processes import run_module
from tests.support.random_weights import CONFIG, TOKENS, checkpoint_of

SECONDS = {"test-a": [0.5, 2.3, 1.1, 0.32, 1.9, 1.1, 0.7], "test-b": [1.0, 0.4]}
SUFFIX = "chunk-160_left-context-320_right-context-40_context-2"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Data of two test splits, and an exp folder with two epochs of random weights."""
    root = tmp_path_factory.mktemp("experiment")
    corpus = write_corpus(root, SECONDS)
    (root / "weights").mkdir()
    torch.manual_seed(0)
    model = make_model(CONFIG.model, len(TOKENS))
    average = RunningAverage(model)
    for epoch in (1, 2):
        with torch.no_grad():
            model.joiner.output_linear.weight.normal_()
            model.joiner.output_linear.bias[0] = 0.5
        average.update(model)
        state = checkpoint_of(
            model,
            average,
            seed=7,
            train_updates=10 * epoch,
            train_passes=20 * epoch,
            train_seconds=1.5 * epoch,
        )
        for name in (f"epoch-{epoch}.pt", f"checkpoint-{10 * epoch}.pt"):
            save_checkpoint(root / "weights" / name, state)
    return SimpleNamespace(root=root, **vars(corpus), weights=root / "weights")


@pytest.fixture
def exp_dir(experiment, tmp_path):
    """A fresh exp folder with the experiment's checkpoints."""
    folder = tmp_path / "exp"
    folder.mkdir()
    for path in experiment.weights.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def options(experiment, exp_dir):
    def make(*more):
        return [
            *("--exp-dir", str(exp_dir), "--corpus", str(experiment.yaml)),
            *("--data-dir", str(experiment.data), "--on-the-fly-feats", "true", *more),
        ]

    return make


def has_k2():
    try:
        import k2  # noqa: F401
    except ImportError:
        return False
    return True


ALL_METHODS = ["greedy_search", "modified_beam_search"] + has_k2() * ["fast_beam_search"]


def test_decoding_leaves_the_files_of_icefall_and_a_record(exp_dir, options):
    decode.main(options())
    suffix = f"epoch-2_avg-1_{SUFFIX}_use-averaged-model.txt"
    found = {p.name for p in (exp_dir / "greedy_search").iterdir()}
    assert found == {
        f"{kind}-{split}-{suffix}"
        for kind in ("recogs", "errs", "wer-summary")
        for split in SECONDS
    }
    results = read_results(exp_dir / "results.jsonl")
    assert [r.split for r in results] == ["test-a", "test-b"]
    for r in results:
        utterances = read_recogs(exp_dir / "greedy_search" / f"recogs-{r.split}-{suffix}")
        assert [u.id for u in utterances] == [f"{r.split}-{n}" for n in range(r.num_utts)]
        assert any(u.hyp for u in utterances)
        counts = count_errors(utterances)
        assert (r.wer, r.ins, r.del_, r.sub) == (counts.wer, counts.ins, counts.dels, counts.subs)
        assert (r.num_words, r.num_utts) == (3 * len(SECONDS[r.split]), len(SECONDS[r.split]))
        assert r.wer_ci95[0] <= r.wer <= r.wer_ci95[1]
        assert (r.system, r.corpus, r.method, r.mode) == (
            *("dense", "tiny", "greedy_search", "simulated"),
        )
        assert (r.chunk_ms, r.right_context_ms, r.left_context_ms) == (160, 40, 320)
        assert (r.seed, r.train_updates, r.train_passes, r.train_seconds) == (7, 20, 40, 3.0)
        assert r.checkpoint == str(exp_dir / "epoch-2.pt")
        assert r.rtf > 0
    (log,) = (exp_dir / "log").glob("log-decode-*")
    assert counts.line("test-b-greedy_search") in log.read_text()


# References.


def other_data(tmp_path, text, seconds=(0.7, 1.1)) -> list[str]:
    """Options for the test split test-b with other texts."""
    (tmp_path / "data" / "fbank").mkdir(parents=True)
    write_cuts(tmp_path / "data", "test-b", seconds, text)
    return ["--data-dir", str(tmp_path / "data"), "--splits", "test-b"]


def test_references_are_those_of_the_tokenizer_in_both_modes(exp_dir, options, tmp_path):
    data = other_data(tmp_path, "\uff2f\uff2e\uff25\u200bTWO <unk> THREE")  # full-width ONE
    for module in (decode, streaming_decode):
        module.main(options("--splits", "test-b"))
        module.main(options(*data))
    results = read_results(exp_dir / "results.jsonl")
    assert {r.normalization for r in results} == {"nmt_nfkc"}
    assert [r.num_words for r in results] == [6] * 4
    # The same utterances of the same words as those of the other folder.
    assert len({r.references for r in results}) == 1 and results[0].references
    for r in results:
        assert {tuple(u.ref) for u in read_recogs(exp_dir / r.recogs)} == {("ONE", "TWO", "THREE")}


def test_references_that_the_model_cannot_write_are_told(exp_dir, options, tmp_path):
    decode.main(options(*other_data(tmp_path, "one two three")))
    (log,) = (exp_dir / "log").glob("log-decode-*")
    assert (
        "WARNING test-b: 2 of 2 references hold characters that the model cannot write (such as "
        "'e' in test-b-0)"
    ) in log.read_text()


def test_a_split_without_words_is_refused_before_decoding(exp_dir, options, tmp_path):
    data = other_data(tmp_path, None)
    with pytest.raises(RecipeError, match="test-b: no WER: the references of 2 utterances hold no"):
        decode.main(options(*data))
    with gzip.open(tmp_path / "data" / "fbank" / "tiny_cuts_test-b.jsonl.gz", "wt"):
        pass
    with pytest.raises(RecipeError, match="test-b: no WER: the references of 0 utterances hold no"):
        streaming_decode.main(options(*data))
    assert not (exp_dir / "results.jsonl").exists() and not list(exp_dir.rglob("recogs*"))


def texts(exp_dir, method, mode="simulated", split="test-a"):
    folder = exp_dir / ("streaming" if mode == "chunk-wise" else "") / method
    (path,) = folder.glob(f"recogs-{split}-*")
    return {u.id: u.hyp for u in read_recogs(path)}


@pytest.mark.parametrize("streams", [1, 3, 100])
def test_chunk_wise_decoding_gives_the_simulated_texts(exp_dir, options, streams):
    methods = ["--methods", *ALL_METHODS]
    decode.main(options(*methods))
    streaming_decode.main(
        options(*methods, "--num-decode-streams", str(streams), "--compare-encoders", "true")
    )
    for method in ALL_METHODS:
        for split in SECONDS:
            expected = texts(exp_dir, method, split=split)
            assert any(expected.values())
            assert texts(exp_dir, method, "chunk-wise", split) == expected
    report = json.loads((exp_dir / "streaming" / "consistency-test-a.json").read_text())
    assert report["passed"] and report["num_utts"] == 7
    assert report["max_abs_diff"] <= 1e-4
    assert report["identical_texts"] == {method: 1.0 for method in ALL_METHODS}
    modes = [(r.method, r.mode) for r in read_results(exp_dir / "results.jsonl")]
    assert modes.count(("greedy_search", "chunk-wise")) == 2
    assert len(modes) == 4 * len(ALL_METHODS)


def test_batches_of_any_size_give_the_same_texts(exp_dir, options):
    decode.main(options("--splits", "test-a"))
    together = texts(exp_dir, "greedy_search")
    decode.main(options("--splits", "test-a", "--max-duration", "2.4"))
    assert texts(exp_dir, "greedy_search") == together


def test_settings_of_a_method_stand_in_the_file_names(exp_dir, options):
    decode.main(options("--methods", "modified_beam_search", "--beam-size", "2"))
    names = [p.name for p in (exp_dir / "modified_beam_search").iterdir()]
    assert names and all(name.endswith("_beam-size-2.txt") for name in names)
    (summary,) = (exp_dir / "modified_beam_search").glob("wer-summary-test-b-*")
    wer = read_results(exp_dir / "results.jsonl")[-1].wer
    assert summary.read_text() == f"settings\tWER\nmodified_beam_search_beam-size-2\t{wer:.2f}\n"


def test_options_choose_the_weights(exp_dir, options):
    def joiner(*more):
        kept = {}

        def load(args):
            model, info = load_decoding_model(args)
            kept[info.name + info.tail] = model.joiner.output_linear.weight.detach().clone()
            return model, info

        decode.main(options("--splits", "test-b", *more), load)
        return kept

    raw = torch.load(exp_dir / "checkpoint-10.pt", map_location="cpu")["model"]
    first = raw["joiner.output_linear.weight"]
    plain = ("--use-averaged-model", "false")
    found = joiner("--epoch", "1", *plain)
    torch.testing.assert_close(found["epoch-1_avg-1"], first)
    found = joiner("--iter", "10")
    torch.testing.assert_close(found["iter-10_avg-1"], first)
    second = joiner(*plain)["epoch-2_avg-1"]
    mean = joiner("--avg", "2", *plain)["epoch-2_avg-2"]
    assert not torch.equal(first, second)
    torch.testing.assert_close(mean, (first + second) / 2)


@pytest.mark.parametrize(
    ("flag", "value", "actual"),
    [("--chunk-ms", "640", "160"), ("--num-layers", "12", "2"), ("--frontend", "conv", "stack")],
)
def test_an_option_that_contradicts_the_checkpoint_is_refused_by_name(
    exp_dir, options, flag, value, actual
):
    with pytest.raises(RecipeError, match=f"{flag} {value} contradicts .*epoch-2.pt.* {actual};"):
        decode.main(options(flag, value))
    with pytest.raises(RecipeError, match=f"{flag} {value} contradicts"):
        streaming_decode.main(options(flag, value))
    assert not (exp_dir / "results.jsonl").exists()


def test_an_option_that_agrees_with_the_checkpoint_is_accepted(exp_dir, options):
    decode.main(options("--chunk-ms", "160", "--frontend", "stack", "--splits", "test-b"))
    assert len(read_results(exp_dir / "results.jsonl")) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epoch", "9"], "epoch-9.pt: no such checkpoint"),
        (["--iter", "11"], "checkpoint-11.pt: no such checkpoint"),
        (["--iter", "10", "--avg", "2"], "--iter.*does not go with"),
        (["--splits", "test-c"], "--splits test-c.*test-a"),
        (["--device", "abacus"], "--device abacus"),
        (["--corpus", "tiny"], "unknown corpus 'tiny'"),
    ],
)
def test_wrong_options_are_one_clear_line(options, more, message):
    with pytest.raises(RecipeError, match=message) as e:
        decode.main(options(*more))
    assert "\n" not in str(e.value)


def test_a_missing_experiment_is_a_clear_error_and_makes_no_folder(tmp_path, options):
    with pytest.raises(RecipeError, match="nowhere: no such folder"):
        decode.main(options("--exp-dir", str(tmp_path / "nowhere")))
    assert not (tmp_path / "nowhere").exists()


def test_the_command_line_ends_with_one_line_and_status_1(options):
    done = run_module("emformer.decode", *options("--left-context-ms", "1"), check=False)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(errors) == 1 and errors[0].startswith("error: --left-context-ms 1 contradicts")


def test_another_loader_decodes_what_it_makes_of_the_model(exp_dir, options):
    def half(args):
        model, info = load_decoding_model(args)
        with torch.no_grad():
            for layer in model.encoder.emformer.emformer_layers[:1]:
                for parameter in layer.parameters():
                    if parameter.dim() == 2:
                        parameter[: parameter.size(0) // 2] = 0
        info.measure(model)
        info.tail += "_half"
        return model, info

    decode.main(options("--splits", "test-b", "--system-name", "pruned"), half)
    (r,) = read_results(exp_dir / "results.jsonl")
    assert r.system == "pruned"
    assert r.levels == [0.5, 0.0]
    assert 0 < r.sparsity < 0.25  # half of one of two layers, and a front end
    model, info = load_decoding_model(
        SimpleNamespace(exp_dir=exp_dir, epoch=2, iter=None, avg=1, use_averaged_model=True)
    )
    zeros = r.sparsity * sum(p.numel() for p in model.encoder.parameters() if p.dim() == 2)
    assert r.num_params == num_deployed_parameters(model) == info.num_params
    assert info.num_nonzero - r.num_nonzero == pytest.approx(zeros)
    assert all(p.name.endswith("_half.txt") for p in (exp_dir / "greedy_search").iterdir())


def test_a_difference_between_the_modes_is_found(exp_dir, options):
    def drifting(args):
        model, info = load_decoding_model(args)
        honest = model.encode

        def encode(x, x_lens):
            out, lens = honest(x, x_lens)
            return out + 0.01, lens

        model.encode = encode
        return model, info

    with pytest.raises(RecipeError, match="disagree"):
        streaming_decode.main(options("--compare-encoders", "true"), drifting)
    report = json.loads((exp_dir / "streaming" / "consistency-test-a.json").read_text())
    assert not report["passed"]
    assert report["max_abs_diff"] == pytest.approx(0.01, rel=1e-3)
    assert len(read_results(exp_dir / "results.jsonl")) == 2


def test_consistency_looks_at_valid_frames_only_and_counts_texts():
    found = Consistency(["greedy_search"])
    a, b = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    b[0, 3] = 5.0  # beyond the length
    b[1, 1, 2] = -2e-5
    found.add_outputs(a, b, torch.tensor([3, 4]))
    found.add_texts("greedy_search", [[1], [2]], [[1], [3]])
    summary = found.summary()
    assert summary["num_encoder_frames"] == 7
    assert summary["max_abs_diff"] == pytest.approx(2e-5)
    assert summary["identical_texts"] == {"greedy_search": 0.5}
    assert not summary["passed"]  # the texts differ too often


@pytest.mark.parametrize("value, length", [(0.0, 0), (math.nan, 4)])
def test_outputs_that_cannot_be_compared_have_not_passed(value, length):
    found = Consistency(["greedy_search"])
    zeros = torch.zeros(1, 4, 2)
    for other in (torch.full((1, 4, 2), value), zeros):
        found.add_outputs(zeros, other, torch.tensor([length]))
        found.add_texts("greedy_search", [[]], [[]])
    summary = found.summary()
    assert math.isnan(summary["max_abs_diff"]) and not summary["passed"]


def test_tokens_become_words(exp_dir):
    _, info = load_decoding_model(
        SimpleNamespace(exp_dir=exp_dir, epoch=None, iter=None, avg=1, use_averaged_model=None)
    )
    assert info.words([5, 6, 2, 3, 1, 7]) == ["THREE", "ONE", "FOUR"]
    assert info.words([]) == []


def test_share_of_zeros_is_over_all_entries():
    assert share_of_zeros([torch.tensor([[0.0, 1.0]]), torch.ones(2, 3)]) == pytest.approx(1 / 8)
    assert share_of_zeros([]) is None
