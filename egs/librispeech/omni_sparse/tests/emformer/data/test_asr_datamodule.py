# SPDX-License-Identifier: Apache-2.0
import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording
from lhotse.features.io import NumpyFilesWriter

from emformer.config import load_config
from emformer.data.asr_datamodule import AsrDataModule, ShuffledBatches, batch_texts
from emformer.data.corpus import Corpus, load_corpus
from emformer.data.cut_filter import CutFilter
from emformer.data.features import make_extractor
from emformer.data.tokenizer import load_tokenizer
from emformer.errors import RecipeError
from tests.support.training import SMALL_BATCHES, write_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    return load_config(write_config(path, **SMALL_BATCHES))


@pytest.fixture(scope="module")
def data(tiny_data):
    return AsrDataModule(load_corpus("synthetic"), tiny_data)


def filter_for(data, config, tiny_data):
    cut_filter = CutFilter(config, load_tokenizer(tiny_data / "lang_bpe_64"))
    cut_filter.count(data.train_cuts())
    return cut_filter


@pytest.fixture(scope="module")
def cut_filter(data, config, tiny_data):
    return filter_for(data, config, tiny_data)


@pytest.fixture
def order(data, config, cut_filter):
    """Cut ids of an epoch's batches."""

    def of(seed=0, epoch=1, rank=0, world_size=1, **changes) -> list[tuple[str, ...]]:
        training = replace(config.training, **changes)
        sampler = data.train_sampler(cut_filter, training, seed, epoch, rank, world_size)
        return [tuple(cuts.ids) for cuts in sampler]

    return of


def flat(batches) -> list[str]:
    return [name for batch in batches for name in batch]


def assert_same_batches(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        # A loader's process computes with one thread, which may round features otherwise.
        torch.testing.assert_close(a["inputs"], b["inputs"], atol=1e-4, rtol=0)
        assert a["supervisions"]["text"] == b["supervisions"]["text"]


# The order of an epoch.


def test_an_epoch_has_every_cut_once(order, cut_filter):
    names = flat(order())
    assert len(names) == len(set(names)) == cut_filter.num_kept == 64


def test_the_same_seed_and_epoch_give_the_same_order(order):
    assert order(seed=3, epoch=2) == order(seed=3, epoch=2)


def test_epochs_differ_in_their_order(order):
    assert order(epoch=1) != order(epoch=2)
    assert sorted(flat(order(epoch=1))) == sorted(flat(order(epoch=2)))


def test_seeds_differ_in_their_order(order):
    assert order(seed=0) != order(seed=1)


def test_no_epoch_of_a_seed_is_another_epoch_of_another_seed(order):
    assert order(seed=0, epoch=2) != order(seed=1, epoch=1)


def test_a_batch_is_full_and_not_longer_than_asked_for_but_for_its_last_cut(order, data):
    # lhotse ends a batch where one more cut like its longest would be too much.
    seconds = {cut.id: cut.duration for cut in data.train_cuts()}
    batches = order()
    for batch in batches:
        assert len(batch) * max(seconds[name] for name in batch[:-1] or batch) <= 9
    full = [b for b in batches if (len(b) + 1) * max(seconds[name] for name in b) > 9]
    assert len(full) >= len(batches) - 2


@pytest.mark.parametrize("num_buckets", [1, 64, 1000])
def test_fewer_cuts_than_buckets_are_no_problem(order, num_buckets):
    assert len(flat(order(num_buckets=num_buckets))) == 64


@pytest.mark.parametrize("size", [1, 3, 39])
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_handful_of_cuts_is_enough(data, config, tiny_data, size, world_size, monkeypatch):
    few = data.train_cuts().to_eager().subset(first=size)
    monkeypatch.setattr(data, "train_cuts", lambda: few)
    cut_filter = filter_for(data, config, tiny_data)
    for rank in range(world_size):
        sampler = data.train_sampler(cut_filter, config.training, 0, 1, rank, world_size)
        assert 0 < len(flat(batch.ids for batch in sampler)) <= size


def test_ranks_get_different_batches_that_cover_everything(order):
    ranks = [order(rank=rank, world_size=2) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1])
    # The last batch is shared out, where need be by copying a cut.
    one, other = (flat(batches[:-1]) for batches in ranks)
    assert len(set(one + other)) == len(one + other)
    everything = {name.split("_dup")[0] for name in flat(ranks[0]) + flat(ranks[1])}
    assert everything == set(flat(order()))


