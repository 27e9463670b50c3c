# SPDX-License-Identifier: Apache-2.0
"""Which weights of a model a supernet prunes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from omni_plugin.errors import OmniError
from omni_plugin.patterns import Pattern
from omni_plugin.supernet.rules import names_found


@dataclass
class CoveredWeight:
    """A weight that is pruned.

    Args:
      name: Of the parameter within the model; for a shared one, its first name.
      parameter: The dense weight.
      places: Every module and attribute that holds it.
    """

    name: str
    parameter: nn.Parameter
    places: list[tuple[nn.Module, str]] = field(default_factory=list)

    @property
    def shape(self) -> torch.Size:
        return self.parameter.shape

    def check_in_place(self) -> None:
        """Raises OmniError if a module holds another parameter by now."""
        for module, attribute in self.places:
            if module._parameters.get(attribute) is not self.parameter:
                raise OmniError(
                    f"{self.name}: the parameter was replaced by another object; load weights into "
                    "it, or make a new supernet; if FSDP did it, train under DDP"
                )


# By name, since not every torch has them, and looking for them would import much.
_SHARDED = {"FullyShardedDataParallel", "FSDPModule", "DTensor"}


def check_whole(model: nn.Module) -> None:
    """Raises OmniError if weights lie in parts on several devices, as FSDP has them."""
    for name, module in model.named_modules():
        things = [module, *(getattr(p, "data", None) for p in module._parameters.values())]
        kinds = {base.__name__ for thing in things for base in type(thing).__mro__}
        if kinds & _SHARDED:
            raise OmniError(
                f"{name or 'the model'} is sharded (FSDP, DTensor); a mask needs whole weights: "
                "train under DDP"
            )


_NEVER = (
    nn.Embedding, nn.EmbeddingBag, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


def is_matrix(parameter: torch.Tensor) -> bool:
    """2-D, or the kernel of a pointwise convolution: 2-D in disguise."""
    return parameter.dim() >= 2 and all(size == 1 for size in parameter.shape[2:])


def find_weights(
    model: nn.Module,
    pattern: Pattern,
    include: Sequence[str] = (r".*",),
    exclude: Sequence[str] = (),
) -> list[CoveredWeight]:
    """The weights that the rules name, in the model's order.

    A matrix is covered, whatever class owns it, if one of ``include`` and none of ``exclude`` is
    found in its name (``re.search``). Embeddings are looked up, not multiplied: never covered,
    nor is a matrix that shares its weights with one. Nor are transposed convolutions, whose rows
    are inputs. A matrix that is added, such as a table of learnt positions, looks like any other:
    exclude it.

    Raises:
      OmniError: A rule is no regular expression or finds no matrix; no weight is left; a weight has
        no room for a block; a recurrent layer is covered, which keeps hidden lists of its
        weights, or a scripted one; or the model is sharded.
    """
    check_whole(model)
    for what, rules in (("include", include), ("exclude", exclude)):
        if isinstance(rules, str) or not all(isinstance(rule, str) for rule in rules):
            raise OmniError(f"{what} is {rules!r:.60}; it must be a list of rules, such as ['.*']")
    matrices: dict[str, CoveredWeight] = {}
    by_id: dict[int, CoveredWeight] = {}
    never = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _NEVER)
        for parameter in module.parameters(recurse=False)
    }
    for prefix, module in model.named_modules():
        # Not named_parameters(), which leaves out the second of two names within one module.
        for attribute, parameter in module._parameters.items():
            name = f"{prefix}.{attribute}" if prefix else attribute
            if parameter is None or id(parameter) in never:
                continue
            if isinstance(parameter, UninitializedParameter):
                raise OmniError(f"{name} has no shape yet; run the model once on some input first")
            if id(parameter) in by_id:
                by_id[id(parameter)].places.append((module, attribute))
            elif is_matrix(parameter):
                weight = CoveredWeight(name, parameter, [(module, attribute)])
                matrices[name] = by_id[id(parameter)] = weight
    included = {name for rule in include for name in _found(rule, matrices, "include")}
    excluded = {name for rule in exclude for name in _found(rule, matrices, "exclude")}
    covered = [weight for name, weight in matrices.items() if name in included - excluded]
    if not covered:
        raise OmniError(
            f"include {list(include)} and exclude {list(exclude)} leave none of the model's "
            f"{len(matrices)} matrices; their names are like {', '.join(list(matrices)[:3])}"
        )
    for weight in covered:
        pattern.check(weight.shape, weight.name)
        for module, attribute in weight.places:
            if isinstance(module, nn.RNNBase):
                raise OmniError(
                    f"{weight.name}: {type(module).__name__} reads its weights from a list of its "
                    f"own, not from .{attribute}; exclude it"
                )
            if isinstance(module, torch.jit.ScriptModule):
                raise OmniError(
                    f"{weight.name} is in a scripted or traced module, which reads no masks; make "
                    "the supernet of the Python model, and script what it bakes"
                )
    return covered


def _found(rule: str, names: dict[str, CoveredWeight], what: str) -> list[str]:
    none = f"matches none of the model's {len(names)} matrices"
    return names_found(rule, names, f"{what} rule", none)


def coverage_report(
    model: nn.Module, covered: Sequence[CoveredWeight], pattern: Pattern
) -> tuple[str, float]:
    """What is covered, to read, and its share of the model's parameters.

    The share counts only weights within whole blocks, which alone can be pruned.
    """
    total = sum(p.numel() for p in model.parameters())
    lines, sum_blocks = [], 0
    for weight in covered:
        g, h = pattern.grid(weight.shape)
        inside = g * h * pattern.block_size
        sum_blocks += inside
        outside = weight.parameter.numel() - inside
        note = f", {outside} weights outside whole blocks stay dense" if outside else ""
        lines.append(f"  {weight.name} {tuple(weight.shape)}: {inside}{note}")
    share = sum_blocks / total
    head = (
        f"pattern {pattern.name} covers {len(covered)} weights with {sum_blocks} of {total} "
        f"parameters ({share:.1%})"
    )
    return "\n".join([head, *lines]), share
