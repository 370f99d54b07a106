"""Finds interpreters of the Pythons that the project supports, beside the one that this runs in.

python3 .ci/pythons.py 3.10    # prints where one is; status 1 where none is
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12")


def find_python(version: str) -> str | None:
    """An interpreter of a version such as "3.10" that can make virtual environments; None where there is none."""
    return next((python for python in _candidates(version) if _starts(python)), None)


def _candidates(version: str) -> Iterator[str]:
    """Where one may be: on the search path, or among those that pyenv keeps and does not always put on it."""
    yield f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"), reverse=True))


def _starts(python: str) -> bool:
    """Whether an interpreter is there, and not a version manager's stand-in for one that is not."""
    try:
        started = subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False)
    except OSError:
        return False
    return started.returncode == 0


if __name__ == "__main__":
    found = find_python(sys.argv[1])
    if found is None:
        sys.exit(1)
    print(found)
