# SPDX-License-Identifier: Apache-2.0
"""The model that is decoded, and what a result has to tell about it."""

import argparse
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from emformer.config import Config
from emformer.decoding.options import refuse_contradictions
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import (
    Prepare,
    load_checkpoint,
    load_model_for_decoding,
    load_weights,
)
from emformer.model import Transducer, make_model
from emformer.scoring.results import DENSE
from emformer.text import DEFAULT_RULE, TextPipeline, join_pieces


@dataclass
class DecodingInfo:
    """What a result tells about the decoded model.

    Attributes:
        checkpoint: path of the checkpoint file.
        config: the configuration within it.
        tokens: the symbols, by id.
        corpus: name of the corpus it was trained on.
        seed, train_updates, train_passes, train_cost, train_seconds: of its training.
        name: which weights, for file names, such as "epoch-8_avg-1".
        tail: what else tells them apart, at the end of file names, such as "_sparsity-0.50".
        num_params, num_nonzero: of the deployed model.
        sparsity: share of zeros over all matrices (2-D weights) of the encoder.
        levels: the same of each encoder layer, in order; None of one without matrices.
        subnet: what of the checkpoint is decoded: "dense" for all of it.
        weights: what identifies the decoded weights, see `fingerprint`.
        normalization: rule by which its tokenizer reads texts, see `emformer.text`.
    """

    checkpoint: str
    config: Config
    tokens: Sequence[str]
    corpus: str
    seed: int
    train_updates: int
    train_passes: int
    train_cost: float
    train_seconds: float
    name: str
    tail: str = ""
    num_params: int = 0
    num_nonzero: int = 0
    sparsity: float = 0.0
    levels: list[float | None] = field(default_factory=list)
    subnet: str = DENSE
    weights: str = ""
    normalization: str = DEFAULT_RULE

    def measure(self, model: Transducer) -> None:
        """Note what `model` is like, such as its zeros: call it once its weights are final."""
        deployed = [p for n, p in model.named_parameters() if _is_deployed(n)]
        self.num_params = sum(p.numel() for p in deployed)
        self.num_nonzero = sum(int(p.count_nonzero()) for p in deployed)
        self.sparsity = share_of_zeros(_matrices(model.encoder))
        layers = model.encoder.emformer.emformer_layers
        self.levels = [share_of_zeros(_matrices(layer)) for layer in layers]
        self.weights = fingerprint(model)

    def words(self, ids: Iterable[int]) -> list[str]:
        """Token ids to words; reserved symbols, which stand for no text, are left out."""
        pieces = (self.tokens[i] for i in ids)
        return join_pieces(pieces)

    @property
    def texts(self) -> TextPipeline:
        """What reads references as the tokenizer read what the model was trained on."""
        return TextPipeline(self.normalization)

    @property
    def suffix(self) -> str:
        """Weights and chunking, for the names of result files; lengths in milliseconds."""
        model = self.config.model
        return (
            f"{self.name}_chunk-{model.chunk_ms}_left-context-{model.left_context_ms}"
            f"_right-context-{model.right_context_ms}_context-{model.context_size}{self.tail}"
        )


def _is_deployed(name: str) -> bool:
    return not name.startswith("simple_")


def fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits that change with any bit of the deployed weights or their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if _is_deployed(name):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _matrices(module: nn.Module) -> list[Tensor]:
    return [p for p in module.parameters() if p.dim() == 2]


def share_of_zeros(tensors: Iterable[Tensor]) -> float | None:
    """Zeros among all entries of some tensors; None where there are none."""
    tensors = list(tensors)
    total = sum(t.numel() for t in tensors)
    zeros = total - sum(int(t.count_nonzero()) for t in tensors)
    return zeros / total if total else None


def load_decoding_model(
    args: argparse.Namespace, prepare: Prepare | None = None
) -> tuple[Transducer, DecodingInfo]:
    """The model that the options name, in eval mode on the CPU.

    decode.py and streaming_decode.py call nothing else to get their model. To decode something
    made from a checkpoint (such as a sub-network), give their `main` another function of this
    form: call this one, change the weights, then call `info.measure(model)` and set `info.tail`,
    which keeps the files apart. `prepare` is called before the weights are loaded, see
    `checkpoint.load_model_for_decoding`.

    Raises:
        RecipeError: no such checkpoint, or an option contradicts it.
    """
    averaged = args.iter is None and args.use_averaged_model is not False
    if args.iter is None:
        model, state = load_model_for_decoding(
            args.exp_dir, args.epoch, args.avg, averaged, prepare
        )
        name = f"epoch-{state['epoch']}_avg-{args.avg}"
    else:
        model, state = _load_iter(args, prepare)
        name = f"iter-{args.iter}_avg-1"
    config = Config.from_dict(state["config"], state["path"])
    refuse_contradictions(args, config.model, state["path"])
    copied = ("tokens", "normalization", "corpus", "seed")
    trained = ("train_updates", "train_passes", "train_cost", "train_seconds")
    info = DecodingInfo(
        checkpoint=state["path"],
        config=config,
        name=name,
        tail="_use-averaged-model" if averaged else "",
        **{key: state[key] for key in copied + trained},
    )
    info.measure(model)
    return model, info


def _load_iter(args: argparse.Namespace, prepare: Prepare | None) -> tuple[Transducer, dict]:
    if args.epoch is not None or args.avg != 1 or args.use_averaged_model:
        raise RecipeError(
            "--iter takes the weights of one checkpoint as they are; it does not go with "
            "--epoch, --avg or --use-averaged-model true"
        )
    path = Path(args.exp_dir) / f"checkpoint-{args.iter}.pt"
    state = load_checkpoint(path)
    model = make_model(Config.from_dict(state["config"], str(path)).model, state["vocab_size"])
    if prepare is not None:
        prepare(model, state)
    load_weights(model, state["model"], path)
    return model.eval(), {**state, "path": str(path)}
