# SPDX-License-Identifier: Apache-2.0
"""Stage 1 of the corpora `synthetic` and `quick`: manifests of the audio that stage 0 spoke.

Usage:
  python3 -m local.prepare_synthetic_manifests --data-dir data/synthetic
  python3 -m local.prepare_synthetic_manifests --corpus quick --data-dir data/quick
"""

from __future__ import annotations

import sys
from pathlib import Path

from lhotse import Recording, SupervisionSegment

from emformer.data.corpus import load_corpus
from emformer.data.manifests import manifest_paths, write_if_other
from emformer.errors import RecipeError, run_main
from emformer.options import Parser
from local.synthetic.corpus import COMPLETE


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "--corpus", default="synthetic", help="synthetic or quick (default synthetic)"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="its folder audio is read (default data/<corpus>)"
    )
    args = parser.parse_args()
    corpus = load_corpus(args.corpus)
    data_dir = args.data_dir or Path("data") / corpus.name
    if not (data_dir / "audio" / COMPLETE).exists():
        raise RecipeError(
            f"{data_dir}/audio: the speech is missing or not complete; make it with "
            "run.sh --stage 0"
        )
    for split in corpus.splits:
        transcripts = sorted((data_dir / "audio" / split).glob("shard-*.tsv"))
        recordings, supervisions = [], []
        for line in (line for path in transcripts for line in path.read_text().splitlines()):
            name, speaker, relative, text = line.split("\t")
            recording = Recording.from_file(data_dir / "audio" / relative, recording_id=name)
            recordings.append(recording)
            supervisions.append(
                SupervisionSegment(
                    id=name,
                    recording_id=name,
                    start=0.0,
                    duration=recording.duration,
                    text=text,
                    speaker=speaker,
                    language="English",
                )
            )
        paths = manifest_paths(data_dir, corpus.prefix, split)
        write_if_other(recordings, paths.recordings)
        write_if_other(supervisions, paths.supervisions)


if __name__ == "__main__":
    sys.exit(run_main(main))
