"""What a run's recorded episodes say about its driving."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.metrics import COLLISIONS

INFRACTIONS = (*COLLISIONS, "red_lights_run", "stop_signs_run")
"""Those that the library's figures of an episode count, by name."""

END_COLOURS = {
    "left_lane": "#cc0000",
    "left_route": "#e77fb3",
    "collision": "#75507b",
    "red_light": "#f57900",
    "idle": "#c4a000",
    "fell": "#2e3436",
    "time_limit": "#4e9a06",
    "distance_limit": "#3465a4",
    "route_done": "#73d216",
    "terminated": "#8f5902",  # what an end is called whose experiment does not name it
    "truncated": "#729fcf",
}
OTHER_END = "#888a85"
"""Colours of the pictures for the ways in which episodes end, and for one that is not among them."""


def read_episodes(file: Path) -> list[Record]:
    """The episodes of `episodes.jsonl` or `evaluation.jsonl`; none if there is no such file.

    Lines that were cut off, as those of a run whose disk was full, are left out.
    """
    if not file.is_file():
        return []
    episodes = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            episodes.append(json.loads(line))
    return [episode for episode in episodes if isinstance(episode, dict)]


def by_iteration(episodes: Iterable[Settings]) -> dict[int, list[Settings]]:
    """Episodes grouped by the iteration in which they ended, in order."""
    groups: dict[int, list[Settings]] = {}
    for episode in episodes:
        groups.setdefault(int(episode.get("iteration") or 0), []).append(episode)
    return dict(sorted(groups.items()))


def summarise(episodes: Sequence[Settings]) -> dict[str, float]:
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


def evaluation_table(episodes: Sequence[Settings]) -> str:
    """A table with one line for each evaluation and town."""
    head = f"{'evaluation':>10} {'town':<14} {'episodes':>8} {'median m':>9} {'mean m':>8} {'km/h':>6} {'return':>8}"
    lines = [f"{head}  ends; infractions a km"]
    for iteration, group in by_iteration(episodes).items():
        towns = sorted({str(episode.get("town") or "-") for episode in group})
        for town in towns:
            here = [episode for episode in group if str(episode.get("town") or "-") == town]
            summary = summarise(here)
            ends = ", ".join(
                f"{name.removeprefix('end_')} {100 * share:.0f} %"
                for name, share in sorted(summary.items())
                if name.startswith("end_")
            )
            lines.append(
                f"{iteration:>10} {town:<14} {summary['episodes']:>8.0f} {summary['median_distance']:>9.1f} "
                f"{summary['mean_distance']:>8.1f} {summary['speed']:>6.1f} {summary['return']:>8.2f}  "
                f"{ends}; {infractions_text(here)}"
            )
    return "\n".join(lines)


def infractions_text(episodes: Sequence[Settings]) -> str:
    """How many of each kind a kilometre, those that happened; "-" if the episodes don't tell their driving metrics."""
    kilometres = sum(float(episode.get("drive_distance") or 0.0) for episode in episodes) / 1000.0
    if not kilometres:
        return "-"
    counts = {name: sum(float(episode.get(f"drive_{name}") or 0.0) for episode in episodes) for name in INFRACTIONS}
    told = [f"{name.replace('_', ' ')} {count / kilometres:.2f}" for name, count in counts.items() if count]
    return ", ".join(told) or "none"


def worst_tenth(distances: Sequence[float]) -> float:
    """Mean of the shortest tenth of the distances, of at least one."""
    return statistics.fmean(sorted(distances)[: max(1, round(len(distances) / 10))])


def driving_summary(records: Sequence[Settings]) -> Record:
    """What `trials` recorded of several episodes, in the figures of a table's line.

    Returns:
        episodes; median, mean and worst tenth of the distances [m]; `off_lane`, `off_road`: shares of all decisions;
        `speed` [km/h]; `ends`: share of the episodes by their end; and, where there were routes, `route_completion`
        [%], `driving_score` and `faultless`: the share that reached its route's end without any infraction.
    """
    distances = [float(record["distance"]) for record in records]
    steps = sum(int(record["steps"]) for record in records)
    ends: dict[str, float] = {}
    for record in records:
        ends[record["end"]] = ends.get(record["end"], 0.0) + 1.0 / len(records)
    summary: Record = {
        "episodes": len(records),
        "median": statistics.median(distances),
        "mean": statistics.fmean(distances),
        "worst_tenth": worst_tenth(distances),
        "off_lane": sum(record["off_lane"] * record["steps"] for record in records) / steps,
        "off_road": sum(record["off_road"] * record["steps"] for record in records) / steps,
        "speed": sum(record["speed"] * record["steps"] for record in records) / steps,
        "ends": dict(sorted(ends.items())),
    }
    figures = [record["metrics"] for record in records if "driving_score" in (record.get("metrics") or {})]
    if figures:
        summary |= _route_summary(figures)
    return summary


def _route_summary(figures: Sequence[Settings]) -> Record:
    kilometres = sum(float(figure["distance"]) for figure in figures) / 1000.0
    faultless = [figure["penalty"] == 1.0 and figure["route_completion"] > 99.0 for figure in figures]
    return {
        "route_completion": statistics.fmean(figure["route_completion"] for figure in figures),
        "driving_score": statistics.fmean(figure["driving_score"] for figure in figures),
        "faultless": statistics.fmean(faultless),
        "infractions_per_km": {
            name: sum(figure[name] for figure in figures) / max(kilometres, 1e-9) for name in INFRACTIONS
        },
    }


