# SPDX-License-Identifier: Apache-2.0
"""ONNX files with int8 weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic


def quantise(source: Path, target: Path, operators: Sequence[str] = ("MatMul",)) -> None:
    """Write an ONNX file whose products have int8 weights, by onnxruntime's dynamic quantisation.

    Weights are scaled around zero, so what was zero stays zero. Inputs are scaled when it runs, by
    their range over the whole batch: what a stream gives depends on what runs beside it.

    Args:
      source: With float32 weights, none of them sparse (see :func:`store_sparse`).
      target: The new file.
      operators: Which ones are quantised.
    """
    logging.getLogger().addFilter(_no_advice)
    try:
        quantize_dynamic(
            str(source),
            str(target),
            op_types_to_quantize=list(operators),
            weight_type=QuantType.QInt8,
            extra_options={"WeightSymmetric": True},
        )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    """Leaves out what onnxruntime says of every file: to infer shapes and to fuse operators first.

    Weights need neither.
    """
    return "pre-processing" not in record.getMessage()
