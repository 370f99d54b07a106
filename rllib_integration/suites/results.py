"""The figures of a benchmark: success, driving score and infractions per kilometre, with their spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from rllib_integration.annotations import Record, Settings
from rllib_integration.metrics import PENALTIES

_RESULTS = ("passed", "failed", "timeout", "unfinished", "missed")
PUBLISHED: dict[tuple[str, str], dict[str, dict[str, float]]] = {
    ("corl2017", "imitation"): {
        "straight": {"train": 95, "new town": 97},
        "one turn": {"train": 89, "new town": 59},
        "navigation": {"train": 86, "new town": 40},
        "navigation dynamic": {"train": 83, "new town": 38},
    },
    ("corl2017", "A3C"): {
        "straight": {"train": 89, "new town": 74},
        "one turn": {"train": 34, "new town": 12},
        "navigation": {"train": 14, "new town": 3},
        "navigation dynamic": {"train": 7, "new town": 2},
    },
    ("nocrash", "CILRS"): {
        "empty": {"train": 97, "new town": 66, "new town and weather": 90},
        "regular": {"train": 83, "new town": 49, "new town and weather": 56},
        "dense": {"train": 42, "new town": 23, "new town and weather": 24},
    },
}
"""Published success rates [%], with other simulators, routes and cars: orders of magnitude.

CoRL2017: Dosovitskiy et al. 2017, table 1. CILRS: Codevilla et al. 2019. Quoted from memory, not checked.
"""


def summarise(records: Iterable[Settings]) -> list[Record]:
    """Figures of each task and split, in the order of the records.

    Returns:
        For each: suite, task, split, episodes, `success` [%], `driving_score`, `route_completion` [%], each with a
        standard deviation over the seeds (`..._sd`, 0 for one seed), `infractions_per_km` by kind, `distance` [km] and
        `ends`: shares of the episodes by their end.
    """
    groups: dict[tuple[str, str, str], list[Settings]] = {}
    for record in records:
        groups.setdefault((record["suite"], record["task"], record["split"]), []).append(record)
    return [_summary(*key, group) for key, group in groups.items()]


def _summary(suite: str, task: str, split: str, records: Sequence[Settings]) -> Record:
    kilometres = sum(float(record["metrics"].get("distance", 0.0)) for record in records) / 1000.0
    figures: Record = {"suite": suite, "task": task, "split": split, "episodes": len(records)}
    for name, value in (
        ("success", lambda record: 100.0 * record["success"]),
        ("driving_score", lambda record: record["metrics"].get("driving_score", 0.0)),
        ("route_completion", lambda record: record["metrics"].get("route_completion", 0.0)),
    ):
        by_seed: dict[int, list[float]] = {}
        for record in records:
            by_seed.setdefault(record["seed"], []).append(float(value(record)))
        means = [statistics.fmean(values) for values in by_seed.values()]
        figures[name] = statistics.fmean(means)
        figures[f"{name}_sd"] = statistics.stdev(means) if len(means) > 1 else 0.0
    ends = [record["end"] for record in records]
    figures["infractions_per_km"] = {
        kind: sum(record["metrics"].get(kind, 0) for record in records) / max(kilometres, 1e-9) for kind in PENALTIES
    }
    figures["distance"] = kilometres
    figures["ends"] = {end: ends.count(end) / len(ends) for end in sorted(set(ends))}
    return figures


def scenario_summary(records: Iterable[Settings]) -> list[Record]:
    """How the scenarios of the records' routes came out, by type.

    Returns:
        For each type, in alphabetical order: `type`, `number` of those that took place or were not reached, and
        `passed`, `failed`, `timeout`, `unfinished`, `missed` (see `Outcome`): shares of these [%].
    """
    groups: dict[str, list[str]] = {}
    for record in records:
        for outcome in record.get("scenarios", ()):
            if outcome["result"] != "skipped":
                groups.setdefault(outcome["type"], []).append(outcome["result"])
    return [
        {
            "type": kind,
            "number": len(found),
            **{result: 100.0 * found.count(result) / len(found) for result in _RESULTS},
        }
        for kind, found in sorted(groups.items())
    ]


def scenario_table(summaries: Sequence[Settings]) -> str:
    """The outcomes by type as lines of text, with the mean over the types; empty without scenarios."""
    if not summaries:
        return ""
    mean = {name: statistics.fmean(one[name] for one in summaries) for name in _RESULTS}
    last = {"type": "mean of the types", "number": sum(one["number"] for one in summaries), **mean}
    lines = [f"{'scenario':<31} {'driven':>8} {'passed %':>11}  otherwise, %"]
    for one in [*summaries, last]:
        rest = ", ".join(f"{name} {one[name]:.0f}" for name in _RESULTS[1:] if one[name] > 0.0) or "-"
        lines.append(f"{one['type']:<31} {one['number']:>8} {one['passed']:>11.1f}  {rest}")
    return "\n".join(lines)


def table(summaries: Sequence[Settings], policy: str) -> str:
    """The figures of a policy as lines of text, followed by published ones of the same tasks."""
    head = (
        f"{'task':<20} {'split':<21} {'episodes':>8} {'success %':>11} {'score':>11} {'route %':>8}  infractions a km"
    )
    lines = [f"{policy}:", head]
    for one in summaries:
        positive = {kind: rate for kind, rate in one["infractions_per_km"].items() if rate > 0.0}
        infractions = ", ".join(f"{kind.replace('_', ' ')} {rate:.2f}" for kind, rate in positive.items()) or "none"
        lines.append(
            f"{one['task']:<20} {one['split']:<21} {one['episodes']:>8} {_spread(one, 'success'):>11} "
            f"{_spread(one, 'driving_score'):>11} {one['route_completion']:>8.1f}  {infractions}"
        )
    return "\n".join([*lines, *_published(summaries)])


def _spread(summary: Settings, name: str) -> str:
    deviation = summary[f"{name}_sd"]
    return f"{summary[name]:.1f}" + (f" ± {deviation:.1f}" if deviation else "")


def _published(summaries: Sequence[Settings]) -> list[str]:
    lines = []
    for (suite, author), tasks in PUBLISHED.items():
        for one in summaries:
            rate = tasks.get(one["task"], {}).get(one["split"]) if one["suite"] == suite else None
            if rate is not None:
                lines.append(f"{one['task']:<20} {one['split']:<21} {'':>8} {rate:>11.1f}  published: {author}")
    if not lines:
        return []
    return ["Published, with other simulators, routes and cars (orders of magnitude, not checked):", *lines]