def agents_summary(records: Sequence[Settings]) -> Record:
    """How several agents of one world drove, from their lives' records or from the lines of `episodes.jsonl`.

    Returns:
        lives; `kilometres` that the agents drove together; `collisions_per_km`: of all kinds, an agent-km;
        `infractions_per_km`: by name; `speed` [km/h], 0 where nobody moved.
    """
    figures = [figures_of(record) for record in records]
    kilometres = sum(float(figure.get("distance") or 0.0) for figure in figures) / 1000.0
    hours = sum(float(figure.get("duration") or 0.0) for figure in figures) / 3600.0
    rates = {
        name: sum(float(figure.get(name) or 0.0) for figure in figures) / max(kilometres, 1e-9) for name in INFRACTIONS
    }
    return {
        "lives": len(records),
        "kilometres": kilometres,
        "collisions_per_km": sum(rate for name, rate in rates.items() if name.startswith("collisions_")),
        "infractions_per_km": rates,
        "speed": kilometres / hours if hours else 0.0,
    }


def figures_of(record: Settings) -> Settings:
    """The library's figures of an episode, from a driving test's record or a line of `episodes.jsonl`."""
    if "metrics" in record:
        return record["metrics"] or {}
    return {name.removeprefix("drive_"): value for name, value in record.items() if name.startswith("drive_")}


def by_agent(records: Sequence[Settings]) -> dict[str, list[Settings]]:
    """The records of all lives of each agent, by its name, in the order of the names."""
    groups: dict[str, list[Settings]] = {}
    for record in records:
        if record.get("agent"):
            groups.setdefault(str(record["agent"]).partition(".")[0], []).append(record)
    return dict(sorted(groups.items(), key=lambda group: (len(group[0]), group[0])))


def agents_table(groups: Mapping[str, Sequence[Settings]]) -> str:
    """A line for each group of agents.

    Args:
        groups: Records as for `agents_summary`, by what the line begins with.
    """
    wide = max([len("agents"), *map(len, groups)])
    lines = [
        f"{'agents':<{wide}} {'lives':>6} {'km':>8} {'km/h':>5} {'collisions a km':>15}  "
        "other infractions a km; ended by"
    ]
    for name, records in groups.items():
        summary = agents_summary(records)
        others = [
            f"{kind.replace('_', ' ')} {rate:.2f}"
            for kind, rate in summary["infractions_per_km"].items()
            if rate and not kind.startswith("collisions_")
        ]
        ends = Counter(str(record.get("end")) for record in records)
        told = ", ".join(f"{end} {100 * count / len(records):.0f} %" for end, count in sorted(ends.items()))
        lines.append(
            f"{name:<{wide}} {summary['lives']:>6} {summary['kilometres']:>8.2f} {summary['speed']:>5.1f} "
            f"{summary['collisions_per_km']:>15.2f}  {', '.join(others) or 'none'}; {told}"
        )
    return "\n".join(lines)


def best_policy(records: Sequence[Settings]) -> str:
    """The policy with the highest driving score, averaged over the towns; where there were no routes, the farthest.

    How well a policy drives moves between checkpoints. Choose on other starts than those that are told afterwards.
    """

    def merit(policy: str) -> tuple[float, float]:
        towns: dict[str, list[Settings]] = {}
        for record in records:
            if record["policy"] == policy:
                towns.setdefault(record["town"], []).append(record)
        scores = [driving_summary(part).get("driving_score", 0.0) for part in towns.values()]
        return statistics.fmean(scores), statistics.fmean(driving_summary(part)["mean"] for part in towns.values())

    return max(dict.fromkeys(record["policy"] for record in records), key=merit)


def driving_table(records: Sequence[Settings]) -> str:
    """A line for each town and policy; with several policies also their mean and standard deviation."""
    policies = list(dict.fromkeys(record["policy"] for record in records))
    wide = max([len("mean"), *map(len, policies)])
    lines = [
        f"{'town':<10} {'policy':<{wide}} {'episodes':>8} {'median m':>9} {'mean m':>7} {'worst 10 %':>10} "
        f"{'off lane %':>10} {'km/h':>5}  ended by"
    ]
    for town in dict.fromkeys(record["town"] for record in records):
        here = [record for record in records if record["town"] == town]
        summaries = {name: driving_summary(part) for name in policies if (part := _of_policy(here, name))}
        lines += [_line(town, f"{name:<{wide}}", summary) for name, summary in summaries.items()]
        if len(summaries) > 1:
            lines += _spread_lines(town, wide, list(summaries.values()))
    return "\n".join(lines)


def _of_policy(records: Sequence[Settings], name: str) -> list[Settings]:
    return [record for record in records if record["policy"] == name]


def _line(town: str, policy: str, summary: Settings) -> str:
    ends = ", ".join(f"{name} {100 * share:.0f} %" for name, share in summary["ends"].items())
    if "driving_score" in summary:
        ends += f"; routes without fault {100 * summary['faultless']:.0f} %, score {summary['driving_score']:.1f}"
    return (
        f"{town:<10} {policy} {summary['episodes']:>8} {summary['median']:>9.0f} {summary['mean']:>7.0f} "
        f"{summary['worst_tenth']:>10.0f} {100 * summary['off_lane']:>10.3f} {summary['speed']:>5.1f}  {ends}"
    )


def _spread_lines(town: str, wide: int, summaries: Sequence[Settings]) -> list[str]:
    lines = []
    names = sorted({name for summary in summaries for name in summary["ends"]})
    for title, figure in (("mean", statistics.fmean), ("sd", statistics.stdev)):
        values = {
            name: figure([summary[name] for summary in summaries])
            for name in ("median", "mean", "worst_tenth", "off_lane", "speed")
        }
        ends = {name: figure([summary["ends"].get(name, 0.0) for summary in summaries]) for name in names}
        lines.append(_line(town, f"{title:<{wide}}", {**values, "episodes": "", "ends": ends}))
    return lines
