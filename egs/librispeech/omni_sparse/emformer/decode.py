# SPDX-License-Identifier: Apache-2.0
"""Stage 7: decode the test splits in simulated streaming.

The encoder sees whole utterances under the attention mask of its chunks, so that batches are
large; streaming_decode.py decodes chunk by chunk. Both share the searches.

Usage:
  python3 -m emformer.decode --exp-dir exp/synthetic/dense
  python3 -m emformer.decode --exp-dir exp/librispeech/dense --epoch 30 --avg 8 \\
    --methods greedy_search modified_beam_search fast_beam_search

Writes <exp-dir>/<method>/{recogs,errs,wer-summary}-<split>-*.txt and appends to
<exp-dir>/results.jsonl.
"""

import sys

import torch

from emformer.decoding.model import load_decoding_model
from emformer.decoding.options import get_parser
from emformer.decoding.run import DecodingRun, Loader, open_experiment
from emformer.errors import run_main
from emformer.scoring.results import SIMULATED


@torch.no_grad()
def decode_split(run: DecodingRun, split: str) -> None:
    """Decode one split by all methods; the encoder runs once for all of them."""
    tally, progress = run.tally(), run.progress(split)
    for batch in run.batches(split):
        with tally.encoding:
            enc, lens = run.model.encode(batch.x, batch.x_lens)
        for method, search in run.searches.items():
            with tally.searching[method]:
                search.start(len(batch))
                search.accept(enc, lens)
        run.note(tally, batch)
        progress.add(len(batch))
    progress.close()
    run.finish(split, tally)


def main(argv: list[str] | None = None, load: Loader = load_decoding_model) -> None:
    args = get_parser(__doc__).parse_args(argv)
    open_experiment(args.exp_dir, "decode")
    run = DecodingRun(args, SIMULATED, load)
    for split in run.splits:
        decode_split(run, split)


if __name__ == "__main__":
    sys.exit(run_main(main))
