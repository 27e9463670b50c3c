# SPDX-License-Identifier: Apache-2.0
"""Stage 1 of the corpus `synthetic`: manifests of the audio that stage 0 spoke.

Usage:
  python3 -m local.prepare_synthetic_manifests --data-dir data/synthetic
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
        "--data-dir",
        type=Path,
        default=Path("data/synthetic"),
        help="its folder audio is read (default data/synthetic)",
    )
    args = parser.parse_args()
    if not (args.data_dir / "audio" / COMPLETE).exists():
        raise RecipeError(
            f"{args.data_dir}/audio: the speech is missing or not complete; make it with "
            "run.sh --stage 0"
        )
    for split in load_corpus("synthetic").splits:
        transcripts = sorted((args.data_dir / "audio" / split).glob("shard-*.tsv"))
        recordings, supervisions = [], []
        for line in (line for path in transcripts for line in path.read_text().splitlines()):
            name, speaker, relative, text = line.split("\t")
            recording = Recording.from_file(args.data_dir / "audio" / relative, recording_id=name)
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
        paths = manifest_paths(args.data_dir, "synthetic", split)
        write_if_other(recordings, paths.recordings)
        write_if_other(supervisions, paths.supervisions)


if __name__ == "__main__":
    sys.exit(run_main(main))
