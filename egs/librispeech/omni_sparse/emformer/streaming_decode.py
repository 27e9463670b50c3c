# SPDX-License-Identifier: Apache-2.0
"""Stage 8: decode the test splits chunk by chunk, as a server does.

Each utterance is cut into windows of one chunk and its look-ahead; encoder and search keep their
state from window to window. With --compare-encoders true the simulated mode runs beside it and
<exp-dir>/streaming/consistency-<split>.json tells how far the two are apart; the exit status is
1 if that is more than 1e-4 in an encoder output or more than 1 % of the texts.

Usage:
  python3 -m emformer.streaming_decode --exp-dir exp/synthetic/dense --compare-encoders true

Writes <exp-dir>/streaming/<method>/{recogs,errs,wer-summary}-<split>-*.txt and appends to
<exp-dir>/results.jsonl.
"""

import argparse
import sys

import torch

from emformer.decoding import options as decode_options
from emformer.decoding.model import load_decoding_model
from emformer.decoding.run import DecodingRun, Group, Loader, Tally, open_experiment
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.errors import RecipeError, run_main
from emformer.options import positive_int, str2bool
from emformer.scoring.consistency import Consistency
from emformer.scoring.results import CHUNK_WISE


@torch.no_grad()
def decode_group(run: DecodingRun, tally: Tally, group: Group) -> torch.Tensor:
    """Decode utterances that start together; returns the encoder's output `(N, T, J)`."""
    for search in run.searches.values():
        search.start(len(group))
    chunks = encode_chunk_by_chunk(run.model, group.x, group.x_lens)
    outputs = []
    while True:
        with tally.encoding:
            block, lens = next(chunks, (None, None))
        if block is None:
            break
        for method, search in run.searches.items():
            with tally.searching[method]:
                search.accept(block, lens)
        outputs.append(block)
    run.note(tally, group)
    return torch.cat(outputs, dim=1)


@torch.no_grad()
def compare(run: DecodingRun, group: Group, chunk_wise: torch.Tensor, found: Consistency) -> None:
    """Decode the group once more in simulated streaming; the searches hold the chunk-wise texts."""
    simulated, lens = run.model.encode(group.x, group.x_lens)
    found.add_outputs(simulated, chunk_wise, lens)
    for method, search in run.searches.items():
        texts = search.hypotheses()
        search.start(len(group))
        search.accept(simulated, lens)
        found.add_texts(method, search.hypotheses(), texts)


def decode_split(run: DecodingRun, split: str) -> bool:
    """Decode one split; False if the modes were compared and differ by more than allowed."""
    tally, progress = run.tally(), run.progress(split)
    found = Consistency(list(run.searches)) if run.args.compare_encoders else None
    for group in run.groups(split, run.args.num_decode_streams):
        chunk_wise = decode_group(run, tally, group)
        if found is not None:
            compare(run, group, chunk_wise, found)
        progress.add(len(group))
    progress.close()
    run.finish(split, tally)
    if found is None:
        return True
    path = run.folder / f"consistency-{split}.json"
    return found.report(path, checkpoint=run.info.checkpoint, device=str(run.device))


def get_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """The options of both modes, and those of chunk-wise decoding."""
    parser = decode_options.get_parser(description)
    group = parser.add_argument_group("streaming")
    group.add_argument(
        "--num-decode-streams", type=positive_int, default=100, help="at once (default 100)"
    )
    group.add_argument(
        "--compare-encoders",
        type=str2bool,
        default=False,
        metavar="BOOL",
        help="compare outputs and texts with those of whole utterances; where they differ, it "
        "ends with an error (default false)",
    )
    return parser


def main(argv: list[str] | None = None, load: Loader = load_decoding_model) -> None:
    args = get_parser().parse_args(argv)
    open_experiment(args.exp_dir, "streaming-decode")
    run = DecodingRun(args, CHUNK_WISE, load)
    passed = [decode_split(run, split) for split in run.splits]
    if not all(passed):
        raise RecipeError(f"simulated and chunk-wise decoding disagree, see {run.folder}")


if __name__ == "__main__":
    sys.exit(run_main(main))
