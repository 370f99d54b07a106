"""Starves clients of processor time, again and again: `python3 -m tests.minicarla.starve --repeat 200 [DEFECT ...]`.

A client of `tests/minicarla/starved_client.py` runs pinned to one core, beside busy processes pinned to the same one.
It repeats what it does some times; it fails if it aborts, hangs or ends with an error. All processes end with this one.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import EmbeddedServer
from tests.ports import free_port_pair

CLIENT = Path(__file__).with_name("starved_client.py")
DEFECTS = (
    "asynchronous_traffic",
    "batch_ticks",
    "ended_vehicles",
    "second_listens",
    "subscribing",
    "synchronous_traffic",
    "world_loading",
)
"""Those that time decides; `fatal_answers` depends on values alone."""
_ROUNDS = 20
"""Of one client, at most."""
_LONGEST_ROUND = 60.0
"""[s] after which a client is taken for one that hangs."""
_BUSY = "import time; end = time.monotonic() + 3600.0\nwhile time.monotonic() < end: pass"
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In a new process: end with the process that started it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_busy(core: int) -> None:
    _end_with_parent()
    os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def busy_core(processes: int, core: int | None = None) -> Iterator[int]:
    """A core on which so many processes do nothing but take time."""
    core = max(os.sched_getaffinity(0)) if core is None else core
    loops = [
        subprocess.Popen([sys.executable, "-S", "-c", _BUSY], preexec_fn=lambda: _be_busy(core))
        for _ in range(processes)
    ]
    try:
        yield core
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


@dataclass
class Outcome:
    """What became of the repetitions of one defect's client.

    Attributes:
        rounds: How many repetitions were survived.
        aborts: How many clients were ended by a signal.
        hangs: How many did not end.
        errors: How many ended with an error.
        said: What the failed ones said.
        seconds: Of each client that did not fail.
    """

    rounds: int = 0
    aborts: int = 0
    hangs: int = 0
    errors: int = 0
    said: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        """How many clients failed."""
        return self.aborts + self.hangs + self.errors

    def note(self, status: int | None, output: str) -> None:
        """Note the end of a client; without a status it had to be ended."""
        self.rounds += output.count("round ")
        self.hangs += status is None
        if status:
            self.aborts += status < 0
            self.errors += status > 0
        if status != 0:
            self.said.append(f"{status}: {output[-1000:]}")


def starve(defect: str, address: tuple[str, int], times: int, busy: int) -> Outcome:
    """Repeat what provokes a defect, in clients beside busy processes.

    Args:
        defect: One of `DEFECTS`.
        address: Host and port of the clients' server.
        times: Repetitions in all; a client that fails is followed by another one.
        busy: Busy processes on the clients' core.
    """
    outcome, left, began = Outcome(), times, time.monotonic()
    with busy_core(busy) as core:
        while left > 0:
            rounds = min(left, _ROUNDS)
            left -= rounds
            words = [sys.executable, str(CLIENT), defect, *map(str, address), str(free_port_pair())]
            client = subprocess.Popen(
                [*words, str(core), str(rounds)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=_end_with_parent,
            )
            try:
                output, _ = client.communicate(timeout=rounds * _LONGEST_ROUND)
                outcome.note(client.returncode, output)
            except subprocess.TimeoutExpired:
                client.kill()
                outcome.note(None, client.communicate()[0])
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    """The command line; returns how many defects did harm."""
    parser = argparse.ArgumentParser(description="Starve clients of processor time, over and over.")
    parser.add_argument("defects", nargs="*", default=DEFECTS, choices=DEFECTS, metavar="DEFECT", help="default: all")
    parser.add_argument("--repeat", type=int, default=200, help="repetitions of each")
    parser.add_argument("--busy", type=int, default=10, help="busy processes on the clients' core")
    parser.add_argument("--log", type=Path, default=Path("starve_server.log"), help="the servers' log")
    options = parser.parse_args()
    failed = 0
    for defect in options.defects:
        server = EmbeddedServer(options.log.with_stem(f"{options.log.stem}_{defect}"))
        try:
            outcome = starve(defect, server.address, options.repeat, options.busy)
        finally:
            server.stop()
        failed += bool(outcome.failures)
        print(
            f"{defect}: {outcome.rounds} of {options.repeat} repetitions, {outcome.aborts} aborts, "
            f"{outcome.hangs} hangs, {outcome.errors} errors, {outcome.seconds:.0f} s",
            *outcome.said,
            sep="\n",
            flush=True,
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
