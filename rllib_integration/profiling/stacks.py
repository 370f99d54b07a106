"""Samples the stack of the main thread many times a second, and writes a flame graph of the samples.

The main thread often waits for a call that the client's thread makes. Such a sample is extended by the stack of the
client's thread, so that it shows the call.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from rllib_integration.servers.bounded_calls import PendingCall

Stack = tuple[CodeType, ...]
"""Functions, outermost first."""

WAITS = PendingCall.wait.__code__
"""The innermost function of a thread that waits for the client's thread."""

CALLS = PendingCall.run.__code__
"""The function in which the client's thread makes such a call; it follows `WAITS` in a stack."""

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


class StackSampler:
    """Sums the time that the main thread spends in each stack, from `start` to `stop`.

    A timer's signal interrupts the main thread. A sampling thread would be biased: it gets Python's lock, and a
    processor, mostly while the main thread waits.

    Args:
        interval: Seconds from one sample to the next.

    Attributes:
        seconds: Stack -> seconds in it.
        looks: Number of samples.
    """

    def __init__(self, interval: float = 0.001) -> None:
        self.seconds: defaultdict[Stack, float] = defaultdict(float)
        self.looks = 0
        self._interval = interval
        self._before = 0.0
        self._handler: Any = None

    def start(self) -> None:
        """Begin to sample. Call it in the main thread."""
        self._handler = signal.signal(signal.SIGALRM, self._look)
        self._before = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, self._interval, self._interval)

    def stop(self) -> None:
        """Stop sampling, and restore the signal's handler."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._handler)

    def _look(self, number: int, frame: FrameType | None) -> None:
        now = time.perf_counter()
        stack = _stack_of(frame)
        if stack and stack[-1] is WAITS:
            stack += _call_under_way(sys._current_frames())
        self.seconds[stack] += now - self._before
        self.looks += 1
        self._before = now


def _stack_of(frame: FrameType | None) -> Stack:
    stack = []
    while frame is not None:
        stack.append(frame.f_code)
        frame = frame.f_back
    return tuple(reversed(stack))


def _call_under_way(frames: Mapping[int, FrameType]) -> Stack:
    """The stack of a client's thread from its call inwards; empty where no thread makes a call."""
    for frame in frames.values():
        stack = _stack_of(frame)
        if CALLS in stack:
            return stack[stack.index(CALLS) :]
    return ()


def name_of(code: CodeType) -> str:
    """The name of a function in a flame graph."""
    return f"{getattr(code, 'co_qualname', code.co_name)} ({Path(code.co_filename).name})"


def write_flame_graph(
    path: Path, seconds: Mapping[Stack, float], name: str, keep: Callable[[Stack], bool] = bool
) -> None:
    """Write stacks as a file for https://www.speedscope.app, a page that reads it without uploading it.

    Args:
        path: The file.
        seconds: Stack -> seconds in it.
        name: Title of the graph.
        keep: Whether a stack is written.
    """
    numbers: dict[CodeType, int] = {}
    samples = [[numbers.setdefault(code, len(numbers)) for code in stack] for stack in seconds if keep(stack)]
    weights = [spent for stack, spent in seconds.items() if keep(stack)]
    frames = [{"name": name_of(code), "file": code.co_filename, "line": code.co_firstlineno} for code in numbers]
    profile = {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }
    document = {"$schema": _SCHEMA, "name": name, "shared": {"frames": frames}, "profiles": [profile]}
    path.write_text(json.dumps(document), encoding="utf-8")
