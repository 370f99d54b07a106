"""Commands in copies of a process that has imported Ray and torch: every other training of a test waits for that.

What is shared is no more than the imported modules. tests/training/test_run.py starts commands as a user does.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from rllib_integration.processes.ray_setup import prepare_for_ray
from rllib_integration.processes.supervisor import PR_SET_PDEATHSIG, prctl
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]


class WarmCommands:
    """Runs Python programs as `subprocess.run` does, in the repository's root, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_commands"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run what `python` with these words would: a script and its arguments, or `-m`, a module and its arguments.

        Returns:
            Its exit status and what it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            request = {"words": words, "output": str(output), "errors": str(errors)}
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, f"the process that runs commands has ended: {self._process.wait(PATIENCE)}"
            return subprocess.CompletedProcess(words, int(answer), output.read_text(), errors.read_text())

    def close(self) -> None:
        """End the process, and with it a command that is still running."""
        self._process.kill()
        self._process.communicate()


def serve() -> None:
    """Run a command for each line of standard input; prints its exit status."""
    prepare_for_ray()
    import stable_baselines3  # noqa: F401

    import rllib_integration.training.run
    import rllib_integration.training.start  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_the_command(request["words"], request["output"], request["errors"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _be_the_command(words: list[str], output: str, errors: str) -> NoReturn:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for file, descriptor in ((os.devnull, 0), (output, 1), (errors, 2)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(file, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    status = 1
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path[0] = str(Path(words[0]).resolve().parent)
            runpy.run_path(words[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
