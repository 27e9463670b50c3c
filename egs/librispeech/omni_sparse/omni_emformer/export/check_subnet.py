# SPDX-License-Identifier: Apache-2.0
"""An exported sub-network held against PyTorch, on whole splits."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from lhotse import CutSet
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emformer import streaming_decode
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding.model import load_decoding_model
from emformer.decoding.run import DecodingRun, Group, Tally
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.errors import RecipeError
from emformer.frontend import PAD_LOG_MEL
from emformer.scoring.consistency import MAX_ABS_DIFF, MIN_IDENTICAL
from emformer.scoring.results import CHUNK_WISE
from emformer.scoring.wer import Utterance, count_errors
from omni_emformer.export.info import read_info
from omni_emformer.export.onnx_model import OnnxTransducer
from omni_emformer.export.sherpa import KINDS, Text, decode_by_sherpa
from omni_emformer.live.features import LiveFeatures, with_silence

#: The plain checkpoint in results; the others are sherpa-onnx with each kind of files.
PYTORCH = "pytorch"
_SYSTEMS = {"float32": "sherpa-onnx", "int8": "sherpa-onnx-int8"}


@dataclasses.dataclass
class Check:
    """A sub-network's files of one kind on one split, by one method.

    Attributes:
      subnet, split, method, kind: What; ``kind`` is ``float32`` or ``int8``.
      max_abs_diff: Largest difference of encoder outputs between onnxruntime and PyTorch; None for
        int8, where it depends on what else is in a batch.
      num_utts: Utterances.
      same_texts: How many have the text in sherpa-onnx that PyTorch finds in the same sound, which
        is the utterance and the silence that follows it in a stream.
      same_as_recipe: How many have the text that PyTorch finds in the recipe's features.
      wer, wer_stream, wer_sherpa: Of PyTorch with the recipe's features and with those of a stream,
        and of sherpa-onnx, in percent.
    """

    subnet: str
    split: str
    method: str
    kind: str
    max_abs_diff: float | None
    num_utts: int
    same_texts: int
    same_as_recipe: int
    wer: float
    wer_stream: float
    wer_sherpa: float

    @property
    def passed(self) -> bool:
        """Within the bounds, which are for float32."""
        enough = self.same_texts >= MIN_IDENTICAL * self.num_utts
        return self.kind != "float32" or (enough and self.max_abs_diff <= MAX_ABS_DIFF)


class _FirstOnes(AsrDataModule):
    """The first ``limit`` utterances of each split."""

    limit: int | None = None

    def cuts(self, split: str) -> CutSet:
        return CutSet.from_cuts(itertools.islice(super().cuts(split), self.limit))


class SubnetCheck:
    """Checks an exported sub-network.

    Args:
      folder: Of the export, with its checkpoint.
      options: Those of emformer.streaming_decode.
      limit: Utterances of each split; None for all.

    Raises:
      RecipeError: Files are missing, or of different weights.
    """

    def __init__(self, folder: Path, options: argparse.Namespace, limit: int | None) -> None:
        exported = read_info(folder)
        changes = {"exp_dir": folder, "device": "cpu", "corpus": options.corpus or exported.corpus}
        args = argparse.Namespace(**{**vars(options), **changes})
        self.folder, self.data = folder, _FirstOnes.from_args(args)
        self.data.limit = limit
        self.run = DecodingRun(args, CHUNK_WISE, load_decoding_model, self.data)
        self.info = self.run.info
        if self.info.weights != exported.weights:
            raise RecipeError(
                f"{folder}: checkpoint and ONNX files differ; delete and export again"
            )
        self.info.subnet = exported.subnet
        self.onnx = OnnxTransducer(folder, exported)

    @torch.no_grad()
    def split(self, split: str) -> list[Check]:
        """Check all methods and kinds on a split; writes the results of all systems."""
        recipe, stream, largest = self.run.tally(), self.run.tally(), 0.0
        cuts = {cut.id: cut for cut in self.data.cuts(split)}
        for group in self.run.groups(split, self.run.args.num_decode_streams):
            expected = streaming_decode.decode_group(self.run, recipe, group)
            blocks = encode_chunk_by_chunk(self.onnx, group.x, group.x_lens)
            found = torch.cat([block for block, _ in blocks], dim=1)
            # max() would pass over an output that is nan.
            largest = float(np.maximum(largest, float((found - expected).abs().max())))
            self._decode_live(stream, group, [cuts[name].load_audio()[0] for name in group.ids])
        wers = self._finish(PYTORCH, split, recipe)
        texts, checks = self._by_sherpa(split), []
        for method, kind in itertools.product(self.run.searches, KINDS):
            mine = [text for text in texts if (text.method, text.kind) == (method, kind)]
            known = [_by_id(tally.utterances[method]) for tally in (stream, recipe)]
            same = [sum(by_id[text.id].hyp == text.words for text in mine) for by_id in known]
            tally = Tally([method], self.run.device)
            tally.encoding.seconds = sum(text.seconds for text in mine)
            tally.audio_seconds = recipe.audio_seconds
            tally.utterances[method] = [
                Utterance(text.id, known[0][text.id].ref, text.words) for text in mine
            ]
            what = (self.info.subnet, split, method, kind)
            difference = largest if kind == "float32" else None
            rates = (wers[method], count_errors(stream.utterances[method]).wer)
            wer = self._finish(_SYSTEMS[kind], split, tally)[method]
            checks.append(Check(*what, difference, len(mine), *same, *rates, wer))
        return checks

    def _by_sherpa(self, split: str) -> list[Text]:
        config = self.info.config.model
        sounds = (
            (cut.id, with_silence(cut.load_audio()[0], config)) for cut in self.data.cuts(split)
        )
        methods, beam_size = list(self.run.searches), self.run.args.beam_size
        return decode_by_sherpa(self.folder, sounds, list(KINDS), methods, beam_size)

    def _decode_live(self, tally: Tally, group: Group, sounds: Sequence[np.ndarray]) -> None:
        """Decode what a stream would hear: the utterances and the silence after them."""
        for search in self.run.searches.values():
            search.start(len(group))
        for block, lens in self._encode_live(sounds):
            for search in self.run.searches.values():
                search.accept(block, lens)
        self.run.note(tally, group)

    def _encode_live(self, sounds: Sequence[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
        model, states = self.run.model, None
        step, window = model.chunk_frames, model.window_frames
        config = self.info.config.model
        features = [LiveFeatures().accept(with_silence(samples, config)) for samples in sounds]
        chunks = torch.tensor([(len(x) - window) // step + 1 for x in features])
        x = pad_sequence(features, batch_first=True, padding_value=PAD_LOG_MEL)
        for k in range(int(chunks.max())):
            out, states = model.encode_chunk(x[:, k * step : k * step + window], states)
            yield out, torch.where(chunks > k, out.size(1), 0)

    def _finish(self, system: str, split: str, tally: Tally) -> dict[str, float]:
        """Write the files and results of a system; returns its WERs by method."""
        run, info = self.run, self.info
        run.args.system_name = system
        if system != PYTORCH:
            changes = {"tail": f"{info.tail}_{system}", "weights": f"{info.weights}-{system}"}
            run.info = dataclasses.replace(info, **changes)
        before = len(run.results)
        run.finish(split, tally)
        run.info = info
        return {result.method: result.wer for result in run.results[before:]}


def _by_id(utterances: Sequence[Utterance]) -> dict[str, Utterance]:
    return {u.id: u for u in utterances}