@pytest.mark.parametrize("skip", [0, 1, 4])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_skipping_gives_the_tail_of_the_same_epoch(data, config, cut_filter, skip, num_workers):
    training = replace(config.training, num_workers=num_workers)
    whole = list(data.train_dataloader(cut_filter, config.training, 5, 2))
    tail = list(data.train_dataloader(cut_filter, training, 5, 2, skip=skip))
    assert_same_batches(tail, whole[skip:])


@pytest.mark.parametrize("epoch", [1, 2])
def test_cuts_in_memory_give_the_batches_of_those_that_are_read(
    data, config, cut_filter, epoch, monkeypatch
):
    def batches(epoch: int) -> list[dict]:
        return list(data.train_dataloader(cut_filter, config.training, 5, epoch))

    batches(1)
    in_memory = batches(epoch)
    monkeypatch.setattr("emformer.data.asr_datamodule._CUTS_IN_MEMORY", 0)
    assert_same_batches(in_memory, batches(epoch))


def test_few_cuts_are_read_once(data, config, cut_filter, monkeypatch):
    first = list(data.train_sampler(cut_filter, config.training, 0, 1))
    monkeypatch.setattr(data, "train_cuts", lambda: pytest.fail("reads the manifest again"))
    second = list(data.train_sampler(cut_filter, config.training, 0, 2))
    assert {c.id for b in first for c in b} == {c.id for b in second for c in b}


def test_another_filter_is_asked_anew(data, config, cut_filter, tiny_data):
    list(data.train_sampler(cut_filter, config.training, 0, 1))
    strict = config.with_training(min_duration=1.0)
    other = filter_for(data, strict, tiny_data)
    batches = list(data.train_sampler(other, strict.training, 0, 1))
    assert batches and min(cut.duration for batch in batches for cut in batch) >= 1.0


def test_a_filtered_cut_is_not_in_any_batch(data, config, tiny_data):
    shortest = min(data.train_cuts(), key=lambda cut: cut.duration)
    other = replace(
        config, training=replace(config.training, min_duration=shortest.duration + 1e-3)
    )
    cut_filter = filter_for(data, other, tiny_data)
    assert 0 < cut_filter.num_kept < 64
    names = flat(b.ids for b in data.train_sampler(cut_filter, other.training, 0, 1))
    assert len(names) == cut_filter.num_kept and shortest.id not in names


def test_splits_of_different_sizes_are_spread_over_the_whole(tiny_data):
    corpus = Corpus("both", "synthetic", ("train", "dev"), ("dev",), ("dev",), 64)
    cuts = AsrDataModule(corpus, tiny_data).train_cuts()
    positions = [i for i, cut in enumerate(cuts) if "-dev-" in cut.id]
    assert len(positions) == 12
    # With equal shares, all of the smaller split would be in the first 35 or so of the 76.
    assert max(positions) > 45


# Batches.


def test_a_test_loader_has_every_cut_once(data):
    for split, size in (("test-clean", 12), ("test-other", 12)):
        loader = data.test_dataloader(split, max_duration=7.0)
        names = [cut.id for batch in loader for cut in batch["supervisions"]["cut"]]
        assert sorted(names) == sorted(cut.id for cut in data.cuts(split))
        assert len(names) == size


def test_a_test_batch_fits_and_a_cut_that_never_fits_is_alone(data):
    loader = data.test_dataloader("test-clean", max_duration=0.1)
    assert [len(batch["supervisions"]["text"]) for batch in loader] == [1] * 12
    for batch in data.test_dataloader("test-clean", max_duration=7.0):
        cuts = batch["supervisions"]["cut"]
        assert len(cuts) * max(cut.duration for cut in cuts) <= 7.0


def test_validation_is_shared_out_over_the_ranks(data, cut_filter):
    texts = []
    for rank in (0, 1, 2):
        loader = data.valid_dataloader(cut_filter, 9, rank, 3)
        texts.append([text for batch in loader for text in batch_texts(batch)])
    kept = [cut.supervisions[0].text for cut in data.valid_cuts() if cut_filter(cut)]
    assert max(map(len, texts)) - min(map(len, texts)) <= 1
    assert sorted(sum(texts, [])) == sorted(kept) and len(kept) > 3


