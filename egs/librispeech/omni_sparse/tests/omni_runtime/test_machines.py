# SPDX-License-Identifier: Apache-2.0
"""The program for other compilers and machines, run by qemu: it says what this machine's says."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from omni_plugin.runtime import native
from tests.support.runtime.c_library import SOURCES, make
from tests.support.runtime.layers import COMPILER
from tests.support.runtime.transducers import SUBNETS, save_sound, sound

#: Compiler, qemu, its processor, the instruction set that is then used, and the one of x86-64 that
#: multiplies int8 as it does: activations become bytes where there are dot products of bytes.
ARM = [
    ("aarch64-linux-gnu-gcc", "aarch64", "max", "dot", "vnni"),
    ("aarch64-linux-gnu-gcc", "aarch64", "max", "plain", "plain"),
    ("aarch64-linux-gnu-gcc", "aarch64", "cortex-a53", "dot", "plain"),  # which has none of them
    ("arm-linux-gnueabihf-gcc", "arm", "max", "neon", "plain"),
    ("arm-linux-gnueabihf-gcc", "arm", "max", "plain", "plain"),
]


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    return save_sound(tmp_path_factory.mktemp("sound") / "s.wav", 1.5)


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    """Static programs by the names of their compilers, each built once."""
    made: dict[str, Path] = {}

    def build(compiler: str) -> Path:
        if compiler not in made:
            folder = make(tmp_path_factory.mktemp("cross"), "static", compiler=[compiler])
            made[compiler] = folder / "omni-transcribe"
        return made[compiler]

    return build


def texts(command: list, packed, wav: Path, kinds=("demo", "int8"), **environment) -> list[str]:
    found = []
    for kind in kinds:
        for subnet in SUBNETS:
            words = [*command, packed[kind].path, wav, "--subnet", subnet, "--timestamps"]
            done = subprocess.run(words, capture_output=True, text=True, env=environment)
            assert done.returncode == 0, done.stderr
            found.append(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["demo", "int8"])
@pytest.mark.parametrize("compiler, machine, processor, instructions, like", ARM)
def test_arm_says_the_same(
    compiler, machine, processor, instructions, like, kind, static, built, library, packed, wav,
    monkeypatch,
):  # fmt: skip
    names = f"qemu-{machine}", f"qemu-{machine}-static"
    emulator = next(filter(None, map(shutil.which, names)), None)
    if emulator is None:
        pytest.skip(f"NO qemu-{machine}: the library is not tested on {machine}")
    monkeypatch.setenv("OMNI_INSTRUCTIONS", like)
    if kind == "int8" and library.c.omni_instructions().decode() != like:
        pytest.skip(f"this processor has no {like} to compare with")
    command = [emulator, "-cpu", processor, static(compiler)]
    found = texts(command, packed, wav, [kind], OMNI_INSTRUCTIONS=instructions)
    own = [built / "omni-transcribe"]
    assert found == texts(own, packed, wav, [kind], OMNI_INSTRUCTIONS=like)
    assert all(found)


def test_dot_products_are_in_their_own_unit_only(static):
    if shutil.which("aarch64-linux-gnu-objdump") is None:
        pytest.skip("NO aarch64-linux-gnu-objdump")
    folder = static("aarch64-linux-gnu-gcc").parent
    for unit, has_them in (("plain", False), ("dot", True)):
        words = ["aarch64-linux-gnu-objdump", "-d", folder / f"step_{unit}.o"]
        listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert ("\tsdot\t" in listing) == has_them


def test_clang_says_the_same(tmp_path, built, packed, wav):
    tool = make(tmp_path, f"{tmp_path}/omni-transcribe", compiler=["clang"]) / "omni-transcribe"
    assert texts([tool], packed, wav) == texts([built / "omni-transcribe"], packed, wav)


def test_without_units_for_instruction_sets_it_says_the_same(tmp_path, built, packed, wav):
    goal = f"{tmp_path}/omni-transcribe"
    tool = make(tmp_path, goal, PLAIN_ONLY="1") / "omni-transcribe"
    plain = texts([built / "omni-transcribe"], packed, wav, OMNI_INSTRUCTIONS="plain")
    assert texts([tool], packed, wav) == plain


def examples_of_the_page() -> list[str]:
    """A program, and a part of one."""
    return re.findall(r"```c\n(.*?)```", (SOURCES / "README.md").read_text(), re.DOTALL)


def test_an_example_of_the_page_compiles_and_runs(tmp_path, built, packed):
    """README.md's program, without shared libraries of ours."""
    program, _ = examples_of_the_page()
    (tmp_path / "example.c").write_text(program)
    words = ["cc", "-std=c11", "-Wall", "-Werror", f"-I{SOURCES}", tmp_path / "example.c"]
    words += [built / "libomni_runtime.a", "-lm", "-o", tmp_path / "example"]
    subprocess.run(words, check=True)
    pcm = (sound() * 32768).astype("<i2").tobytes()
    command = [tmp_path / "example", packed["demo"].path]
    said = subprocess.run(command, input=pcm, capture_output=True, check=True).stdout
    tool = [built / "omni-transcribe", packed["demo"].path, "-"]
    assert said == subprocess.run(tool, input=pcm, capture_output=True, check=True).stdout


