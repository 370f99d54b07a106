"""An embedded server that compiles for as long as a test wants: each late job takes a byte from a pipe of its name.

python -m tests.minicarla.compiling_server FOLDER_OF_PIPES [options of the server]
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from minicarla import command_line, warming
from minicarla.kernels import cache as kernel_cache

_NAMES = [name for name, _ in warming.late_jobs()]


def main() -> int:
    folder = Path(sys.argv[1])

    def job(name: str) -> tuple[str, Callable[[], object]]:
        pipe = (folder / name).open("rb", buffering=0)
        return name, lambda: pipe.read(1)

    kernel_cache.is_complete = lambda: False
    kernel_cache.note_complete = lambda: None
    warming._one_at_a_time = contextlib.nullcontext
    warming.jobs = lambda town, town_folder: []
    warming.late_jobs = lambda: [job(name) for name in _NAMES]
    return command_line.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