def test_features_on_the_fly_equal_the_stored_ones(tiny_data):
    corpus = load_corpus("synthetic")
    loaders = [
        AsrDataModule(corpus, tiny_data, on_the_fly=fly).test_dataloader("test-clean", 9)
        for fly in (False, True)
    ]
    stored = next(iter(AsrDataModule(corpus, tiny_data).cuts("test-clean"))).features.storage_type
    tolerance = 2e-2 if "lilcom" in stored else 1e-4
    for a, b in zip(*loaders, strict=True):
        assert batch_texts(a) == batch_texts(b)
        lens = a["supervisions"]["num_frames"].tolist()
        assert lens == b["supervisions"]["num_frames"].tolist()
        for x, y, n in zip(a["inputs"], b["inputs"], lens, strict=True):
            assert (x[:n] - y[:n]).abs().max() <= tolerance


def test_texts_are_in_the_order_of_the_inputs(data):
    for batch in data.test_dataloader("test-clean", 9):
        assert batch_texts(batch) == [c.supervisions[0].text for c in batch["supervisions"]["cut"]]


def test_a_cut_with_two_texts_is_refused():
    batch = {
        "inputs": torch.zeros(2, 5, 80),
        "supervisions": {"text": ["A", "B", "C"], "sequence_idx": torch.tensor([0, 0, 1])},
    }
    with pytest.raises(RecipeError, match="a cut has no text or several"):
        batch_texts(batch)


# MUSAN.


@pytest.fixture(scope="module")
def with_musan(tiny_data, tmp_path_factory) -> Path:
    """The tiny corpus with three noises, stored and as audio."""
    root = tmp_path_factory.mktemp("musan")
    (root / "fbank").mkdir()
    for path in (tiny_data / "fbank").iterdir():
        (root / "fbank" / path.name).symlink_to(path)
    recordings = []
    for n in range(3):
        rng = np.random.default_rng(n)
        soundfile.write(root / f"noise-{n}.wav", 0.1 * rng.standard_normal(16000 * 3), 16000)
        recordings.append(Recording.from_file(root / f"noise-{n}.wav"))
    cuts = CutSet.from_cuts(recording.to_cut() for recording in recordings)
    cuts = cuts.compute_and_store_features(
        make_extractor(), str(root / "feats"), storage_type=NumpyFilesWriter, progress_bar=False
    )
    cuts.to_file(root / "fbank" / "musan_cuts.jsonl.gz")
    return root


@pytest.fixture(params=[False, True], ids=["stored", "on the fly"])
def noisy(request, with_musan, config, cut_filter):
    """Batches of an epoch with noise."""

    def of(seed=0, epoch=1, skip=0, num_workers=0):
        data = AsrDataModule(
            load_corpus("synthetic"), with_musan, on_the_fly=request.param, musan=True
        )
        training = replace(config.training, num_workers=num_workers)
        return list(data.train_dataloader(cut_filter, training, seed, epoch, skip))

    return of


def test_noise_is_mixed_into_some_cuts_and_not_into_others(noisy, data, config, cut_filter):
    clean = {
        text: x
        for batch in data.train_dataloader(cut_filter, config.training, 0, 1)
        for text, x in zip(batch_texts(batch), batch["inputs"], strict=True)
    }
    changed = []
    for batch in noisy():
        for text, x in zip(batch_texts(batch), batch["inputs"], strict=True):
            frames = min(len(x), len(clean[text]))
            changed.append(bool((x[:frames] - clean[text][:frames]).abs().max() > 0.5))
    assert len(changed) == 64
    assert 0.25 < sum(changed) / 64 < 0.75


def test_noise_is_a_function_of_seed_epoch_and_batch(noisy):
    assert_same_batches(noisy(), noisy())


def test_noise_does_not_depend_on_the_loaders_processes_or_where_the_run_goes_on(noisy):
    assert_same_batches(noisy(skip=3, num_workers=1), noisy()[3:])


