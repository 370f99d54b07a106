"""What a training run leaves on disk: its configuration, its origin, and a record of every iteration.

<directory>/<name>/
    config.yaml            the complete configuration
    run.json               command, versions, seed, git state, machine; one entry for each start
    result.json            one line of JSON an iteration
    progress.csv           the same as a table
    episodes.jsonl         one line of JSON a finished episode
    evaluation.jsonl       the same for evaluation episodes
    events.out.tfevents.*  the same for TensorBoard
    checkpoint_000012/     the state after iteration 12, or inside it where the run was cut short
    rollouts/              a line of JSON a step, with --state-log
    tracking.json          the run's numbers at MLflow and Weights & Biases, where it is tracked
    best                   a link to the checkpoint of the highest mean return, in evaluation where there is one
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import save_config
from rllib_integration.run_folder import RUN_FILE, read_starts, replace_text

PACKAGES = ("ray", "torch", "gymnasium", "carla", "numpy", "numba", "opencv-python-headless")
_NOT_LOGGED = ("config", "episodes")


class RunLog:
    """Appends to a run's files; a restored run continues them.

    Args:
        folder: The run's folder; it is made.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._events = SummaryWriter(str(folder), flush_secs=10)
        self._table = folder / "progress.csv"
        self._columns = self._read_columns()

    def _read_columns(self) -> list[str]:
        if not self._table.is_file():
            return []
        with self._table.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])

    def describe(self, document: Settings, facts: Settings) -> None:
        """Write the configuration, and how and with what the run was started."""
        save_config(document, self.folder / "config.yaml")
        file = self.folder / RUN_FILE
        starts = read_starts(file)
        if starts is None:
            broken = file.replace(file.with_name(f"broken_{RUN_FILE}"))
            print(f"{file} can't be read: it is now {broken}, and the run's record of starts begins anew.", flush=True)
        starts = [*(starts or []), {**origin_of_run(), **facts}]
        replace_text(file, json.dumps(starts, indent=1, default=str))

    def add(self, result: Settings, evaluated: bool = False) -> dict[str, float]:
        """Record an iteration's result and the episodes that ended in it.

        Args:
            result: RLlib's result.
            evaluated: Whether its evaluation was made in this iteration; RLlib hands the last one on.

        Returns:
            All finite numbers of the result, by slash-separated names.
        """
        if not evaluated:
            result = {name: value for name, value in result.items() if name != "evaluation"}
        flat = dict(flatten(result))
        step = int(flat.get("num_env_steps_sampled_lifetime", 0))
        with (self.folder / "result.json").open("a", encoding="utf-8") as file:
            file.write(json.dumps(flat) + "\n")
        self._add_row(flat)
        for name, value in flat.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()
        self._add_episodes("episodes.jsonl", result.get("env_runners"), flat)
        evaluation = result.get("evaluation") or {}
        self._add_episodes("evaluation.jsonl", evaluation.get("env_runners"), flat)
        return flat

    def _add_row(self, flat: dict[str, float]) -> None:
        """Append to the table; a new column makes it be written again with all columns."""
        missing = [name for name in flat if name not in self._columns]
        if not missing and self._table.is_file():
            with self._table.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns, restval="").writerow(flat)
            return
        rows: list[Record] = []
        if self._table.is_file():
            with self._table.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        self._columns = [*self._columns, *missing]
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self._columns, restval="")
        writer.writeheader()
        writer.writerows([*rows, flat])
        replace_text(self._table, table.getvalue())

    def _add_episodes(self, name: str, results: Settings | None, flat: Mapping[str, float]) -> None:
        episodes = (results or {}).get("episodes")
        if not isinstance(episodes, (list, tuple)):  # a mean over nothing when none ended
            return
        place = {"iteration": flat.get("training_iteration"), "step": flat.get("num_env_steps_sampled_lifetime")}
        with (self.folder / name).open("a", encoding="utf-8") as file:
            for episode in episodes:
                file.write(json.dumps({**place, **json.loads(episode)}) + "\n")

    def close(self) -> None:
        """Flush what TensorBoard reads."""
        self._events.close()


def flatten(result: Settings, above: str = "") -> Iterator[tuple[str, float]]:
    """All finite numbers of a nested result, as slash-separated name and value."""
    for key, value in result.items():
        if key in _NOT_LOGGED:
            continue
        if isinstance(value, Mapping):
            yield from flatten(value, f"{above}{key}/")
            continue
        if hasattr(value, "item") and getattr(value, "size", 1) == 1:
            value = value.item()
        if isinstance(value, (int, float)) and math.isfinite(value):
            yield f"{above}{key}", value


def origin_of_run() -> Record:
    """When, from what command, with which versions and from which state of the code a run started."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "machine": {"host": platform.node(), "system": platform.platform()},
        "versions": versions,
        "git": git_state(),
    }


def git_state() -> Record | None:
    """Commit of this code and whether files differ from it; None where it is no git checkout."""
    folder = Path(__file__).resolve().parent
    answers = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        answers.append(done.stdout.strip())
    return {"commit": answers[0], "changed_files": answers[1].splitlines()}
