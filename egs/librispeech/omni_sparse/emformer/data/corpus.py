# SPDX-License-Identifier: Apache-2.0
"""What a corpus is called and how it is split: reads conf/corpus/<name>.yaml.

To use your own data, write a YAML file with the fields of :class:`Corpus` (all but the name), give
its path wherever a corpus name is asked for, and put these lhotse manifests into
data_dir/manifests for every split named in it (lhotse's many recipes make them):

    <prefix>_recordings_<split>.jsonl.gz    <prefix>_supervisions_<split>.jsonl.gz

With ``source: kaldi`` they are made of the Kaldi data directories that the splits name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from emformer.errors import RecipeError
from emformer.yaml_file import read_yaml

CONF_DIR = Path(__file__).resolve().parents[2] / "conf" / "corpus"


#: Who makes a corpus: the scripts local.prepare_<source>.
SOURCES = ("synthetic", "fsdd", "an4", "kaldi", "librispeech")


@dataclass(frozen=True)
class Corpus:
    """One corpus.

    Attributes:
        name: as given to :func:`load_corpus` (the stem of the YAML file).
        prefix: first word of the manifests' file names.
        train, dev, test: names of the splits, in order.
        search: splits that sub-networks are chosen on; if there are none, half of dev is kept for
            it, and training validates on the other half.
        vocab_size: number of BPE pieces, with <blk>, <sos/eos> and <unk>.
        sample_rate: in Hz; recordings of another rate are left out and counted.
        musan: whether MUSAN noise is mixed in by default while training.
        perturb_speed: whether training has each utterance at other speeds, too.
        speeds: the factors of these speeds, from 0.5 to 2; speed changes the pitch, too, and so
            each factor makes other voices of a few.
        source: what makes its audio and manifests, one of :data:`SOURCES`; empty for a corpus of
            your own, whose manifests you make.
        config: the configuration that run.sh takes where none is given; empty for none.
    """

    name: str
    prefix: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    vocab_size: int
    sample_rate: int = 16000
    musan: bool = False
    perturb_speed: bool = False
    speeds: tuple[float, ...] = (0.9, 1.1)
    search: tuple[str, ...] = ()
    source: str = ""
    config: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """All splits once, training first."""
        return tuple(dict.fromkeys(self.train + self.dev + self.search + self.test))


def known_corpora() -> list[str]:
    return sorted(p.stem for p in CONF_DIR.glob("*.yaml"))


def load_corpus(name: str | Path) -> Corpus:
    """Read a corpus by name, or from the path of a user's own YAML file.

    Raises:
        RecipeError: unknown name, unreadable file, missing, unknown or ill-typed fields.
    """
    text = str(name)
    if text.endswith((".yaml", ".yml")) or "/" in text:
        path = Path(text)
        if not path.is_file():
            raise RecipeError(f"no such corpus file: {path}")
    else:
        path = CONF_DIR / f"{text}.yaml"
        if not path.is_file():
            known = ", ".join(known_corpora())
            raise RecipeError(
                f"unknown corpus '{text}'; known are {known}, or give the path of your YAML file"
            )
    return _from_yaml(path)


def _from_yaml(path: Path) -> Corpus:
    raw = read_yaml(path, "corpus file", "see conf/corpus")
    names = [f.name for f in fields(Corpus) if f.name != "name"]
    unknown = [str(k) for k in raw if k not in names]
    if unknown:
        raise RecipeError(
            f"{path}: unknown field {', '.join(unknown)}; known are {', '.join(names)}"
        )
    for key in ("prefix", "train", "dev", "test", "vocab_size"):
        if key not in raw:
            raise RecipeError(f"{path}: the field '{key}' is missing")
    values = {key: _checked(path, key, value) for key, value in raw.items()}
    if values.get("source") == "synthetic" and path.parent.resolve() != CONF_DIR:
        raise RecipeError(
            f"{path}: source synthetic is that of the corpora in conf/corpus alone; leave it out "
            "and put manifests of your own into the data folder"
        )
    return Corpus(name=path.stem, **values)


def _checked(path: Path, key: str, value: object) -> object:
    if key in ("train", "dev", "test", "search"):
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and items and all(isinstance(s, str) and s for s in items):
            return tuple(items)
        raise RecipeError(f"{path}: '{key}' must be a list of split names, got {value!r}")
    if key == "speeds":
        if isinstance(value, list) and value and all(_is_speed(factor) for factor in value):
            return tuple(value)
        raise RecipeError(
            f"{path}: 'speeds' must be a list of factors from 0.5 to 2 without 1, got {value!r}"
        )
    if key in ("vocab_size", "sample_rate"):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise RecipeError(f"{path}: '{key}' must be a positive whole number, got {value!r}")
    if key in ("musan", "perturb_speed"):
        if isinstance(value, bool):
            return value
        raise RecipeError(f"{path}: '{key}' must be true or false, got {value!r}")
    if key == "source" and value not in SOURCES:
        known = ", ".join(SOURCES)
        raise RecipeError(f"{path}: 'source' must be one of {known}, or left out, got {value!r}")
    if isinstance(value, str) and value:
        return value
    raise RecipeError(f"{path}: '{key}' must be a word, got {value!r}")


def _is_speed(value: object) -> bool:
    return isinstance(value, float) and 0.5 <= value <= 2.0 and value != 1.0
