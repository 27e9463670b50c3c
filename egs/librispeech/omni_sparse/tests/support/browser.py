# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, told what to do by its DevTools protocol, and folders as web sites."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

#: It works offline, and leaves nothing behind.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]  # fmt: skip
SECONDS = 120.0  # for anything to happen, on a busy machine


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, without a last slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Browser:
    """A browser and its one page.

    Args:
      folder: For its profile.
      flags: More of the command line.
    """

    def __init__(self, folder: Path, flags: Sequence[str] = ()) -> None:
        program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
        if program is None:
            pytest.skip("NO chromium: the page is not tested")
        theirs, self._to = os.pipe()
        self._from, written = os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs, written)]
        command = [program, *FLAGS, *flags, f"--user-data-dir={folder}", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),  # where it expects them
            preexec_fn=lambda: [os.dup2(fd, to) for to, fd in zip((3, 4), ends, strict=True)],
        )
        for fd in (theirs, written, *ends):
            os.close(fd)
        self._read, self._number, self._session = b"", 0, None
        #: What went wrong in the page's scripts.
        self.errors: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        attached = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.do("Runtime.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def do(self, method: str, **values: Any) -> dict[str, Any]:
        """What a method of the protocol answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message(method)
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"]["text"])
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]

    def _message(self, method: str) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._from], [], [], SECONDS)
            assert ready, f"{method}: no answer"
            some = os.read(self._from, 1 << 16)
            assert some, f"{method}: the browser has ended"
            self._read += some
        one, _, self._read = self._read.partition(b"\0")
        return json.loads(one)

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)
        self.wait("document.body?.dataset.ready")

    def ask(self, expression: str) -> Any:
        """The value of JavaScript."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, f"{expression}: {found}"
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value, once it is one."""
        end = time.monotonic() + SECONDS
        while not (found := self.ask(expression)):
            assert time.monotonic() < end, f"never true: {expression}; {self.ask(_SHOWN)}"
            time.sleep(0.05)
        return found

    def text(self, name: str) -> str:
        """Of the element of an id."""
        return self.ask(f"document.getElementById({name!r}).textContent")

    def choose(self, name: str, file: Path) -> None:
        """A file, in the field of an id."""
        found = self.do("Runtime.evaluate", expression=f"document.getElementById({name!r})")
        files = [str(file)]
        self.do("DOM.setFileInputFiles", files=files, objectId=found["result"]["objectId"])

    def slide(self, name: str, value: int) -> None:
        """Move a slider, as a hand does."""
        script = "{ const one = document.getElementById(%r); one.value = %d; %s }"
        self.ask(script % (name, value, "one.dispatchEvent(new Event('input'));"))

    def click(self, name: str) -> None:
        self.ask(f"document.getElementById({name!r}).click()")


_SHOWN = "document.body?.innerText"
