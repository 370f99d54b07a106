"""Where an environment is in its experiment's own code: seen when that never returns, or ends the whole process.

An exception names its line. An endless loop and `os._exit` name nothing; so each call of an experiment is noted in a
few bytes. A thread looks at them now and then. In a training run they lie in a file, which outlives the process.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import logging
import mmap
import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rllib_integration.failures import is_users_file
from rllib_integration.telemetry.announcement import beginning_of, this_node

logger = logging.getLogger(__name__)

METHODS = (
    "",
    "reset",
    "prepare_world",
    "place_hero",
    "compute_action",
    "get_observation",
    "get_done_status",
    "get_truncated_status",
    "compute_reward",
)
RESET, PREPARE_WORLD, PLACE_HERO, COMPUTE_ACTION, GET_OBSERVATION, GET_DONE, GET_TRUNCATED, COMPUTE_REWARD = range(1, 9)

STUCK_SECONDS = 30.0
_LOOK_SECONDS = 5.0
_BYTES = 4096
_STEP_AT, _BEGAN_AT = 8, 16
_TEXTS = {"name": (64, 256), "node": (256, 512), "sentence": (512, _BYTES)}
_NUMBER = struct.Struct("<Q")
_SUFFIX = ".calls"
_numbers = itertools.count()
_watched: weakref.WeakSet[UserCode] = weakref.WeakSet()
_watch_lock = threading.Lock()
_watcher: threading.Thread | None = None


def _begin_in_child() -> None:
    """Let a forked process have a lock that no thread of its parent holds."""
    global _watch_lock
    _watch_lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)


class UserCode:
    """Notes which method of an experiment runs, in which step.

    Args:
        experiment: The experiment.
        folder: Where the file is; None keeps the notes to this process.

    Attributes:
        inside: Byte 0 is the index into `METHODS` of what runs, 0 for nothing of the user's. Set it before a call.
    """

    def __init__(self, experiment: object, folder: Path | None) -> None:
        self.inside: mmap.mmap | bytearray = bytearray(_BYTES)
        self.name = type(experiment).__name__
        self.thread = 0
        self.seen: tuple[int, int] = (0, 0)
        self.seen_at = 0.0
        self._path: Path | None = None
        if folder is not None:
            with contextlib.suppress(OSError):  # a full disk has its own sentence, where something is lost by it
                self._open(folder)
        _write(self.inside, "name", self.name)
        _write(self.inside, "node", this_node())
        _NUMBER.pack_into(self.inside, _BEGAN_AT, beginning_of(os.getpid()))

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{next(_numbers)}{_SUFFIX}"
        with path.open("w+b") as file:
            file.write(bytes(_BYTES))  # not a hole, which a full disk would turn into a SIGBUS
            file.flush()
            self.inside = mmap.mmap(file.fileno(), _BYTES)
        self._path = path

    def begin_episode(self) -> None:
        """Note that the experiment begins an episode in this thread."""
        _NUMBER.pack_into(self.inside, _STEP_AT, 0)
        self.thread = threading.get_ident()
        _watch(self)

    def begin_step(self, step: int) -> None:
        """Note that step number `step` of the episode begins, in this thread."""
        self.thread = threading.get_ident()
        _NUMBER.pack_into(self.inside, _STEP_AT, step)

    def within(self, method: int) -> UserCode:
        """Note that a method runs, until the end of the `with` block that this begins."""
        self.inside[0] = method
        return self

    def __enter__(self) -> UserCode:
        return self

    def __exit__(self, *error: object) -> None:
        self.inside[0] = 0

    def call(self) -> tuple[int, int]:
        """The index into `METHODS` of what runs, and the step."""
        return self.inside[0], _NUMBER.unpack_from(self.inside, _STEP_AT)[0]

    def look(self, now: float) -> None:
        """Tell, once, if the same call has run since a look at least `STUCK_SECONDS` earlier."""
        call = self.call()
        if call != self.seen or call[0] == 0:
            if self.seen_at == float("inf"):
                _write(self.inside, "sentence", "")
            self.seen, self.seen_at = call, now
        elif now - self.seen_at >= STUCK_SECONDS:
            sentence = RunningCall(self, call).describe(now - self.seen_at)
            if sentence is None:
                return
            self.seen_at = float("inf")
            logger.warning("%s", sentence)
            _write(self.inside, "sentence", sentence)

    def close(self) -> None:
        """Remove the file."""
        with _watch_lock:
            _watched.discard(self)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


@dataclass(frozen=True)
class RunningCall:
    """A call of the user's code that runs in a thread of this process.

    Attributes:
        code: Whose.
        call: As `code.call()` is while it runs.
    """

    code: UserCode
    call: tuple[int, int]

    def goes_on(self) -> bool:
        """Whether it has not returned."""
        return self.code.call() == self.call

    def describe(self, seconds: float) -> str | None:
        """Sentence and line of one that has run for `seconds`; None while it waits in this library."""
        line = _line_of(self.code.thread)
        return line and f"{_place(self.code.inside)} has not returned for {seconds:.0f} s.\n{line}"


def running_call(thread: int | None = None) -> RunningCall | None:
    """What of the user's code runs in a thread of this process (None: in any), if anything does."""
    with _watch_lock:
        codes = [code for code in _watched if thread is None or code.thread == thread]
    return next((RunningCall(code, code.call()) for code in codes if code.inside[0]), None)


