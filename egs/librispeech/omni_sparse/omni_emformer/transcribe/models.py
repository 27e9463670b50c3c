# SPDX-License-Identifier: Apache-2.0
"""Sub-networks to transcribe with, from packed files or from experiments, and what they are."""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.model import Transducer
from emformer.scoring.results import DENSE
from omni_emformer.export.info import INFO, read_info, write_info
from omni_emformer.export.onnx_export import write_onnx
from omni_emformer.export.onnx_model import OnnxTransducer, load_onnx
from omni_emformer.live.packed import PackedStream
from omni_emformer.live.transcriber import Stream, Transcriber
from omni_emformer.live.transcript import Heard
from omni_emformer.runtime.model import pack_transducers, packed_info, packed_subnets
from omni_emformer.supernet.layer_subnets import subnet_name
from omni_emformer.supernet.options import open_subnets
from omni_plugin.runtime import PackedFile
from omni_recognizer import EndpointRules, RecognizerError, load

RUNTIMES = ("packed", "torch", "onnx")
_SUFFIX = ".packed"


@dataclass(frozen=True)
class Loaded:
    """A sub-network in a runtime.

    Args:
      start: Begins a stream, given a method of search and rules for the ends of utterances.
      heard: What transcripts tell of it.
    """

    start: Callable[[str, EndpointRules | None], Stream | PackedStream]
    heard: Heard


def open_models(args: argparse.Namespace) -> list[Loaded]:
    """The sub-networks that a command line names.

    Args:
      args: ``model`` or ``exp_dir``; ``subnet`` or ``compare``; ``runtime`` and ``values``, None
        where they are not given; ``system`` and the options of
        :func:`~emformer.decoding.options.add_weights_options`.

    Raises:
      RecipeError: As :func:`find_packed`, :func:`open_packed` and :func:`open_experiment`; options
        contradict each other.
    """
    names = args.compare or (None if args.subnet is None else [args.subnet])
    packed = find_packed(args.model, args.values) if args.model else None
    if packed is not None and args.runtime in (None, "packed"):
        _refuse_weights(args, packed)
        return open_packed(packed, names, args.values)
    if packed is not None and packed == args.model:
        raise RecipeError(f"--runtime {args.runtime}: {packed} runs in --runtime packed only")
    args.exp_dir = args.exp_dir or args.model
    runtime, values = args.runtime or "packed", args.values or "float32"
    return open_experiment(args, names, runtime, values)


def _refuse_weights(args: argparse.Namespace, packed: Path) -> None:
    given = [name for name in ("epoch", "iter", "use_averaged_model", "system") if vars(args)[name]]
    given += ["avg"] if args.avg != 1 else []
    if given:
        option = "--" + given[0].replace("_", "-")
        raise RecipeError(f"{option} is of an experiment's weights; {packed} has its own")


def find_packed(path: Path, values: str | None = None) -> Path | None:
    """The packed file that a path means: itself, or the one in a folder; None of an experiment.

    Args:
      path: From where the caller is.
      values: Which of ``float32.packed`` and ``int8.packed``, as an export has them; None for the
        first.

    Raises:
      RecipeError: There is nothing there, neither a packed file nor a checkpoint, or several files.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise RecipeError(f"{path}: no such file or folder; --model is a packed file or a folder")
    found = sorted(path.glob(f"*{_SUFFIX}"))
    if len(found) == 1:
        return found[0]
    if found:
        exported = path / f"{values or 'float32'}{_SUFFIX}"
        if exported in found:
            return exported
        names = " and ".join(one.name for one in found[:2])
        raise RecipeError(f"{path} has {names}; say which by --model {found[0]}")
    if not any(path.glob("*.pt")):
        raise RecipeError(
            f"{path}: neither a packed file (*{_SUFFIX}) nor a checkpoint (epoch-N.pt) in it"
        )
    return None


def open_packed(
    path: Path, names: Sequence[float | str] | None = None, values: str | None = None
) -> list[Loaded]:
    """Sub-networks of a packed file.

    Args:
      path: Of the file.
      names: Their sparsities or names; None for the largest one.
      values: What the weights have to be; None for whatever they are.

    Raises:
      RecipeError: The file is damaged, has no such sub-network, or other values.
    """
    known = packed_subnets(path)
    chosen = [_name(one) for one in names or known[:1]]
    return [_open_one(path, name, values, str(path)) for name in chosen]


def _name(subnet: float | str) -> str:
    return subnet if isinstance(subnet, str) else subnet_name(DENSE, subnet)


def _open_one(path: Path, subnet: str, values: str | None, called: str) -> Loaded:
    info, file = packed_info(path, subnet), PackedFile(path)
    if values not in (None, file.values):
        raise RecipeError(f"--values {values}: {path} was packed as {file.values}")
    sizes = {"file_bytes": file.size, "subnet_bytes": file.bytes_of(subnet)}
    try:
        model = load(path)
    except RecognizerError as e:
        raise RecipeError(str(e)) from e
    heard = _heard(info, called, "packed", file.values, **sizes)
    return Loaded(functools.partial(PackedStream, model, subnet), heard)


def _in_python(model: Transducer | OnnxTransducer, info: DecodingInfo, heard: Heard) -> Loaded:
    @functools.cache
    def transcriber(method: str, rules: EndpointRules | None) -> Transcriber:
        return Transcriber(model, info, method, rules)

    return Loaded(lambda method, rules: Stream(transcriber(method, rules)), heard)


def open_experiment(
    options: argparse.Namespace,
    names: Sequence[float | str] | None,
    runtime: str = "packed",
    values: str = "float32",
) -> list[Loaded]:
    """Sub-networks of an experiment.

    Args:
      options: Of the command line: ``exp_dir``, ``system``, ``overrides`` and which weights.
      names: Their sparsities or names; None for the model itself.
      runtime: One of :data:`RUNTIMES`.
      values: ``float32`` or ``int8``.

    Raises:
      RecipeError: There is no such experiment or sub-network; PyTorch has no int8.
    """
    subnets = open_subnets(options, options.system, options.overrides)
    if (options.exp_dir / INFO).exists():  # an export, which is one sub-network of another's
        subnets.info.subnet = read_info(options.exp_dir).subnet
    return [
        _convert(*subnets.make(name), runtime, values, str(options.exp_dir))
        for name in names or [DENSE]
    ]


def _convert(
    model: Transducer, info: DecodingInfo, runtime: str, values: str, called: str
) -> Loaded:
    """A sub-network with plain weights in a runtime."""
    if runtime == "torch":
        if values != "float32":
            raise RecipeError(f"--values {values}: --runtime torch has float32 only")
        return _in_python(model, info, _heard(info, called, runtime, values))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if runtime == "packed":
            pack_transducers(folder / "packed", [lambda: (model, info)], values)
            return _open_one(folder / "packed", info.subnet, None, called)
        write_onnx(model, info, folder, int8=values == "int8")
        write_info(folder, info)
        loaded, _ = load_onnx(folder, values)
        return _in_python(loaded, info, _heard(info, called, runtime, values))


def _heard(info: DecodingInfo, called: str, runtime: str, values: str, **sizes: int) -> Heard:
    numbers = info.num_params, info.num_nonzero, info.sparsity
    return Heard(called, info.subnet, *numbers, runtime, values, **sizes)
