"""Programs that obey commands of a test, one a line, and answer each.

What drives Ray is such a program: Ray's threads stay in a process when its cluster has ended, and where one of them
still has something to ask the cluster, it ends the process a minute later.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.known import present
from tests.patience import PATIENCE

_ANSWER = "answer: "


def obey(commands: Mapping[str, Callable[[], object]]) -> None:
    """Call what each line of the standard input names, and print what it returns, until there are no more."""
    for line in sys.stdin:
        print(_ANSWER, commands[line.strip()](), sep="", flush=True)


class Obedient:
    """A program that calls `obey`.

    Args:
        module: What Python runs.
        arguments: Of its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, command: str) -> str:
        """What it answers to a command."""
        commands, answers = present(self._process.stdin), present(self._process.stdout)
        commands.write(f"{command}\n")
        commands.flush()
        lines = iter(answers.readline, "")  # Ray, too, has something to say
        return next(line for line in lines if line.startswith(_ANSWER)).removeprefix(_ANSWER).strip()

    def close(self) -> None:
        """Return when it has ended; it has no more commands to obey."""
        self._process.communicate(timeout=PATIENCE)
