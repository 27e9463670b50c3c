# SPDX-License-Identifier: Apache-2.0
import gzip
import logging
from dataclasses import replace

import numpy as np
import pytest
from lhotse import NumpyFilesWriter

from emformer.data.manifests import read_manifest, write_manifest
from emformer.errors import RecipeError
from local.compute_fbank import main as compute_fbank
from local.validate_manifest import main


@pytest.fixture
def with_features(tiny):
    compute_fbank(tiny.options("--nj", "1"))
    return tiny


def change_cut(tiny, **changes):
    """Rewrite the first training cut's feature manifest."""
    cuts = read_manifest(tiny.paths("train").cuts)
    cuts[0].features = replace(cuts[0].features, **changes)
    write_manifest(cuts, tiny.paths("train").cuts)


def store(tiny, feats):
    """Let the first training cut's features be another matrix than its manifest states."""
    writer = NumpyFilesWriter(tiny.root / "spoiled")
    key = writer.write("feats", feats)
    path = str(writer.storage_path)
    change_cut(tiny, storage_type=writer.name, storage_path=path, storage_key=key)


def test_sound_manifests_pass(tiny):
    assert main(tiny.options()) == 0


def test_sound_features_pass(with_features):
    assert main(with_features.options()) == 0


def test_texts_without_words_and_reserved_symbols_are_counted(tiny, caplog):
    for n, text in enumerate(["\u200b", "ONE <unk> TWO", "<blk> <unk>"]):
        tiny.supervisions["train"][n] = replace(tiny.supervisions["train"][n], text=text)
    tiny.save()
    assert main(tiny.options()) == 0
    assert "tiny: 2 empty text" in caplog.messages
    assert "tiny: 1 reserved symbol <unk> in a text" in caplog.messages


def test_an_empty_manifest(tiny):
    with gzip.open(tiny.paths("dev").supervisions, "wt"):
        pass
    with pytest.raises(RecipeError, match="tiny_supervisions_dev.jsonl.gz is empty; run stage 1"):
        main(tiny.options())


def test_text_without_audio(tiny):
    del tiny.recordings["dev"][1]
    tiny.save()
    with pytest.raises(RecipeError, match="1 errors in 10 utterances: 1 text without audio"):
        main(tiny.options())


def test_audio_without_text_and_empty_text_are_warnings(tiny, caplog):
    del tiny.supervisions["dev"][1]
    tiny.supervisions["train"][0] = replace(tiny.supervisions["train"][0], text="")
    tiny.save()
    with caplog.at_level(logging.WARNING):
        assert main(tiny.options()) == 0
    assert "tiny: 1 audio without text" in caplog.messages
    assert "tiny: 1 empty text" in caplog.messages


def test_duplicates(tiny):
    tiny.supervisions["train"].append(tiny.supervisions["train"][0])
    tiny.recordings["dev"].append(tiny.recordings["dev"][0])
    tiny.save()
    with pytest.raises(RecipeError, match="1 duplicate recording id, 1 duplicate supervision id"):
        main(tiny.options())


def test_recording_in_training_and_test(tiny):
    tiny.recordings["test"].append(tiny.recordings["train"][0])
    tiny.supervisions["test"].append(replace(tiny.supervisions["train"][0], id="test-9"))
    tiny.save()
    with pytest.raises(RecipeError, match="1 recording in both train and test"):
        main(tiny.options())


@pytest.mark.parametrize("changes", [{"num_features": 40}, {"num_frames": 7}])
def test_feature_manifest_of_wrong_size(with_features, changes):
    change_cut(with_features, **changes)
    with pytest.raises(RecipeError, match="1 feature manifest of wrong size"):
        main(with_features.options())


def test_features_not_finite(with_features):
    feats = read_manifest(with_features.paths("train").cuts)[0].load_features()
    feats[3, 5] = np.nan
    store(with_features, feats)
    with pytest.raises(RecipeError, match="1 features not finite"):
        main(with_features.options())


def test_features_of_another_size_than_stated(with_features):
    store(with_features, np.zeros((4, 80), np.float32))
    with pytest.raises(RecipeError, match="1 features of other size than in the manifest"):
        main(with_features.options())


def test_features_gone(with_features):
    for path in with_features.paths("dev").features.rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(RecipeError, match="2 features unreadable"):
        main(with_features.options())


def test_only_some_features_are_read_when_limited(with_features, monkeypatch):
    read = []
    monkeypatch.setattr("local.validate_manifest.feature_problem", lambda c: read.append(c) or "")
    main(with_features.options("--max-features", "2"))
    assert len(read) == 2 + 2 + 2


def test_missing_manifests(tiny):
    tiny.paths("dev").recordings.unlink()
    with pytest.raises(RecipeError, match="no such file: .*run stage 1"):
        main(tiny.options())
