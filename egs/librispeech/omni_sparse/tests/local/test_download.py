# SPDX-License-Identifier: Apache-2.0
from urllib.error import URLError

import pytest

from emformer.errors import RecipeError
from local import download


@pytest.mark.parametrize(
    ("corpus", "function"),
    [("mini_librispeech", "download_librispeech"), ("musan", "download_musan")],
)
def test_no_network_is_one_line(tmp_path, monkeypatch, corpus, function):
    def fail(*_, **__):
        raise URLError("Name or service\nnot known")

    monkeypatch.setattr(download, function, fail)
    with pytest.raises(RecipeError, match=f"download of {corpus} into .* failed") as e:
        download.download(corpus, tmp_path)
    assert "\n" not in str(e.value)


def test_the_parts_of_the_corpus_are_fetched(tmp_path, monkeypatch):
    asked = []

    def fetch(target, dataset_parts):
        asked.extend(dataset_parts)
        return target / "LibriSpeech"

    monkeypatch.setattr(download, "download_librispeech", fetch)
    assert download.download("mini_librispeech", tmp_path) == tmp_path / "LibriSpeech"
    assert asked == ["train-clean-5", "dev-clean-2", "test-clean", "test-other"]


def test_corpus_that_is_no_part_of_librispeech(tmp_path):
    with pytest.raises(RecipeError, match="train, dev, test-clean|train, dev: not a part"):
        download.download("fsdd", tmp_path)
