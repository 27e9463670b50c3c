# SPDX-License-Identifier: Apache-2.0
"""What `pip install` of the package's folder installs, and what it hears by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest
import soundfile

import omni_plugin
import omni_recognizer
from tests.support.pip_install import pip_install
from tests.support.processes import RECIPE

BOX = RECIPE / "models" / "commands"
SAID = (
    "CLOSE THE GREEN RADIO AND OPEN THE RADIO CALL SEVEN FIVE FIVE ONE "
    "SET THE WHITE LAMP TO SIX TWO"
)


def run(installed: Path, script: str, cwd: Path, **variables: str) -> str:
    """What a script prints that finds the installed package."""
    env = {**os.environ, "PYTHONPATH": str(installed), **variables}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(installed: Path, file: str, name: str) -> list[str]:
    (metadata,) = installed.glob(f"*.dist-info/{file}")
    return re.findall(rf"^{name}: (.*)$", metadata.read_text(), flags=re.MULTILINE)


def test_it_hears_the_sound_in_the_box_at_three_sizes_without_torch(installed, tmp_path):
    script = f"""
        import sys, omni_recognizer
        model = omni_recognizer.load({str(BOX)!r})
        for sparsity in (0, 0.5, 0.7):
            print(model.transcribe({str(BOX / "sample.flac")!r}, sparsity=sparsity).text)
        assert "torch" not in sys.modules
    """
    assert run(installed, script, tmp_path).splitlines() == [SAID] * 3


def test_of_wav_it_needs_numpy_and_nothing_else(installed, tmp_path):
    samples, rate = soundfile.read(BOX / "sample.flac")
    soundfile.write(tmp_path / "sample.wav", samples, rate, subtype="PCM_16")
    script = f"""
        import sys, numpy
        before = set(sys.modules)
        import omni_recognizer
        print(omni_recognizer.load({str(BOX)!r}).transcribe("sample.wav", 0.7).text)
        others = {{name.split(".")[0] for name in set(sys.modules) - before}}
        print(*sorted(others - set(sys.stdlib_module_names) - {{"numpy"}}))
        print(omni_recognizer.__file__)
    """
    lines = run(installed, script, tmp_path).splitlines()
    assert lines == [SAID, "omni_recognizer", f"{installed}/omni_recognizer/__init__.py"]


def test_in_the_recipes_folder_without_make_the_installed_library_is_found(
    installed, clone, tmp_path
):
    """Python finds that folder first there."""
    for name in ("omni_recognizer", "omni_runtime"):
        left = shutil.ignore_patterns("build", "__pycache__")
        shutil.copytree(clone / name, tmp_path / name, ignore=left)
    script = """
        import omni_recognizer, omni_recognizer.library
        print(omni_recognizer.__file__)
        print(omni_recognizer.library.find_library())
    """
    assert run(installed, script, tmp_path).splitlines() == [
        f"{tmp_path}/omni_recognizer/__init__.py",
        f"{installed}/omni_recognizer/libomni_runtime.so",
    ]


def test_it_has_its_modules_and_its_library_alone(installed):
    folder = installed / "omni_recognizer"
    found = {path.name for path in folder.iterdir()} - {"__pycache__"}
    modules = {path.name for path in (RECIPE / "omni_recognizer").glob("*.py")} - {"setup.py"}
    assert found == {*modules, "py.typed", "libomni_runtime.so"}
    others = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert others == {"omni_recognizer", "bin"}


def test_its_wheel_is_of_the_platform_and_of_any_python_3(installed):
    (tag,) = told(installed, "WHEEL", "Tag")
    assert re.fullmatch(r"py3-none-linux_\w+", tag)
    assert told(installed, "WHEEL", "Root-Is-Purelib") == ["false"]


def test_it_asks_for_numpy_alone(installed):
    needs = told(installed, "METADATA", "Requires-Dist")
    assert [need for need in needs if "extra ==" not in need] == ["numpy"]


def test_the_licence_goes_with_it(installed):
    (licence,) = installed.glob("*.dist-info/licenses/LICENSE")
    assert licence.read_bytes() == (RECIPE.parents[2] / "LICENSE").read_bytes()


def test_the_project_has_one_version(installed):
    assert told(installed, "METADATA", "Version") == [omni_plugin.__version__]
    assert omni_recognizer.__version__ == omni_plugin.__version__


@pytest.fixture(scope="module")
def sdist(clone, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    script = f"import setuptools.build_meta as b; print(b.build_sdist({str(folder)!r}))"
    run(folder, script, clone / "omni_recognizer")
    (path,) = folder.glob("*.tar.gz")
    return path


def test_an_sdist_has_all_sources_and_the_licence(sdist):
    with tarfile.open(sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        (licence,) = (one for one in file.getmembers() if one.name.endswith("/LICENSE"))
    assert licence.isfile()
    for folder in ("omni_runtime", "omni_plugin/runtime", "omni_emformer/runtime"):
        sources = (RECIPE / folder).glob("*.[ch]")
        assert {f"sources/{folder}/{path.name}" for path in sources} <= names


def test_an_sdist_installs_by_itself_and_hears_the_same(sdist, tmp_path):
    done = pip_install(sdist, tmp_path, CFLAGS="-O1", PLAIN_ONLY="1")
    assert done.returncode == 0, done.stderr
    script = f"""
        import omni_recognizer
        model = omni_recognizer.load({str(BOX)!r})
        print(model.transcribe({str(BOX / "sample.flac")!r}, sparsity=0.7).text)
        print(model.instructions)
    """
    assert run(tmp_path, script, tmp_path).splitlines() == [SAID, "plain"]
