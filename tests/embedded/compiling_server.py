"""An embedded server that compiles for as long as a test wants: each late job takes a byte from a named pipe.

python -m tests.embedded.compiling_server PIPE [options of the server]
"""

from __future__ import annotations

import contextlib
import sys

from rllib_integration.embedded import command_line, kernel_cache, warming

_NAMES = [name for name, _ in warming.late_jobs()]


def main() -> int:
    pipe = open(sys.argv[1], "rb", buffering=0)  # noqa: SIM115  held for as long as the server lives
    kernel_cache.is_complete = lambda: False
    kernel_cache.note_complete = lambda: None
    warming._one_at_a_time = contextlib.nullcontext
    warming.jobs = lambda town, town_folder: []
    warming.late_jobs = lambda: [(name, lambda: pipe.read(1)) for name in _NAMES]
    return command_line.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
