"""A server some of whose calls fail from some moment on: `python -m tests.minicarla.sabotaged_server HOW CALLS ...`.

HOW is "unguarded: error", "error" or "garbage"; CALLS are the calls that fail, joined by commas; the rest are options
of the server.
"""

from __future__ import annotations

import sys
from typing import Any

from minicarla.command_line import main
from minicarla.rpc import server as _register_calls  # noqa: F401
from minicarla.rpc.quirks.fatal_answers import ReplyGuard
from minicarla.rpc.registry import REMOTE_CALLS, RemoteError

_GOOD_ANSWERS = 12
"""Enough for a client to get its Traffic Manager running."""


def _sabotage(name: str, how: str) -> None:
    call = REMOTE_CALLS[name]
    answered = 0

    def fail(server: Any, *arguments: Any) -> Any:
        nonlocal answered
        answered += 1
        result = call.function(server, *arguments)
        if len(server.simulation.episode.vehicles) == 0 or (answered <= _GOOD_ANSWERS and name != "query_lights_state"):
            return result
        if how == "garbage":
            return "garbage"
        raise RemoteError("sabotage")

    REMOTE_CALLS[name] = call._replace(function=fail)


if __name__ == "__main__":
    how, names = sys.argv[1:3]
    if how.startswith("unguarded"):
        ReplyGuard.instead_of_failure = lambda *_: None  # type: ignore[method-assign]
    for name in names.split(","):
        _sabotage(name, how)
    sys.exit(main(sys.argv[3:]))
