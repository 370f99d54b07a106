"""Tracks and ends of a run's episodes: of driving tests, evaluations, and the last of training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rllib_integration.driving.evaluation import read_episodes

_LARGEST_FILE = 32 << 20  # [bytes], result of a driving test
_MOST_TESTS = 12
_MOST_TRACKS = 400  # in a town
_MOST_PLACES = 600  # of an evaluation or of training
_SMALLEST_FILE = 2


def driving_tests(run: Path) -> list[dict[str, Any]]:
    """The driving tests in a run's folder, as written by `carla-rllib evaluate --output RUN/NAME`.

    Returns:
        For each: `name`; `best`, the best policy; `rows`, a summary of each policy and town; `towns`: town -> `tracks`
        ([x, y] in m) with `end`, `place` ([x, y] in m) and `policy`. The newest first.
    """
    files = sorted(run.glob("*.json"), key=_written_at, reverse=True)
    tests = (_read_test(file) for file in files if file.name != "result.json")
    return [test for test in tests if test is not None][:_MOST_TESTS]


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _read_test(file: Path) -> dict[str, Any] | None:
    try:
        if not _SMALLEST_FILE < file.stat().st_size < _LARGEST_FILE:
            return None
        document = json.loads(file.read_bytes())
        if not {"policies", "summaries", "episodes"} <= document.keys():
            return None
        towns: dict[str, list[dict[str, Any]]] = {}
        for episode in document["episodes"]:
            tracks = towns.setdefault(str(episode["town"]), [])
            if len(tracks) < _MOST_TRACKS:
                shown = {"track": episode["track"], "end": episode["end"], "place": episode["position"]}
                tracks.append({**shown, "policy": episode["policy"]})
        return {"name": file.stem, "best": document.get("best"), "rows": document["summaries"], "towns": towns}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # a file of another program, or an incomplete one


def last_places(run: Path) -> dict[str, Any]:
    """The ends of the last evaluation's episodes, or without an evaluation, of training's last episodes.

    Returns:
        `of`: "evaluation" or "training"; `iteration` of an evaluation; `towns`: as for `driving_tests`.
    """
    episodes = _with_place(read_episodes(run / "evaluation.jsonl"))
    if episodes:
        last = episodes[-1].get("iteration")
        newest = [episode for episode in episodes if episode.get("iteration") == last]
        return {"of": "evaluation", "iteration": last, "towns": _by_town(newest)}
    return {"of": "training", "towns": _by_town(_with_place(read_episodes(run / "episodes.jsonl")))}


def _with_place(episodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [episode for episode in episodes if _is_place(episode.get("position")) and episode.get("town")]


def _is_place(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(isinstance(part, (int, float)) for part in value)


def _by_town(episodes: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    towns: dict[str, list[dict[str, Any]]] = {}
    for episode in episodes[-_MOST_PLACES:]:
        found = {"track": [], "end": episode.get("end", "unknown"), "place": episode["position"][:2]}
        towns.setdefault(str(episode["town"]), []).append(found)
    return towns
