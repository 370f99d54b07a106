"""Reads what `run_log` wrote of training runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from rllib_integration.annotations import Record
from rllib_integration.driving.evaluation import read_episodes
from rllib_integration.errors import IntegrationError
from rllib_integration.run_folder import read_starts


class RunRecordError(IntegrationError, ValueError):
    """A folder's record can't be read; the message is a sentence for the user."""


@dataclass
class Run:
    """One run's record.

    Attributes:
        folder: Where it is.
        document: Its configuration.
        starts: What `run.json` says of each start.
        episodes: Training episodes, in order.
        evaluations: Greedy evaluation episodes, in order.
    """

    folder: Path
    document: Record
    starts: list[Record]
    episodes: list[Record]
    evaluations: list[Record]


Groups = Mapping[str, Sequence[Run]]
"""Runs that are drawn as one curve, under its name."""


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        RunRecordError: it is no run, or no episode has ended in it yet.
    """
    files = {name: folder / name for name in ("config.yaml", "run.json", "episodes.jsonl")}
    for file in files.values():
        if not file.is_file():
            raise RunRecordError(f"{folder} is not a run that has finished an iteration: {file.name} is missing.")
    episodes = read_episodes(files["episodes.jsonl"])
    if not episodes:
        raise RunRecordError(f"No episode has ended yet in {folder}.")
    document = yaml.safe_load(files["config.yaml"].read_text(encoding="utf-8")) or {}
    return Run(
        folder, document, read_starts(files["run.json"]) or [], episodes, read_episodes(folder / "evaluation.jsonl")
    )


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that differ only in their seed, under the name of the first of them."""
    groups: dict[str, list[Run]] = {}
    names: dict[str, str] = {}
    for run in runs:
        document = {key: value for key, value in run.document.items() if key != "debugging"}
        key = json.dumps(document, sort_keys=True, default=str)
        names.setdefault(key, run.folder.name)
        groups.setdefault(names[key], []).append(run)
    return groups
