# SPDX-License-Identifier: Apache-2.0
"""A decoding from options to result files, whatever the mode."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from emformer.data.asr_datamodule import AsrDataModule, batch_texts
from emformer.decoding.model import DecodingInfo
from emformer.decoding.options import search_settings
from emformer.decoding.progress import Progress, Stopwatch
from emformer.decoding.references import References
from emformer.decoding.search import make_search
from emformer.errors import RecipeError
from emformer.experiment.description import package_versions
from emformer.experiment.logs import setup_logging
from emformer.experiment.revision import git_revision
from emformer.model import Transducer
from emformer.options import start_logging
from emformer.scoring.bootstrap import wer_interval
from emformer.scoring.references import fingerprint
from emformer.scoring.results import CHUNK_WISE, Result, append_result
from emformer.scoring.wer import ErrorCounts, Utterance, write_errs, write_recogs, write_summary

Loader = Callable[[argparse.Namespace], tuple[Transducer, DecodingInfo]]


@dataclass
class Group:
    """Utterances decoded at once.

    Attributes:
        ids, refs: names and reference texts.
        x: features of shape `(N, T, F)`, on the device.
        x_lens: valid frames (100 Hz), of shape `(N,)`, on the device.
        seconds: of audio, all together.
    """

    ids: list[str]
    refs: list[str]
    x: Tensor
    x_lens: Tensor
    seconds: float

    def __len__(self) -> int:
        return len(self.ids)


class Tally:
    """What came out of a split, and the time it took.

    Args:
        methods: names of the searches; they share the encoder's time.
        device: where the model runs.
    """

    def __init__(self, methods: list[str], device: torch.device):
        self.utterances: dict[str, list[Utterance]] = {m: [] for m in methods}
        self.encoding = Stopwatch(device)
        self.searching = {m: Stopwatch(device) for m in methods}
        self.audio_seconds = 0.0

    def rtf(self, method: str) -> float:
        """Seconds of encoder and search for one second of audio."""
        return (self.encoding.seconds + self.searching[method].seconds) / self.audio_seconds


class DecodingRun:
    """Model, data and searches of a decoding, and the files it leaves in the experiment's folder.

    Args:
        args: options of `decoding.options.get_parser`.
        mode: "simulated" or "chunk-wise".
        load: makes the model; see `decoding.model.load_decoding_model`.
        data: the corpus; by default, the one that options and checkpoint name.

    Attributes:
        references: what each split is scored against.
        results: of the splits that are finished, in order.

    Raises:
        RecipeError: an experiment, checkpoint, split or package is missing, options disagree, or
            a split has no words to score against.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        mode: str,
        load: Loader,
        data: AsrDataModule | None = None,
    ):
        self.args, self.mode = args, mode
        self.results: list[Result] = []
        if args.num_threads:
            torch.set_num_threads(args.num_threads)
        # Full float32 on GPUs too, so that a text does not depend on where it was decoded.
        torch.backends.cudnn.allow_tf32 = False
        self.device = _pick_device(args.device)
        model, self.info = load(args)
        self.model = model.to(self.device)
        args.corpus = args.corpus or self.info.corpus
        self.data = AsrDataModule.from_args(args) if data is None else data
        self.splits = list(dict.fromkeys(args.splits or self.data.test_splits()))
        unknown = [split for split in self.splits if split not in self.data.corpus.splits]
        if unknown:
            known = ", ".join(self.data.corpus.splits)
            raise RecipeError(f"--splits {unknown[0]}: corpus {args.corpus} has {known}")
        self.references = {
            split: References(split, self.data.cuts(split), self.info) for split in self.splits
        }
        self.settings = search_settings(args)
        self.searches = {m: make_search(m, model, **s) for m, s in self.settings.items()}
        self._log_start()

    def _log_start(self) -> None:
        info = self.info
        place = f"{self.device}, {torch.get_num_threads()} threads"
        logging.info(f"{self.mode} decoding of {info.checkpoint} ({info.suffix}) on {place}")
        logging.info(f"{info.num_params} parameters, {info.num_nonzero} non-zero")
        logging.info(", ".join(f"{name} {v}" for name, v in package_versions().items()))
        for found in self.references.values():
            for line in found.warnings():
                logging.warning(line)

    def tally(self) -> Tally:
        return Tally(list(self.searches), self.device)

    def progress(self, split: str) -> Progress:
        return Progress(split, self.references[split].num_utts)

    # Data.

    def batches(self, split: str) -> Iterator[Group]:
        """The split in batches of `--max-duration` seconds, the longest utterances first."""
        for raw in self.data.test_dataloader(split, self.args.max_duration):
            cuts = raw["supervisions"]["cut"]
            yield Group(
                ids=[cut.id for cut in cuts],
                refs=batch_texts(raw),
                x=raw["inputs"].to(self.device),
                x_lens=raw["supervisions"]["num_frames"].to(self.device, torch.int64),
                seconds=sum(cut.duration for cut in cuts),
            )

    def groups(self, split: str, size: int) -> Iterator[Group]:
        """The split in groups of `size` utterances, the longest first; the last may be smaller."""
        waiting: list[Group] = []
        for batch in self.batches(split):
            each = batch.seconds / len(batch)  # only sums are ever used
            for i, (name, ref) in enumerate(zip(batch.ids, batch.refs, strict=True)):
                n = batch.x_lens[i]
                waiting.append(Group([name], [ref], batch.x[i, : int(n)], n, each))
                if len(waiting) == size:
                    yield _together(waiting)
                    waiting = []
        if waiting:
            yield _together(waiting)

    # Results.

    def note(self, tally: Tally, group: Group) -> None:
        """Take down the searches' present hypotheses for a group."""
        tally.audio_seconds += group.seconds
        for method, search in self.searches.items():
            with tally.searching[method]:
                hypotheses = search.hypotheses()
            tally.utterances[method] += [
                Utterance(name, self.info.texts.words(ref), self.info.words(tokens))
                for name, ref, tokens in zip(group.ids, group.refs, hypotheses, strict=True)
            ]

    def finish(self, split: str, tally: Tally) -> None:
        """Write the files of a split, log its WER, and append to results and results.jsonl."""
        for method, found in tally.utterances.items():
            utterances = sorted(found)
            folder = self.folder / method
            name = f"{split}-{self.info.suffix}{_setting_words(self.settings[method])}.txt"
            recogs = folder / f"recogs-{name}"
            write_recogs(recogs, utterances)
            counts = write_errs(folder / f"errs-{name}", utterances)
            settings = method + _setting_words(self.settings[method])
            write_summary(folder / f"wer-summary-{name}", {settings: counts.wer})
            interval = wer_interval(utterances)
            logging.info(counts.line(f"{split}-{method}"))
            logging.info(
                f"95 % interval of the WER {interval[0]:.2f} to {interval[1]:.2f}; "
                f"RTF {tally.rtf(method):.4f} over {tally.audio_seconds:.0f} s of audio"
            )
            scored = fingerprint((u.id, u.ref) for u in utterances)
            result = self._result(
                split, method, counts, interval, tally.rtf(method), recogs, scored
            )
            append_result(self.args.exp_dir / "results.jsonl", result)
            self.results.append(result)
            logging.info(f"wrote {folder}/{{recogs,errs,wer-summary}}-{name}")

    @property
    def folder(self) -> Path:
        """Where the files of this mode go, a folder for each method."""
        exp_dir: Path = self.args.exp_dir
        return exp_dir / "streaming" if self.mode == CHUNK_WISE else exp_dir

    def _result(
        self,
        split: str,
        method: str,
        counts: ErrorCounts,
        interval: tuple[float, float],
        rtf: float,
        recogs: Path,
        references: str,
    ) -> Result:
        info, model = self.info, self.info.config.model
        return Result(
            system=self.args.system_name,
            corpus=self.data.corpus.name,
            split=split,
            method=method,
            mode=self.mode,
            chunk_ms=model.chunk_ms,
            right_context_ms=model.right_context_ms,
            left_context_ms=model.left_context_ms,
            wer=counts.wer,
            ins=counts.ins,
            del_=counts.dels,
            sub=counts.subs,
            num_words=counts.num_words,
            num_utts=counts.num_utts,
            num_params=info.num_params,
            num_nonzero=info.num_nonzero,
            sparsity=info.sparsity,
            levels=info.levels,
            train_updates=info.train_updates,
            train_passes=info.train_passes,
            train_cost=info.train_cost,
            train_seconds=info.train_seconds,
            seed=info.seed,
            checkpoint=info.checkpoint,
            config=str(self.args.exp_dir / "config.yaml"),
            git_revision=git_revision(),
            rtf=rtf,
            wer_ci95=list(interval),
            subnet=info.subnet,
            settings=self.settings[method],
            weights=info.weights,
            recogs=str(recogs.relative_to(self.args.exp_dir)),
            normalization=info.normalization,
            references=references,
        )


