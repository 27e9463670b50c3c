# SPDX-License-Identifier: Apache-2.0
"""Pin a requirements file: resolve NAME.in with pip and write NAME.txt beside it.

Run it with the Python of the set, since pip resolves for the Python it runs under. With
``--hashes`` each line carries the SHA-256 of the one file that pip chose, so an install takes that
very file or stops. This matters for k2, whose wheels for Python 3.7 to 3.11 all claim to suit every
Python 3. No index address is written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def resolve(requirements: Path) -> list[dict]:
    """Ask pip what it would install for ``requirements`` into an empty environment.

    Returns pip's installation report, one dict a package.
    Raises subprocess.CalledProcessError if pip finds no solution; pip has said why.
    """
    with tempfile.TemporaryDirectory() as tmp:
        report = Path(tmp) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--ignore-installed", "--report", str(report), "-r", str(requirements)]
        subprocess.run(command, check=True)
        return json.loads(report.read_text())["install"]


def pinned_lines(packages: list[dict], hashes: bool) -> list[str]:
    """One line a package, sorted by name: ``name==version`` and, if wanted, its hash."""
    lines = []
    for package in packages:
        meta = package["metadata"]
        line = f"{meta['name'].lower().replace('_', '-')}=={meta['version'].split('+')[0]}"
        if hashes:
            sha256 = package["download_info"]["archive_info"]["hashes"]["sha256"]
            line += f" \\\n    --hash=sha256:{sha256}"
        lines.append(line)
    return sorted(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("requirements", type=Path, help="NAME.in, the top-level requirements")
    parser.add_argument("--hashes", action="store_true", help="write the hash of every file")
    args = parser.parse_args()

    lines = pinned_lines(resolve(args.requirements), args.hashes)
    version = ".".join(map(str, sys.version_info[:2]))
    option = "--hashes " if args.hashes else ""
    header = [
        f"# The whole of {args.requirements.name}, pinned for Python {version}. Made by",
        f"#   python{version} requirements/lock.py {option}requirements/{args.requirements.name}",
    ]
    target = args.requirements.with_suffix(".txt")
    target.write_text("\n".join(header + lines) + "\n")
    print(f"{target}: {len(lines)} packages")


if __name__ == "__main__":
    main()
