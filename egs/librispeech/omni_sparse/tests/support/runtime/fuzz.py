# SPDX-License-Identifier: Apache-2.0
"""Reads packed files with random damage; whoever starts it sees from its exit status if it crashed.

Usage (from the recipe's folder):
  PYTHONPATH=. python3 -m tests.support.runtime.fuzz --number 100000
  PYTHONPATH=. python3 -m tests.support.runtime.fuzz --number 100000 --forge

A damaged file must be refused with an OmniError, or give what the whole one gives. With --forge all
checksums fit, as in a file that is made to do harm: then what is read may be anything, but it must
run without touching memory that is not its own. --library runs code that was compiled elsewhere,
such as with an address sanitizer.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from omni_plugin.errors import OmniError
from omni_plugin.runtime import PackedFile, PackedLinear, header, linear, native
from tests.support.runtime.layers import LEVELS, supernet, write_levels, write_own

_ODD = [-1, 0, 1, 2, 7, 8, 9, 63, 64, 65, 255, 65535, 65536, 2**31 - 1, 2**31, 2**63, 10**30]
_ODD += [None, True, 1.0, "", "int8", "float32", "bool", [], {}, [1, 2], float("nan")]


def damage(data: bytes, rng: random.Random) -> bytes:
    """A copy with a few random changes, anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice([1, 1, 4, 64, 1000]))
        kind = rng.choice(["set", "set", "flip", "zero", "cut", "remove", "add", "copy"])
        if kind == "set":
            changed[start:end] = rng.randbytes(end - start)
        elif kind == "flip" and start < end:
            changed[start] ^= 1 << rng.randrange(8)
        elif kind == "zero":
            changed[start:end] = bytes(end - start)
        elif kind == "cut":
            del changed[start:]
        elif kind == "remove":
            del changed[start:end]
        elif kind == "add":
            changed[start:start] = rng.randbytes(end - start)
        elif kind == "copy":
            other = rng.randrange(len(changed) + 1)
            changed[other : other + end - start] = changed[start:end]
    return bytes(changed)


def damage_header(data: bytes, rng: random.Random) -> bytes:
    """A copy in which some values of the header's JSON text are others."""
    return forged(data, lambda text: _damage(text, rng))


def forged(data: bytes, change: Callable[[dict], object]) -> bytes:
    """A copy whose header's JSON text was changed, with a checksum that fits."""
    magic, version, length, _ = header._START.unpack_from(data)
    begin = header._START.size
    text = json.loads(data[begin : begin + length])
    change(text)
    raw = json.dumps(text).encode()
    raw += b" " * (-(begin + len(raw)) % header.ALIGNMENT)
    start = header._START.pack(magic, version, len(raw), zlib.crc32(raw))
    return start + raw + data[begin + length :]


def _damage(text: dict, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2])):
        here = text
        while True:
            keys = list(here) if isinstance(here, dict) else range(len(here))
            if not keys:
                break
            key = rng.choice(list(keys))
            if isinstance(here[key], (dict, list)) and here[key] and rng.random() < 0.9:
                here = here[key]
                continue
            near = isinstance(here[key], int) and rng.random() < 0.5
            odd = here[key] + rng.choice([-64, -1, 1, 64]) if near else rng.choice(_ODD)
            here[key] = copy.deepcopy(odd)
            break


def read(path: Path, subnet: int) -> dict[str, Tensor]:
    """What a file holds of a sub-network, by its number; each layer has run on some frames."""
    file, found = PackedFile(path), {}
    called = file.subnets[subnet % len(file.subnets)]
    for name, matrix in file.matrices(called).items():
        PackedLinear(matrix)(torch.ones(1 + 8 * (subnet % 2), matrix.cols))
        found[name], found[f"{name} bias"] = matrix.dense(), matrix.bias
    return {**found, **file.tensors(called)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forge", action="store_true")
    parser.add_argument("--library", type=Path)
    args = parser.parse_args()
    if args.library:
        library = native.Library(args.library)
        linear.load_library = lambda source: library
    if args.forge:
        zlib.crc32 = lambda data, value=0: 0
    rng, told = random.Random(args.seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        originals = []
        for values in ("float32", "int8"):
            path = Path(folder) / values
            write_levels(path, supernet(), values=values, meta={"a": "b"})
            own = write_own(Path(folder) / f"own-{values}", values)
            for made in (path, own):
                expected = [read(made, number) for number in range(len(LEVELS))]
                originals.append((made.read_bytes(), expected))
        path = Path(folder) / "damaged"
        for number in range(args.number):
            data, expected = rng.choice(originals)
            how = damage_header if rng.random() < 0.3 else damage
            path.write_bytes(how(data, rng))
            try:
                found = read(path, number)
            except OmniError as e:
                told["refused"] += 1
                assert "\n" not in str(e), e
                continue
            told["read"] += 1
            if not args.forge and how is damage:
                whole = expected[number % len(LEVELS)]
                assert found.keys() == whole.keys(), number
                assert all(torch.equal(found[name], whole[name]) for name in found), number
    print(f"{args.number} damaged files: {dict(told)}")


if __name__ == "__main__":
    main()