def test_the_same_batch_gets_other_noise_in_another_epoch(with_musan, data, order):
    cuts = data.train_cuts().to_eager().subset(first=8)
    musan = AsrDataModule(load_corpus("synthetic"), with_musan, musan=True)
    draws = [musan.train_dataset(0, epoch)[cuts]["inputs"] for epoch in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_missing_noise_names_the_stage_that_makes_it(data, tiny_data):
    musan = AsrDataModule(load_corpus("synthetic"), tiny_data, musan=True)
    with pytest.raises(RecipeError, match=r"musan_cuts.jsonl.gz: no such manifest; .*--stage 4$"):
        musan.train_dataset(0, 1)


# Options.


def test_a_missing_manifest_names_the_stage_that_makes_it(tmp_path):
    data = AsrDataModule(load_corpus("synthetic"), tmp_path)
    said = r"synthetic_cuts_train.jsonl.gz: no such manifest; make it with run.sh --stage 3$"
    with pytest.raises(RecipeError, match=said):
        data.train_cuts()


def parse(*words: str) -> AsrDataModule:
    parser = argparse.ArgumentParser()
    AsrDataModule.add_arguments(parser)
    return AsrDataModule.from_args(parser.parse_args(words))


def test_the_data_folder_is_named_after_the_corpus():
    assert parse("--corpus", "fsdd").data_dir == Path("data/fsdd")


@pytest.mark.parametrize("word, expected", [("true", True), ("false", False), (None, None)])
def test_musan_is_the_corpuss_unless_said_otherwise(word, expected):
    words = [] if word is None else ["--enable-musan", word]
    for name in ("synthetic", "librispeech"):
        wanted = load_corpus(name).musan if expected is None else expected
        assert parse("--corpus", name, *words).musan is wanted


@pytest.mark.parametrize("option", ["--enable-musan", "--on-the-fly-feats"])
def test_a_switch_takes_true_or_false(option, capsys):
    with pytest.raises(SystemExit):
        parse(option, "perhaps")
    assert "expected true or false" in capsys.readouterr().err


@pytest.mark.parametrize("buffer_size", [1, 7, 1000])
def test_shuffling_keeps_every_batch_once(buffer_size):
    batches = list(range(50))
    found = list(ShuffledBatches(batches, "key", buffer_size=buffer_size))
    assert sorted(found) == batches
    assert (found == batches) == (buffer_size == 1)


def test_the_order_is_a_function_of_the_key():
    first = list(ShuffledBatches(range(50), "0 1"))
    assert list(ShuffledBatches(range(50), "0 1")) == first
    assert list(ShuffledBatches(range(50), "0 2")) != first


def batches_of(*seconds: float) -> list[list[MonoCut]]:
    """Batches of two cuts, the longer of each as long as said."""
    return [[MonoCut(f"{s}", 0, s / 2, 0), MonoCut(f"{s}+", 0, s, 0)] for s in seconds]


def test_the_shortest_batches_can_come_first():
    batches = batches_of(3, 9, 1, 7, 2, 8, 5)
    found = list(ShuffledBatches(batches, "key", shortest_first=3))
    assert [batch[1].duration for batch in found[:3]] == [1, 2, 3]
    assert sorted(batch[1].duration for batch in found[3:]) == [5, 7, 8, 9]


def test_the_shortest_are_those_of_the_batches_held():
    batches = batches_of(3, 9, 1, 7, 2, 8, 5)
    found = [b[1].duration for b in ShuffledBatches(batches, "key", 2, buffer_size=4)]
    assert found[:2] == [1, 3] and sorted(found) == [1, 2, 3, 5, 7, 8, 9]


def test_more_shortest_ones_than_batches_are_all_in_order():
    found = [b[1].duration for b in ShuffledBatches(batches_of(3, 1, 2), "key", 10)]
    assert found == [1, 2, 3]


def test_the_first_epoch_begins_with_the_shortest_and_later_ones_do_not(data, config, cut_filter):
    settings = config.with_training(shortest_first=3).training

    def lengths(epoch: int, settings) -> list[int]:
        loader = data.train_dataloader(cut_filter, settings, 0, epoch)
        return [batch["inputs"].size(1) for batch in loader]

    first = lengths(1, settings)
    assert first[:3] == sorted(first)[:3]
    assert sorted(first) == sorted(lengths(1, config.training))
    assert lengths(2, settings) == lengths(2, config.training)