def open_experiment(exp_dir: Path, name: str, may_be_done: bool = False) -> None:
    """Log to a file of that name in the experiment's folder, and to stderr.

    Args:
        exp_dir: where training wrote.
        name: of the command.
        may_be_done: whether all may be there already; a folder where nothing can be written is then
            opened without a log.

    Raises:
        RecipeError: there is no such folder, or it cannot be written to.
    """
    if not exp_dir.is_dir():
        raise RecipeError(f"{exp_dir}: no such folder; train first (run.sh --stage 6)")
    if may_be_done and not os.access(exp_dir, os.W_OK):
        start_logging()
    else:
        setup_logging(exp_dir / "log", name)


def _pick_device(name: str | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    try:
        device = torch.device(name or ("cuda" if has_gpu else "cpu"))
    except RuntimeError:
        raise RecipeError(f"--device {name}: no such kind of device; use cpu or cuda") from None
    if device.type == "cuda" and not has_gpu:
        raise RecipeError(f"--device {name}: torch sees no GPU here; use --device cpu")
    return device


def _together(utterances: list[Group]) -> Group:
    return Group(
        ids=[u.ids[0] for u in utterances],
        refs=[u.refs[0] for u in utterances],
        x=pad_sequence([u.x for u in utterances], batch_first=True),
        x_lens=torch.stack([u.x_lens for u in utterances]),
        seconds=sum(u.seconds for u in utterances),
    )


def _setting_words(settings: dict) -> str:
    return "".join(f"_{name.replace('_', '-')}-{value}" for name, value in settings.items())
