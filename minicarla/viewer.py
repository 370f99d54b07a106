"""Starts the viewer of rllib-integration beside the server, where that is installed: a page that shows the world."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator

_MODULE = "rllib_integration.viewer"
_END_SECONDS = 5.0


@contextlib.contextmanager
def start_viewer(port: int) -> Iterator[None]:
    """Have a viewer that may change the world, for as long as the server runs; say so where it is not installed.

    Args:
        port: RPC port of the server.
    """
    if not _is_installed():
        print("--view needs another package: pip install 'rllib-integration[viewer]'", file=sys.stderr, flush=True)
        yield
        return
    words = [sys.executable, "-m", _MODULE, f"--carla-port={port}", "--controls", f"--end-with={os.getpid()}"]
    viewer = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        viewer.terminate()
        try:
            viewer.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            viewer.kill()
            viewer.wait()


def _is_installed() -> bool:
    try:
        return None not in (importlib.util.find_spec(_MODULE), importlib.util.find_spec("aiohttp"))
    except ModuleNotFoundError:
        return False
