"""What a server that does not listen yet says about itself, in its log."""

from __future__ import annotations

import sys

_PREFIX = "starting: "  # by which whoever started the server finds these lines

COMPILES = "it compiles its kernels, once on this machine, which takes about seventy seconds of processor time"
COMPILED = "it compiles its kernels, once on this machine: {percent} % done"
AWAITS_ANOTHER = "it waits for another server that compiles the kernels, once on this machine"


def announce(doing: str) -> None:
    """Say what keeps the server from listening, until it says something else; its first output is that it listens."""
    print(_PREFIX + doing, file=sys.stderr, flush=True)
