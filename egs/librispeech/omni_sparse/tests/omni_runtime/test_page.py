# SPDX-License-Identifier: Apache-2.0
"""The page in headless Chromium: its text is the native runtime's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

import omni_recognizer
from omni_recognizer.library import CLibrary
from tests.support.browser import Browser, served
from tests.support.runtime.transducers import SUBNETS, sound
from tests.support.runtime.web import make_page

LINES = "[...document.querySelectorAll('#utterances li, #current')].map((one) => one.textContent)"
NAME, STATE, ERROR, TEXT = (
    f"document.getElementById('{name}')" for name in ("model-name", "state", "error", "text")
)


@pytest.fixture(scope="module")
def site(tmp_path_factory, packed) -> Iterator[str]:
    """The page's address, with a model beside it."""
    page = make_page(tmp_path_factory.mktemp("page"))
    shutil.copy(packed["demo"].path, page / "demo.packed")
    with served(page) as url:
        yield url


@pytest.fixture(scope="module")
def wav(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("sound") / "speech.wav", 6.0)


def open_native(path: Path, built: Path) -> omni_recognizer.Model:
    return omni_recognizer.load(path, CLibrary(built / "libomni_runtime.so"))


def written(path: Path, seconds: float) -> Path:
    """A sound as floats: of 16 bits, the browser divides positive samples by 32767."""
    soundfile.write(path, sound(seconds), 16000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """One whose microphone hears a file, over and over."""
    folder = tmp_path_factory.mktemp("browser")
    soundfile.write(folder / "spoken.wav", sound(6.0), 16000, subtype="PCM_16")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    fake.append(f"--use-file-for-fake-audio-capture={folder}/spoken.wav")
    one = Browser(folder / "profile", fake)
    yield one
    one.close()


@pytest.fixture()
def window(browser) -> Iterator[Browser]:
    browser.errors.clear()
    yield browser
    assert browser.errors == []


def open_model(window: Browser, site: str, path: Path) -> None:
    window.open(site)
    window.choose("model", path)
    window.wait(f"{NAME}.textContent.includes('3 sizes')")


def hear(window: Browser, wav: Path) -> list[str]:
    """Lines of text that a sound file gives."""
    window.ask(f"{STATE}.textContent = ''")
    window.choose("sound", wav)
    window.wait(f"{STATE}.textContent === 'Done'")
    return [line for line in window.ask(LINES) if line]


@pytest.mark.parametrize("kind", ["demo", "int8"])
def test_a_sound_files_text_is_the_native_runtimes(kind, window, site, built, packed, wav):
    native = open_native(packed[kind].path, built)
    if kind == "int8" and native.instructions != "vnni":
        pytest.skip("this processor has no vnni, which rounds int8 as the page does")
    open_model(window, site, packed[kind].path)
    for number, level in enumerate(SUBNETS):
        window.slide("level", number)
        found, heard = hear(window, wav), native.transcribe(sound(6.0), level).segments
        assert found == [one.text for one in heard]
        assert found and window.ask(f"{TEXT}.dataset.level") == level
        blocks = native._ask("level_blocks", number)
        assert window.text("weights").endswith(f", {blocks:,} blocks")
        assert window.text("level-name").endswith(f"({level})")
        assert window.text("time").endswith(" ms of 320 ms")


def test_utterances_are_lines_of_their_own(window, site, built, packed, tmp_path):
    """The rule that ends one after 20 s, at the least, has ended one."""
    open_model(window, site, packed["pausing"].path)
    found = hear(window, written(tmp_path / "long.wav", 24.0))
    native = open_native(packed["pausing"].path, built)
    heard = native.transcribe(sound(24.0)).segments
    assert found == [one.text for one in heard]
    assert len(found) > 1


def test_the_microphone_is_heard_and_the_slider_switches(window, site):
    window.open(f"{site}?model=demo.packed")
    window.wait(f"{NAME}.textContent.startsWith('demo.packed, ')")
    window.click("microphone")
    for number, level in reversed(list(enumerate(SUBNETS))):
        before = len("".join(window.ask(LINES)))
        window.slide("level", number)
        window.wait(f"{TEXT}.dataset.level === '{level}'")
        window.wait(f"{LINES}.join('').length > {before}")
    window.click("stop")
    window.wait(f"{STATE}.textContent === 'Done'")


def test_a_sound_is_played_and_heard_to_its_end(window, site, built, packed, tmp_path):
    open_model(window, site, packed["demo"].path)
    window.click("aloud")
    found = hear(window, written(tmp_path / "short.wav", 1.0))
    native = open_native(packed["demo"].path, built)
    assert found == [native.transcribe(sound(1.0), "dense").text]


def test_a_damaged_file_is_one_clear_line_and_the_page_goes_on(window, site, packed, wav, tmp_path):
    damaged = tmp_path / "damaged.packed"
    damaged.write_bytes(packed["demo"].path.read_bytes()[:5000])
    window.open(site)
    window.choose("model", damaged)
    window.wait(f"!{ERROR}.hidden")
    assert window.text("error").startswith("damaged.packed: its header ")
    assert window.text("model-name") == "No model yet"
    assert window.ask("document.getElementById('microphone').disabled")
    window.choose("model", packed["demo"].path)
    window.wait(f"{NAME}.textContent.includes('3 sizes')")
    assert window.ask(f"{ERROR}.hidden")
    window.choose("sound", damaged)
    window.wait(f"!{ERROR}.hidden")
    assert window.text("error") == "damaged.packed is no sound that this browser can read."
    assert hear(window, wav)


def test_no_model_at_an_address_is_one_clear_line(window, site):
    window.open(f"{site}?model=none.packed")
    window.wait(f"!{ERROR}.hidden")
    assert window.text("error") == f"{site}/none.packed cannot be fetched: 404 File not found"


def test_no_microphone_is_one_clear_line(site, packed, tmp_path):
    window = Browser(tmp_path)
    try:
        open_model(window, site, packed["demo"].path)
        window.click("microphone")
        window.wait(f"!{ERROR}.hidden")
        assert "microphone" in window.text("error").lower()
        assert not window.ask("document.getElementById('microphone').disabled")
    finally:
        window.close()


def test_everything_can_be_reached_and_has_a_name(window, site):
    """As readers of the screen have it."""
    window.open(site)
    window.do("Accessibility.enable")
    nodes = window.do("Accessibility.getFullAXTree")["nodes"]
    told = [(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n["ignored"]]
    controls = {"button", "slider", "checkbox", "combobox", "textbox"}
    assert all(name for role, name in told if role in controls)
    assert ("slider", "Weights left out") in told and ("checkbox", "Play it aloud") in told
