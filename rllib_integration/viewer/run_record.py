"""Contents of a run's folder, live or finished: curves, evaluations, checkpoints, configuration, log lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllib_integration.driving.evaluation import by_iteration, infractions_text, read_episodes, summarise
from rllib_integration.run_folder import best_checkpoint, checkpoints_in
from rllib_integration.viewer.driving_maps import driving_tests, last_places

_MOST_ROWS = 2000  # of a run's curves; beyond it, every second row is dropped
_MOST_CURVES = 400
_MOST_RUNS = 24  # with curves in memory
_LOG_BYTES = 24_000
_LARGEST_FILE = 1 << 20  # [bytes] shown as text
_STEPS = "num_env_steps_sampled_lifetime"
_LOGS = ("error.log", "tensorboard.log", "native.log")
_WATCHED_FILES = ("result.json", "evaluation.jsonl", "episodes.jsonl", "run.json", "config.yaml", "best", *_LOGS)


class Curves:
    """The figures of a run's iterations; each read continues at the end of the last one.

    Args:
        file: `result.json` of the run.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._rows: list[dict[str, float]] = []
        self._names: dict[str, None] = {}
        self._every = 1
        self._count = 0
        self._identity = 0

    def read(self) -> dict[str, Any]:
        """`steps`: environment steps of each row; `curves`: name -> value of each row, None without a value."""
        try:
            status = self._file.stat()
        except OSError:
            return {"steps": [], "curves": {}}
        if status.st_ino != self._identity or status.st_size < self._offset:
            self._forget()  # the file was replaced
            self._identity = status.st_ino
        with self._file.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # an incomplete line
                self._offset += len(line)
                self._take(line)
        steps = [row.get(_STEPS, row.get("training_iteration", 0)) for row in self._rows]
        return {"steps": steps, "curves": {name: [row.get(name) for row in self._rows] for name in self._names}}

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return
        self._count += 1
        for name, value in row.items():
            if len(self._names) < _MOST_CURVES and isinstance(value, (int, float)):
                self._names.setdefault(name)
        if self._count % self._every == 0:
            self._rows.append({name: value for name, value in row.items() if name in self._names})
        if len(self._rows) > _MOST_ROWS:
            del self._rows[::2]
            self._every *= 2


class RunRecords:
    """The runs of a viewer, each under a constant number."""

    def __init__(self) -> None:
        self._numbers: dict[Path, int] = {}
        self._curves: dict[Path, Curves] = {}
        self._stamps: dict[Path, tuple[int, ...]] = {}

    def number(self, run: Path) -> int:
        """The number of a run."""
        return self._numbers.setdefault(run, len(self._numbers))

    def run(self, number: int) -> Path | None:
        """The run of a number."""
        return next((run for run, own in self._numbers.items() if own == number), None)

    def changed(self, runs: Sequence[Path]) -> list[int]:
        """Numbers of the runs that are new or have changed since the last call."""
        found = {run: _stamp(run) for run in runs}
        before, self._stamps = self._stamps, found
        return [self.number(run) for run in runs if before.get(run) != found[run]]

    def curves(self, run: Path) -> dict[str, Any]:
        """As `Curves.read`."""
        curves = self._curves.pop(run, None) or Curves(run / "result.json")
        self._curves[run] = curves
        for oldest in list(self._curves)[:-_MOST_RUNS]:
            del self._curves[oldest]
        return curves.read()


def _stamp(run: Path) -> tuple[int, ...]:
    stamps = []
    tests = sorted(path for path in run.glob("*.json") if path.name not in _WATCHED_FILES)
    for file in (*(run / name for name in _WATCHED_FILES), *tests):
        try:
            status = file.stat()
            stamps += [status.st_mtime_ns, status.st_size]
        except OSError:
            stamps.append(0)
    return tuple(stamps)


def describe_run(run: Path) -> dict[str, Any]:
    """The contents of a run's folder, without its curves."""
    return {
        "name": run.name,
        "folder": str(run),
        "starts": _read_starts(run / "run.json"),
        "configuration": _text(run / "config.yaml"),
        "checkpoints": _checkpoints(run),
        "evaluation": _evaluation(run / "evaluation.jsonl"),
        "tests": driving_tests(run),
        "places": last_places(run),
        "logs": {name: text for name in _LOGS if (text := _tail(run / name))},
    }


def _read_starts(file: Path) -> list[dict[str, Any]]:
    try:
        starts = json.loads(_text(file) or "[]")
    except ValueError:
        return []
    return [start for start in starts if isinstance(start, dict)][-20:] if isinstance(starts, list) else []


def _checkpoints(run: Path) -> list[dict[str, Any]]:
    best = best_checkpoint(run)
    rows = []
    for path in checkpoints_in(run):
        is_best = best is not None and best[0].name == path.name
        score = best[1] if best is not None and is_best else None
        try:
            rows.append({"name": path.name, "saved": path.stat().st_mtime, "best": is_best, "score": score})
        except OSError:
            continue  # removed meanwhile
    return rows


def _evaluation(file: Path) -> list[dict[str, Any]]:
    """A row for each evaluation and town."""
    try:
        episodes = read_episodes(file)
    except (OSError, ValueError):
        return []  # the last line is incomplete
    rows = []
    for iteration, group in by_iteration(episodes).items():
        for town in sorted({str(episode.get("town") or "-") for episode in group}):
            here = [episode for episode in group if str(episode.get("town") or "-") == town]
            rows.append(
                {"iteration": iteration, "town": town, **summarise(here), "infractions": infractions_text(here)}
            )
    return rows[-200:]


def _text(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return content.read(_LARGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return ""


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - _LOG_BYTES))
            return content.read().decode("utf-8", "replace")
    except OSError:
        return ""
