"""What a run's recorded episodes say about its driving."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def read_episodes(file: Path) -> list[dict[str, Any]]:
    """The episodes of `episodes.jsonl` or `evaluation.jsonl`; none if there is no such file."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def by_iteration(episodes: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    """Episodes grouped by the iteration in which they ended, in order."""
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for episode in episodes:
        groups.setdefault(int(episode.get("iteration") or 0), []).append(episode)
    return dict(sorted(groups.items()))


def summarise(episodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Median and mean distance [m], mean speed [km/h], mean return, and how many episodes ended in which way."""
    distances = [float(episode.get("distance") or 0.0) for episode in episodes]
    summary = {
        "episodes": float(len(episodes)),
        "median_distance": statistics.median(distances),
        "mean_distance": statistics.fmean(distances),
        "speed": statistics.fmean(float(episode.get("speed") or 0.0) for episode in episodes),
        "return": statistics.fmean(float(episode.get("return") or 0.0) for episode in episodes),
    }
    for episode in episodes:
        name = f"end_{episode.get('end', 'unknown')}"
        summary[name] = summary.get(name, 0.0) + 1.0 / len(episodes)
    return summary


def evaluation_table(episodes: Sequence[Mapping[str, Any]]) -> str:
    """A table with one line for each evaluation and town."""
    head = f"{'evaluation':>10} {'town':<14} {'episodes':>8} {'median m':>9} {'mean m':>8} {'km/h':>6} {'return':>8}"
    lines = [f"{head}  ends"]
    for iteration, group in by_iteration(episodes).items():
        towns = sorted({str(episode.get("town") or "-") for episode in group})
        for town in towns:
            summary = summarise([episode for episode in group if str(episode.get("town") or "-") == town])
            ends = ", ".join(
                f"{name.removeprefix('end_')} {100 * share:.0f} %"
                for name, share in sorted(summary.items())
                if name.startswith("end_")
            )
            lines.append(
                f"{iteration:>10} {town:<14} {summary['episodes']:>8.0f} {summary['median_distance']:>9.1f} "
                f"{summary['mean_distance']:>8.1f} {summary['speed']:>6.1f} {summary['return']:>8.2f}  {ends}"
            )
    return "\n".join(lines)
