# SPDX-License-Identifier: Apache-2.0
"""The page of the benchmark: tables and plots of bytes, memory, times and word error rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from omni_emformer.benchmark.files import DENSE, INT8, PACKED, PACKED_INT8, SPARSE
from omni_emformer.benchmark.ways import WAYS
from omni_plugin.report import Style, markdown_table, save, styles
from omni_plugin.report.style import clean, looks

_MB = _MILLION = 1e6
_SIZE_NOTE = """\
MB are 1,000,000 bytes. ONNX files are encoder, decoder and joiner together; *sparse* ones have
their matrices without zeros (`sparse_initializer`) where that saves a tenth of their bytes, and
so have int8 ones. A runtime makes them dense again when it loads them."""
_TIME_NOTE = """\
{utterances} utterances, {audio:.0f} s of audio. All ways stream each utterance in turn, in a
random order, in one process. *Chunk* is encoder and greedy search of {chunk_ms} ms of sound:
median and 95th percentile. RTF counts the features, too. *Times faster* is against {rival_way}
on {rival_subnet}: the median over utterances of the ratio of their times, and its 95 % bootstrap
interval. All times are processor time. Zeros save time in the packed runtime only: PyTorch,
onnxruntime and sherpa-onnx multiply by them. *Memory* is the peak while it decodes above that of
the process before it loaded the model, in a process of its own."""
_WER_NOTE = """\
Greedy search, chunk by chunk, whole test splits. sherpa-onnx computes its own features, in which
an utterance ends in silence; the others have the recipe's. onnxruntime is listed with what
sherpa-onnx, which computes by it, made of the same files."""
_FORMS = (DENSE, SPARSE, INT8, PACKED, PACKED_INT8)
#: What belongs together has a colour; int8 is dashed.
_LOOKS = {
    "PyTorch": Style("#000000", "o"),
    "onnxruntime": Style("#0072B2", "s"),
    "onnxruntime int8": Style("#0072B2", "D", "--"),
    "sherpa-onnx": Style("#009E73", "^"),
    "sherpa-onnx int8": Style("#009E73", "v", "--"),
    "packed": Style("#D55E00", "P"),
    "packed int8": Style("#D55E00", "X", "--"),
}


def write_page(record: dict, folder: Path, command: str) -> Path:
    """Write benchmark.md and its plots; returns its path.

    Args:
      record: What benchmark.json holds.
      folder: Where to.
      command: What makes the page.
    """
    subnets, rival = record["subnets"], record["rival"]
    save(time_figure(subnets), folder / "benchmark-time")
    save(size_figure(subnets), folder / "benchmark-bytes")
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    sections = [
        f"# Benchmark: {record['checkpoint']}",
        f"{record['cpu']}, one thread; {versions}",
        f"## Size\n\n{size_table(subnets)}",
        _SIZE_NOTE,
        "![bytes against parameters](benchmark-bytes.png)",
        f"## Time\n\n{time_table(subnets)}",
        _TIME_NOTE.format(**record, rival_way=rival[1], rival_subnet=rival[0]),
        "![word error rate against time](benchmark-time.png)",
        f"## Word error rate\n\n{wer_table(subnets)}",
        _WER_NOTE,
        f"## Command\n\n```\n{command}\n```",
    ]
    path = folder / "benchmark.md"
    path.write_text("\n\n".join(sections) + "\n")
    return path


def size_table(subnets: Sequence[dict]) -> str:
    head = ["sub-network", "parameters", "zeros"]
    head += [f"{form} MB (gzip)" for form in _FORMS]
    rows = []
    for one in subnets:
        zeros = 1 - one["num_nonzero"] / one["num_params"]
        row = [one["subnet"], f"{one['num_params']:,}", f"{100 * zeros:.1f} %"]
        for form in _FORMS:
            size = one["bytes"][form]
            row.append(f"{size['stored'] / _MB:.2f} ({size['gzip'] / _MB:.2f})")
        rows.append(row)
    return markdown_table(head, rows)


def time_table(subnets: Sequence[dict]) -> str:
    head = ["sub-network", "way", "encoder ms [95th %]", "times faster", "chunk ms [95th %]"]
    head += ["times faster", "RTF", "memory MB"]
    rows = []
    for one in subnets:
        for name, way in one["ways"].items():
            row = [one["subnet"], name]
            row += [_median(way["encoder_ms"]), _interval(way["encoder_times_faster"])]
            row += [_median(way["chunk_ms"]), _interval(way["times_faster"])]
            memory = "-" if way["memory"] is None else f"{way['memory'] / _MB:.1f}"
            rows.append([*row, f"{way['real_time_factor']:.4f}", memory])
    return markdown_table(head, rows, text_columns=2)


def _median(pair: Sequence[float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:.2f} [{pair[1]:.2f}]"


def _interval(three: Sequence[float] | None) -> str:
    return "-" if three is None else f"{three[0]:.2f} [{three[1]:.2f}, {three[2]:.2f}]"


def wer_table(subnets: Sequence[dict]) -> str:
    rows = []
    for one in subnets:
        for split in _splits(subnets):
            wers = [way["wer"].get(split) for way in one["ways"].values()]
            cells = ["-" if wer is None else f"{wer:.2f}" for wer in wers]
            rows.append([one["subnet"], split, *cells])
    return markdown_table(["sub-network", "split", *WAYS], rows, text_columns=2)


def _splits(subnets: Sequence[dict]) -> list[str]:
    return sorted({s for one in subnets for way in one["ways"].values() for s in way["wer"]})


def time_figure(subnets: Sequence[dict]) -> Figure:
    """Word error rate against the time of a chunk: a panel a split, a line for each way."""
    splits = _splits(subnets) or [""]
    with looks():
        figure = Figure(figsize=(1.0 + 5.6 * len(splits), 5.2), layout="constrained")
        panels = figure.subplots(1, len(splits), squeeze=False)[0]
        for axes, split in zip(panels, splits, strict=True):
            for name in WAYS:
                found = [
                    (
                        one["ways"][name]["chunk_ms"][0],
                        one["ways"][name]["wer"][split],
                        one["subnet"],
                    )
                    for one in subnets
                    if split in one["ways"][name]["wer"]
                ]
                if not found:  # such as sherpa-onnx before it was checked
                    continue
                _line(axes, [x for x, *_ in found], [y for _, y, _ in found], name)
                if name == "packed":
                    _name_points(axes, found)
            axes.set_title(split, fontweight="bold")
            axes.set_xscale("log")
            _plain_numbers(axes.xaxis)
            axes.set_xlabel("encoder and search of a chunk (ms, one thread)")
            axes.margins(0.1)
            clean(axes)
        panels[0].set_ylabel("word error rate (%)")
        _legend(figure, panels[0])
    return figure


def size_figure(subnets: Sequence[dict]) -> Figure:
    """Bytes of each form of storage against the parameters that are not zero; gzipped ones thin."""
    looks_of = styles(_FORMS)
    with looks():
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        axes = figure.subplots()
        order = sorted(subnets, key=lambda one: -one["num_nonzero"])
        # Not the share of zeros: smaller sizes of a layer selection have none.
        nonzero = [one["num_nonzero"] / _MILLION for one in order]
        for form in _FORMS:
            look = looks_of[form]
            for kind, width, style in (("stored", 1.8, "-"), ("gzip", 0.9, ":")):
                axes.plot(
                    nonzero, [one["bytes"][form][kind] / _MB for one in order], color=look.colour,
                    marker=look.marker, markersize=6 if kind == "stored" else 3, linewidth=width,
                    linestyle=style, label=form if kind == "stored" else None,
                    markeredgecolor="white", markeredgewidth=0.6,
                )  # fmt: skip
        axes.plot([], [], color="0.4", linestyle=":", linewidth=0.9, label="the same, gzipped")
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
        axes.set_xlabel("non-zero parameters (millions)")
        axes.set_ylabel("MB on disk")
        clean(axes)
        _legend(figure, axes, columns=3)
    return figure


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], name: str) -> None:
    look = _LOOKS[name]
    axes.plot(
        x, y, color=look.colour, marker=look.marker, linestyle=look.line, markersize=6,
        linewidth=1.4, markeredgecolor="white", markeredgewidth=0.6, label=name,
    )  # fmt: skip


def _name_points(axes: Axes, found: Sequence[tuple[float, float, str]]) -> None:
    for x, y, subnet in found:
        axes.annotate(
            subnet, (x, y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8,
            color=_LOOKS["packed"].colour,
        )  # fmt: skip


def _plain_numbers(axis: Axis) -> None:
    """No powers of ten on a logarithmic scale."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(plain)


def _legend(figure: Figure, axes: Axes, columns: int = 4) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
