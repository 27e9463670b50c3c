# SPDX-License-Identifier: Apache-2.0
"""Recipes of icefall and the arguments that make them tiny."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lhotse import CutSet

from emformer.data.manifests import read_manifest
from tests.support.processes import RECIPE

STANDIN = RECIPE / "tests/omni_plugin/icefall/standin"
ICEFALL = Path(os.environ.get("ICEFALL_ROOT", "icefall"))


@dataclass(frozen=True)
class Case:
    """A recipe.

    Args:
      name: Of the test.
      root: Where the package ``icefall`` is.
      recipe: Its folder.
      train: Arguments of its train.py.
      decode: Arguments of its decode.py.
      resumes_exactly: Whether weights end the same. Real recipes' do not: the look for memory
        errors, which resuming repeats, may step the optimizer, and modules that change what they
        do in the course of a run (Whiten, batch counts) keep no state.
    """

    name: str
    root: Path
    recipe: Path
    train: tuple[str, ...]
    decode: tuple[str, ...] = ()
    resumes_exactly: bool = True
    #: Sparse from the start, so that a few updates are enough; small matrices have small blocks.
    omni: tuple[str, ...] = (
        *("--omni-ramp", "linear", "--omni-ramp-start", "0", "--omni-ramp-end", "0.2"),
        *("--omni-refresh-every", "4", "--omni-sampler", "sandwich"),
    )


STAND_IN = Case("stand-in", STANDIN, STANDIN / "egs/toy/ASR/tiny", ())

_DATA = (
    *("--full-libri", "0", "--enable-musan", "0", "--enable-spec-aug", "0", "--num-workers", "0"),
    *("--max-duration", "16", "--num-buckets", "2", "--bpe-model", "data/lang_bpe_64/bpe.model"),
    *("--average-period", "2", "--save-every-n", "5"),
)
_DECODE = (
    *("--max-duration", "60", "--num-workers", "0", "--bpe-model", "data/lang_bpe_64/bpe.model"),
)


def _real(name: str, **options: str) -> Case:
    own = tuple(word for key, value in options.items() for word in (_option(key), value))
    recipe = ICEFALL / "egs/librispeech/ASR" / name
    return Case(name, ICEFALL, recipe, (*_DATA, *own), _DECODE, resumes_exactly=False)


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


REAL = {
    case.name: case
    for case in (
        _real(
            "pruned_stateless_emformer_rnnt2",
            attention_dim="64", nhead="2", dim_feedforward="128", num_encoder_layers="2",
            left_context_length="32", segment_length="16", right_context_length="4",
        ),
        _real(
            "pruned_transducer_stateless7_streaming",
            num_encoder_layers="1,1,1,1,1", feedforward_dims="64,64,64,64,64",
            nhead="2,2,2,2,2", encoder_dims="48,48,48,48,48", attention_dims="32,32,32,32,32",
            encoder_unmasked_dims="32,32,32,32,32", cnn_module_kernels="15,15,7,7,15",
            decoder_dim="64", joiner_dim="64", short_chunk_size="20",
        ),
        _real(
            "zipformer",
            num_encoder_layers="1,1,1,1,1,1", feedforward_dim="64,64,64,64,64,64",
            encoder_dim="32,48,48,48,48,48", encoder_unmasked_dim="32,32,32,32,32,32",
            num_heads="2,2,2,2,2,2", query_head_dim="16", pos_head_dim="4", value_head_dim="8",
            pos_dim="16", cnn_module_kernel="15,15,7,7,7,15", decoder_dim="64", joiner_dim="64",
            causal="1", chunk_size="16", left_context_frames="64",
        ),
    )
}  # fmt: skip


def real_data(folder: Path, data: Path) -> None:
    """Give the tiny corpus the names that icefall's LibriSpeech recipes look for."""
    fbank = folder / "data/fbank"
    fbank.mkdir(parents=True)
    (folder / "data/lang_bpe_64").symlink_to(data / "lang_bpe_64")
    for ours, theirs in {
        "train": ("train-clean-100",),
        "dev": ("dev-clean", "dev-other"),
        "test-clean": ("test-clean",),
        "test-other": ("test-other",),
    }.items():
        for name in theirs:
            # With paths that hold from anywhere, since icefall reads them.
            cuts = CutSet.from_cuts(read_manifest(data / f"fbank/synthetic_cuts_{ours}.jsonl.gz"))
            cuts.to_file(fbank / f"librispeech_cuts_{name}.jsonl.gz")
