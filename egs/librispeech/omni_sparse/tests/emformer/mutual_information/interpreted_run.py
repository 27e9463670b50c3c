# SPDX-License-Identifier: Apache-2.0
"""Tables by the Triton kernel without a GPU; see test_triton_tables.py.

Usage: TRITON_INTERPRET=1 python3 -m tests.emformer.mutual_information.interpreted_run OUT.pt
"""

from __future__ import annotations

import sys

import torch

from tests.emformer.mutual_information.lattices import cases, lattice


def main() -> None:
    from emformer.mutual_information import triton_tables  # where there is a Triton

    tables = {name: triton_tables.make_tables(*case, True) for name, case in cases().items()}
    tables["one"] = triton_tables.make_tables(*lattice("regular", 2, 3, 6), False)
    px, py, _ = lattice("regular", 2, 3, 6)
    py[1, 1, 2] = torch.nan
    tables["nan"] = triton_tables.make_tables(px, py, torch.tensor([[0, 0, 3, 6]] * 2), True)
    torch.save(tables, sys.argv[1])


if __name__ == "__main__":
    main()
