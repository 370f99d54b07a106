"""The picture of a driving test: where was driven and where it ended badly, how far, and what was expected of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rllib_integration.annotations import Settings
from rllib_integration.driving.evaluation import END_COLOURS, OTHER_END

GOOD_ENDS = ("distance_limit", "time_limit", "route_done")
_COLUMNS = 3


def draw_drive_test(records: Sequence[Settings]) -> Figure:
    """A map of each town, the distances, and expected against realised returns.

    Args:
        records: Of `trials.drive_episode`.
    """
    towns = list(dict.fromkeys(record["town"] for record in records))
    panels = len(towns) + 2
    rows = -(-panels // _COLUMNS)
    figure = Figure(figsize=(5 * _COLUMNS, 4.4 * rows), layout="constrained")
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axis, town in zip(axes, towns):
        _draw_town(axis, town, [record for record in records if record["town"] == town])
    _draw_distances(axes[len(towns)], towns, records)
    _draw_values(axes[len(towns) + 1], records)
    for axis in axes[panels:]:
        axis.set_visible(False)
    return figure


def _draw_town(axis: Axes, town: str, records: Sequence[Settings]) -> None:
    """What was driven in grey and the bad ends in colour; CARLA's y axis points down, as on its maps."""
    for record in records:
        driven = np.array(record["track"], float).reshape(-1, 2)
        axis.plot(driven[:, 0], driven[:, 1], color="#888a85", linewidth=1.2, marker=".", markersize=2.5, zorder=1)
    bad = [record for record in records if record["end"] not in GOOD_ENDS and len(record["position"]) == 2]
    for reason in sorted({record["end"] for record in bad}):
        places = np.array([record["position"] for record in bad if record["end"] == reason], float)
        colour = END_COLOURS.get(reason, OTHER_END)
        axis.scatter(places[:, 0], places[:, 1], s=22, color=colour, label=f"{reason} ({len(places)})", linewidths=0)
    axis.set_title(f"{town}: {len(records)} episodes, {len(bad)} ended early", fontsize=10)
    axis.set_aspect("equal", "datalim")
    axis.invert_yaxis()
    axis.set_xlabel("x [m]")
    axis.set_ylabel("y [m]")
    if bad:
        axis.legend(fontsize=7)


def _draw_distances(axis: Axes, towns: Sequence[str], records: Sequence[Settings]) -> None:
    """The share of the episodes that got as far."""
    for town in towns:
        distances = np.sort([record["distance"] for record in records if record["town"] == town])
        share = 1.0 - np.arange(len(distances)) / len(distances)
        axis.step(np.r_[0.0, distances], np.r_[1.0, share], where="pre", label=town)
    axis.set_xlabel("distance [m]")
    axis.set_ylabel("share of the episodes that got as far")
    axis.set_ylim(0.0, 1.03)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _draw_values(axis: Axes, records: Sequence[Settings]) -> None:
    pairs = np.array([pair for record in records for pair in record["values"]], float).reshape(-1, 2)
    if not len(pairs):
        axis.set_visible(False)
        return
    axis.hexbin(pairs[:, 0], pairs[:, 1], gridsize=45, bins="log", cmap="viridis_r", mincnt=1)
    low, high = float(pairs.min()), float(pairs.max())
    axis.plot([low, high], [low, high], color="#cc0000", linewidth=1)
    correlation = np.corrcoef(pairs.T)[0, 1] if len(pairs) > 2 and pairs.std(axis=0).all() else float("nan")
    error = float(np.mean(pairs[:, 0] - pairs[:, 1]))
    side = "high" if error > 0.0 else "low"
    axis.set_title(f"correlation {correlation:.2f}, expected {abs(error):.2f} too {side}", fontsize=10)
    axis.set_xlabel("expected: the Q-value")
    axis.set_ylabel("realised discounted return")
