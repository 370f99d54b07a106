"""A viewer as a process of its own, and a real browser that looks at it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE

_REPOSITORY = Path(__file__).resolve().parents[2]
_CHROMIUM_FLAGS = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-sandbox",
]
# What Chromium says of a connection that a test has cut.
_LOST_CONNECTION = re.compile("WebSocket|net::ERR_(CONNECTION|SOCKET|EMPTY_RESPONSE|INCOMPLETE)")
_OWN = ("http://localhost", "http://127.0.0.1", "blob:", "data:")


class ViewerProcess:
    """A viewer, and where its page is."""

    def __init__(self, log: Path, *options: str) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rllib_integration.viewer", *options],
                cwd=_REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        found = re.search(r"http://localhost:(\d+)/(?:#token=(\S+))?", self.first_line)
        if found is None:
            self.stop()
            raise RuntimeError(f"The viewer said {self.first_line!r}: {log.read_text()}")
        self.port = int(found[1])
        self.token = found[2] or ""
        self.url = found[0]

    def stop(self) -> int:
        """End it; returns its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture
def start_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ViewerProcess]]:
    """Starts viewers on free ports; all of them end with the test, and none sees what else runs on the machine."""
    viewers: list[ViewerProcess] = []

    def start(*options: str) -> ViewerProcess:
        log = tmp_path / f"viewer-{len(viewers)}.log"
        viewers.append(ViewerProcess(log, "--port=0", *options))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.stop()
        assert "Traceback" not in viewer.log.read_text()


class Page:
    """A page of the viewer in Chromium."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: None if request.url.startswith(_OWN) else self.foreign.append(request.url))

    def evaluate(self, script: str, *arguments: Any) -> Any:
        """What a script gives."""
        return self.page.evaluate(script, *arguments)

    def wait_for(self, script: str) -> Any:
        """Wait until a script gives something true; return that.

        Playwright's own way needs `unsafe-eval`, which the page's policy forbids.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.page.evaluate(script)
            if found:
                return found
            self.page.wait_for_timeout(50)
        state = self.page.evaluate("window.viewer && JSON.stringify({state: viewer.state, stats: viewer.stats})")
        raise AssertionError(f"{script} did not come true; the page says {state}, {self.problems}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium with software WebGL."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("There is no Chromium; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=_CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens pages; each has its own storage, and none may fail or ask another machine for anything."""
    contexts: list[Any] = []
    pages: list[Page] = []

    def open_one(url: str, width: int = 560, height: int = 360, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = Page(context.new_page())
        pages.append(page)
        page.page.goto(url, wait_until="commit")
        page.wait_for("Boolean(window.viewer)")
        return page

    yield open_one
    for context in contexts:
        context.close()
    for page in pages:
        assert page.foreign == []
        assert [line for line in page.problems if not _LOST_CONNECTION.search(line)] == []
