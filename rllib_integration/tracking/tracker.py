"""The interface of experiment trackers, and a thread that feeds one, so that training never waits for it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from rllib_integration.annotations import Record, Settings
from rllib_integration.errors import IntegrationError

MOST_WAITING = 200  # queued records; further ones are dropped
AT_THE_END = 20.0  # [s] that a run's end waits for queued records
_MOST_FAILURES = 5  # in a row, after which records are dropped until the end


class TrackingError(IntegrationError, RuntimeError):
    """A run can't be tracked; the message is a sentence for the user."""


class Tracker(Protocol):
    """An experiment tracker. Its methods may be slow and may fail; one thread calls them."""

    name: str

    def start(self, run: RunDescription) -> str:
        """Begin a run, or continue it; returns its id."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record an iteration."""

    def add_file(self, file: Path, folder: str) -> None:
        """Keep a file or a folder with the run."""

    def finish(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""


class RunDescription:
    """A run's description for a tracker.

    Args:
        name: Name of the run.
        folder: Folder of the run.
        document: Configuration of the run.
        tags: Facts about code, versions and machine, flat.
        run_id: The tracker's id of the run, if it is continued.
    """

    def __init__(
        self, name: str, folder: Path, document: Settings, tags: Mapping[str, str], run_id: str | None
    ) -> None:
        self.name, self.folder, self.document, self.tags, self.run_id = name, folder, document, tags, run_id

    @property
    def parameters(self) -> Record:
        """The complete configuration as a flat tree."""
        return flat_tree(self.document)


def flat_tree(tree: object, above: str = "") -> Record:
    """A tree of mappings and lists of mappings, as values by their paths: `env_config.carla.timeout`."""
    if isinstance(tree, Mapping) and tree:
        parts: Record = {}
        for name, value in tree.items():
            parts |= flat_tree(value, f"{above}.{name}" if above else str(name))
        return parts
    if isinstance(tree, (list, tuple)) and any(isinstance(part, Mapping) for part in tree):
        return {key: part for n, value in enumerate(tree) for key, part in flat_tree(value, f"{above}.{n}").items()}
    return {above: tree}


class TrackingThread:
    """Passes records to a tracker in a thread.

    A tracker that fails or hangs does not affect the run: the first failure is reported, and records beyond
    `most_waiting` are dropped.

    Args:
        tracker: The tracker.
        run: The run's description.
        on_started: Called with the tracker's id of the run.
        most_waiting: Size of the queue.
        tell: Called with lines for the user.
    """

    def __init__(
        self,
        tracker: Tracker,
        run: RunDescription,
        on_started: Callable[[str], None] = lambda run_id: None,
        most_waiting: int = MOST_WAITING,
        tell: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        self._tracker, self._tell = tracker, tell
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(most_waiting)
        self._failures = 0
        self._told: set[str] = set()
        self.dropped = 0
        self._done = threading.Event()
        self._is_closing = False
        self._put(lambda: on_started(tracker.start(run)))
        self._thread = threading.Thread(target=self._work, name=f"tracking-{tracker.name}", daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record an iteration."""
        copy = dict(metrics)
        self._put(lambda: self._tracker.log(copy, step))

    def add_file(self, file: Path, folder: str = "") -> None:
        """Keep a file or a folder with the run, in its state when it is processed."""
        self._put(lambda: self._tracker.add_file(file, folder) if file.exists() else None)

    def finish(self, status: str, patience: float = AT_THE_END) -> None:
        """End the run, and wait some seconds for queued records."""
        until = time.monotonic() + patience
        with contextlib.suppress(queue.Full):
            self._waiting.put(lambda: self._tracker.finish(status), timeout=patience)
        self._is_closing = True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(lambda: None)  # wakes the thread if the queue is empty
        if not self._done.wait(max(0.0, until - time.monotonic())):
            self._say("late", f"{self._tracker.name} has not taken all records within {patience:.0f} s; some are lost.")
        elif self.dropped:
            self._say("dropped", f"{self._tracker.name} was too slow: {self.dropped} records are missing.")

    def _put(self, record: Callable[[], None]) -> None:
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        while not (self._is_closing and self._waiting.empty()):
            record = self._waiting.get()
            if self._failures >= _MOST_FAILURES and not self._is_closing:
                continue
            try:
                record()
                self._failures = 0
            except Exception as error:  # of any kind: the clients have many, and none may end the training
                self._failures += 1
                self._say("failed", f"{self._tracker.name} fails; training continues without it: {_first_line(error)}")
                if self._is_closing:
                    break
        self._done.set()

    def _say(self, kind: str, line: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(f"Tracking: {line}")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