def last_place(folder: Path, pid: int) -> str:
    """Where in the user's code a process has ended; its files are removed.

    Args:
        folder: That of the run's environments.
        pid: The process.

    Returns:
        A phrase such as "MyTask.compute_reward, in step 12 of its episode,"; empty if it was in none.
    """
    places = []
    for path in folder.glob(f"{pid}-*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            noted = path.read_bytes()
            path.unlink(missing_ok=True)
            if len(noted) == _BYTES and noted[0]:
                places.append(_place(noted))
    return places[0] if places else ""


def stuck_calls(folder: Path) -> Iterator[str]:
    """Sentences about calls that do not return, of all environments of a run."""
    for path, noted in _notes(folder):
        if noted[0] and not _is_stale(path, noted) and (sentence := _read(noted, "sentence")):
            yield sentence


def calls_so_far(folder: Path) -> frozenset[tuple[str, bytes]]:
    """What runs in all environments of a run, and in which step; it changes as long as they work."""
    return frozenset((path.name, noted[:_BEGAN_AT]) for path, noted in _notes(folder))


def remove_stale_calls(folder: Path) -> None:
    """Remove what killed processes of this machine have left in a folder; `last_place` finds nothing of them then."""
    for path, noted in _notes(folder):
        if _is_stale(path, noted):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _notes(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files of a folder, with what they hold."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            noted = path.read_bytes()
            if len(noted) == _BYTES:
                yield path, noted


def _is_stale(path: Path, noted: bytes) -> bool:
    """Whether the process that wrote a file has ended; what other machines wrote can't be judged."""
    pid, (began,) = int(path.name.partition("-")[0]), _NUMBER.unpack_from(noted, _BEGAN_AT)
    return _read(noted, "node") == this_node() and beginning_of(pid) != began


def _watch(code: UserCode) -> None:
    global _watcher
    with _watch_lock:
        _watched.add(code)
        if _watcher is None or not _watcher.is_alive():  # it is not there in a forked process
            _watcher = threading.Thread(target=_look_now_and_then, name="carla-user-code", daemon=True)
            _watcher.start()


def _look_now_and_then() -> None:
    rest = threading.Event()
    while not rest.wait(_LOOK_SECONDS):
        now = time.monotonic()
        with _watch_lock:
            codes = list(_watched)
        for code in codes:
            code.look(now)


def _place(noted: bytes | bytearray | mmap.mmap) -> str:
    step = _NUMBER.unpack_from(noted, _STEP_AT)[0]
    method = METHODS[min(noted[0], len(METHODS) - 1)]
    when = f"in step {step} of its episode" if step else "as an episode began"
    return f"{_read(noted, 'name')}.{method}, {when},"


def _line_of(thread: int) -> str | None:
    """The line of the user's code that a thread executes, as in a traceback; None while it waits in this library."""
    frame = sys._current_frames().get(thread)
    while frame is not None and not is_users_file(frame.f_code.co_filename):
        if frame.f_globals.get("__name__", "").startswith("rllib_integration."):
            return None  # which has time-outs of its own
        frame = frame.f_back
    if frame is None:
        return None
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"  {file}, line {line}, in {frame.f_code.co_name}\n    {linecache.getline(file, line).strip()}"


def _write(target: bytearray | mmap.mmap, text: str, value: str) -> None:
    begin, end = _TEXTS[text]
    content = value.encode()[: end - begin - 1] + b"\0"
    target[begin : begin + len(content)] = content


def _read(noted: bytes | bytearray | mmap.mmap, text: str) -> str:
    begin, end = _TEXTS[text]
    content = bytes(noted[begin:end])
    return content.partition(b"\0")[0].decode(errors="replace")