def test_the_loop_of_the_page_compiles(tmp_path):
    """With what its example names declared around it."""
    _, loop = examples_of_the_page()
    given = "omni_stream *stream, const float *samples, size_t number, omni_error error"
    (tmp_path / "loop.c").write_text(
        f'#include "omni_runtime.h"\n#include <stdio.h>\nvoid loop({given}) {{ {loop} }}\n'
    )
    words = ["-Wall", "-Werror", f"-I{SOURCES}", "-c", "-o", tmp_path / "loop.o"]
    subprocess.run(["cc", "-std=c11", *words, tmp_path / "loop.c"], check=True)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l"])
def test_the_makefile_has_the_units_of_the_python_runtime(machine):
    makefile = (SOURCES / "Makefile").read_text()
    makefile = makefile.replace("$(AVX512)", re.search(r"AVX512 := (.*)", makefile)[1])
    for unit in native._MORE[machine]:
        name = unit.name.removeprefix("_")
        assert int(re.search(rf"^LANES_{name} := (\d+)$", makefile, re.MULTILINE)[1]) == unit.lanes
        flags = re.search(rf"^FLAGS_{name} := (.*)$", makefile, re.MULTILINE)[1].split()
        assert sorted(flags) == sorted(unit.flags)
        entry = rf'ENTRY\({unit.name}, "{name}", {unit.byte_group}\)'
        assert re.search(entry, (SOURCES / "kernels.c").read_text())


@pytest.fixture(scope="module")
def threads_of(tmp_path_factory):
    """Builds threads.c with flags of the compiler."""

    def build(*flags: str) -> Path:
        folder = tmp_path_factory.mktemp("threads")
        library = folder / "libomni_runtime.a"
        make(folder, str(library), CFLAGS=" ".join(flags))
        source, program = Path(__file__).with_name("threads.c"), folder / "threads"
        words = ["-std=c11", "-Wall", "-Werror", *flags, f"-I{SOURCES}", source, library]
        subprocess.run([*COMPILER, *words, "-lm", "-lpthread", "-o", program], check=True)
        return program

    return build


def assert_heard_the_same(command: list, **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [said for said, _ in lines] == ["same"] * 6 and all(int(size) for _, size in lines)


def test_threads_of_a_model_race_for_nothing(threads_of, packed):
    """As the compiler's thread sanitizer sees it."""
    try:
        program = threads_of("-O1", "-g", "-fsanitize=thread")
    except (AssertionError, subprocess.CalledProcessError) as e:
        if "-fsanitize=thread" not in str(e):
            raise
        pytest.skip("THE COMPILER HAS NO THREAD SANITIZER")
    assert_heard_the_same([program, packed["pausing"].path])


def test_no_memory_is_lost_or_read_before_it_is_written(threads_of, packed):
    """As valgrind sees it, which knows no AVX-512."""
    if shutil.which("valgrind") is None:
        pytest.skip("NO valgrind")
    command = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9", threads_of("-O2", "-g")]
    instructions = {"x86_64": "avx2"}.get(platform.machine(), "plain")
    assert_heard_the_same([*command, packed["pausing"].path], OMNI_INSTRUCTIONS=instructions)
