"""Why env runners were lost: Ray starts another one and forgets, with its own folder, what the lost one said last."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from rllib_integration.telemetry.announcement import LIVE_FOLDER
from rllib_integration.user_code import last_place

_ROLE = re.compile(r"^:actor_name:(\w*EnvRunner\w*)$", re.MULTILINE)
_SIGNAL = re.compile(r"\*\*\* (SIG\w+) received")
_FAILED = re.compile(r"^.*Worker exception caught during .*\nTraceback .*\n(?:[ ].*\n)+(\S.*)$", re.MULTILINE)
_OUT_OF_MEMORY = re.compile(
    r"OOM kill reason: Memory usage (\d+)B exceeded threshold of (\d+)B.*?[( ]pid=(\d+)\b", re.DOTALL
)
_GIGABYTE = 1e9
_LOG_BYTES = 200_000
_MOST_LOST_INSIDE = 3


@dataclass(frozen=True)
class LostRunner:
    """An env runner's process that has ended.

    Attributes:
        pid: its process id.
        cause: a phrase, such as "it crashed (SIGSEGV)" or "it failed, ValueError: too small".
        log: file with its last words; None if it said nothing.
        place: where in the experiment's own code it was; empty if elsewhere.
    """

    pid: int
    cause: str
    log: Path | None
    place: str = ""

    def __str__(self) -> str:
        inside = f" It was in {self.place} which may end the process (os._exit, a crash)." if self.place else ""
        where = f" Its last words are in {self.log}." if self.log else ""
        return f"An env runner (process {self.pid}) was lost: {self.cause}.{inside}{where}"


class LostRunners:
    """Looks into Ray's own logs for env runners that have ended.

    Args:
        ray_logs: Ray's folder of logs.
        folder: where the last words of lost ones are kept.
    """

    def __init__(self, ray_logs: Path, folder: Path) -> None:
        self._ray_logs = ray_logs
        self._folder = folder
        self._known: set[int] = set()
        self._lost_inside = 0

    def new(self) -> list[LostRunner]:
        """Those that have ended since the last look."""
        found = []
        for output in sorted(self._ray_logs.glob("worker-*.out")):
            pid = int(output.stem.rpartition("-")[2])
            if pid in self._known or Path(f"/proc/{pid}").exists():
                continue
            self._known.add(pid)
            if _ROLE.search(_end_of(output)):
                found.append(self._examine(pid, output.with_suffix(".err")))
        self._lost_inside += sum(1 for runner in found if runner.place)
        return found

    def comes_again(self) -> bool:
        """Whether so many were lost inside the experiment's own code that another will be, too."""
        return self._lost_inside >= _MOST_LOST_INSIDE

    def _examine(self, pid: int, errors: Path) -> LostRunner:
        words = _end_of(errors)
        log = None
        if any(not line.startswith(":") for line in words.splitlines()):  # those are Ray's own
            log = self._folder / f"lost_env_runner_{pid}.log"
            shutil.copyfile(errors, log)
        return LostRunner(pid, self._cause(pid, words), log, last_place(self._folder / LIVE_FOLDER, pid))

    def _cause(self, pid: int, words: str) -> str:
        for used, allowed, killed in _OUT_OF_MEMORY.findall(_end_of(self._ray_logs / "raylet.out")):
            if int(killed) == pid:
                return (
                    f"Ray ended it, because {int(used) / _GIGABYTE:.1f} GB of the machine's memory were in use, more "
                    f"than the {int(allowed) / _GIGABYTE:.1f} GB that RAY_memory_usage_threshold allows"
                )
        failure = _FAILED.search(words)
        if failure:  # Ray may let such a process end by a signal
            return f"it failed, {failure.group(1)}"
        crash = _SIGNAL.search(words)
        if crash:
            return f"it crashed ({crash.group(1)})"
        return "it ended without a word, as one does that is killed (SIGKILL), also by a kernel that is out of memory"


def _end_of(file: Path) -> str:
    """The last part of a text file; empty if there is none."""
    try:
        with file.open("rb") as content:
            content.seek(max(0, content.seek(0, 2) - _LOG_BYTES))
            return content.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
