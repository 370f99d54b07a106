"""The picture of a report: learning curves, infractions, the reward's parts, how episodes ended, and where."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rllib_integration.annotations import Settings
from rllib_integration.driving.evaluation import END_COLOURS, INFRACTIONS, OTHER_END, by_iteration, summarise
from rllib_integration.training.run_record import Groups, Run

POINTS = 60  # along a curve
NEWEST = 400  # episodes whose ends are shown
LINE_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Measure:
    """A figure of several episodes: the sum of one of their entries over their number, or over another entry's sum.

    Attributes:
        label: With the unit, for the axis.
        entry: Its name in `episodes.jsonl`.
        per: The entry whose sum divides; None is the number of episodes.
        scale: The quotient is multiplied by it.
    """

    label: str
    entry: str
    per: str | None = None
    scale: float = 1.0

    def is_in(self, run: Run) -> bool:
        """Whether the run's episodes tell it."""
        return any(episode.get(self.entry) is not None for episode in run.episodes)


MEASURES = (
    Measure("distance of an episode [m]", "distance"),
    Measure("return of an episode", "return"),
    Measure("mean speed [km/h]", "speed"),
    Measure("heading deviation [rad]", "heading_deviation"),
    Measure("off the lane [% of the time]", "drive_time_off_lane", per="drive_duration", scale=100.0),
    Measure("route completion [%]", "drive_route_completion"),
    Measure("driving score", "drive_driving_score"),
)
INFRACTION_MEASURES = tuple(
    Measure(name.replace("_", " "), f"drive_{name}", per="drive_distance", scale=1000.0) for name in INFRACTIONS
)


def draw(groups: Groups) -> Figure:
    """A panel for everything that the runs tell, two in a row."""
    panels = _panels(groups)
    figure = Figure(figsize=(12, 3.6 * math.ceil(len(panels) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(panels) / 2), 2, squeeze=False)
    for axis, panel in zip(axes.flat, panels):
        panel(axis)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    return figure


def _panels(groups: Groups) -> list[Callable[[Axes], None]]:
    runs = [run for group in groups.values() for run in group]
    panels: list[Callable[[Axes], None]] = []
    for measure in MEASURES:
        if any(measure.is_in(run) for run in runs):
            panels.append(partial(_draw_curves, groups=groups, measure=measure))
    if any(measure.is_in(run) for measure in INFRACTION_MEASURES for run in runs):
        panels.append(partial(_draw_infractions, groups=groups))
    if any(run.evaluations for run in runs):
        panels.append(partial(_draw_evaluations, groups=groups))
    for name, group in groups.items():
        if _reward_parts(group):
            panels.append(partial(_draw_reward_parts, name=name, runs=group))
        panels.append(partial(_draw_ends, name=name, runs=group))
    for town in sorted({str(episode.get("town")) for run in runs for episode in run.episodes if _has_place(episode)}):
        panels.append(partial(_draw_map, runs=runs, town=town))
    return panels


def learning_curve(run: Run, measure: Measure, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A measure along a run.

    The run is cut into at most `POINTS` parts of equal length; each one's figure stands at its newest step, and what
    lies between two of them is interpolated.

    Args:
        run: The run.
        measure: What is drawn.
        steps: float (N,), environment steps.

    Returns:
        float (N,); NaN before the first episode that tells it.
    """
    told = [episode for episode in run.episodes if episode.get(measure.entry) is not None]
    if not told:
        return np.full(len(steps), np.nan)
    ended = np.array([episode["step"] for episode in told], float)
    values = np.array([episode[measure.entry] for episode in told], float)
    weights = np.array([1.0 if measure.per is None else episode.get(measure.per, 0.0) for episode in told], float)
    part = np.digitize(ended, np.linspace(0.0, ended[-1], POINTS + 1)[1:], right=True)
    places, figures = [], []
    for number in np.unique(part):
        chosen = part == number
        if weights[chosen].sum() > 0:
            places.append(ended[chosen].max())
            figures.append(measure.scale * values[chosen].sum() / weights[chosen].sum())
    if not places:
        return np.full(len(steps), np.nan)
    return np.interp(steps, places, figures, left=np.nan)


def _mean_curve(
    runs: Sequence[Run], measure: Measure
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Steps (N,), each run's curve (R, N), and their mean (N,), where all runs tell it."""
    longest = min(run.episodes[-1]["step"] for run in runs)
    steps = np.linspace(longest / POINTS, longest, POINTS)
    curves = np.stack([learning_curve(run, measure, steps) for run in runs])
    known = np.isfinite(curves).all(axis=0)
    return steps[known], curves[:, known], curves[:, known].mean(axis=0)


def _draw_curves(axis: Axes, groups: Groups, measure: Measure) -> None:
    for name, runs in groups.items():
        steps, curves, mean = _mean_curve(runs, measure)
        title = name if len(runs) == 1 else f"{name} ({len(runs)} seeds)"
        (line,) = axis.plot(steps, mean, label=title, linewidth=1.6)
        if len(runs) > 1 and len(steps):
            low, high = _band(curves)
            axis.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    _label(axis, measure.label)
    axis.legend(fontsize=7)


def _band(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % confidence of the mean over seeds, by bootstrap: (2 arrays of the curve's length)."""
    generator = np.random.default_rng(0)
    picks = generator.integers(len(curves), size=(500, len(curves)))
    means = curves[picks].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def _draw_infractions(axis: Axes, groups: Groups) -> None:
    """Each kind in a colour; with several groups of runs each one in a style of line."""
    for style, (name, runs) in zip(itertools.cycle(LINE_STYLES), groups.items()):
        for number, measure in enumerate(INFRACTION_MEASURES):
            steps, _, mean = _mean_curve(runs, measure)
            label = measure.label if len(groups) == 1 else f"{measure.label}, {name}"
            axis.plot(steps, mean, style, color=f"C{number}", label=label, linewidth=1.2)
    _label(axis, "infractions a kilometre")
    axis.legend(fontsize=6)


def _draw_evaluations(axis: Axes, groups: Groups) -> None:
    """The greedy episodes' median distance, a line for each run and town."""
    for run in (run for runs in groups.values() for run in runs):
        places: dict[str, list[tuple[float, float]]] = {}
        for episodes in by_iteration(run.evaluations).values():
            for town in sorted({str(episode.get("town")) for episode in episodes}):
                here = [episode for episode in episodes if str(episode.get("town")) == town]
                places.setdefault(town, []).append((here[0]["step"], summarise(here)["median_distance"]))
        for town, points in places.items():
            axis.plot(*zip(*points), marker="o", markersize=3, label=f"{run.folder.name}, {town}", linewidth=1.2)
    _label(axis, "greedy: median distance [m]")
    axis.legend(fontsize=6)


def _reward_parts(runs: Sequence[Run]) -> list[Measure]:
    names = {name for run in runs for episode in run.episodes for name in episode if name.startswith("reward_")}
    return [Measure(name.removeprefix("reward_"), name) for name in sorted(names)]


def _draw_reward_parts(axis: Axes, name: str, runs: Sequence[Run]) -> None:
    for measure in _reward_parts(runs):
        steps, _, mean = _mean_curve(runs, measure)
        axis.plot(steps, mean, label=measure.label, linewidth=1.2)
    axis.set_title(f"{name}: parts of the return", fontsize=10)
    _label(axis, "sum over an episode")
    axis.legend(fontsize=7)


def _draw_ends(axis: Axes, name: str, runs: Sequence[Run]) -> None:
    """Shares of the ways in which episodes ended, along the training."""
    episodes = sorted((episode for run in runs for episode in run.episodes), key=lambda episode: episode["step"])
    parts = [part for part in np.array_split(np.arange(len(episodes)), 30) if len(part)]
    steps = [episodes[part[-1]]["step"] for part in parts]
    reasons = sorted({str(episode.get("end")) for episode in episodes})
    shares = [[np.mean([str(episodes[i].get("end")) == reason for i in part]) for part in parts] for reason in reasons]
    colours = [END_COLOURS.get(reason, OTHER_END) for reason in reasons]
    axis.stackplot(steps, shares, labels=reasons, colors=colours, alpha=0.85)
    axis.set_title(f"{name}: how episodes ended", fontsize=10)
    _label(axis, "share of episodes")
    axis.set_ylim(0, 1)
    axis.legend(fontsize=7, loc="center left")


def _has_place(episode: Settings) -> bool:
    """Whether it is known where an episode ended: an experiment may say so, as `info["position"]`."""
    return len(episode.get("position") or ()) == 2


def _draw_map(axis: Axes, runs: Sequence[Run], town: str) -> None:
    """Where the newest episodes of a town ended; CARLA's y axis points down, as on its maps."""
    ends: dict[str, list[Sequence[float]]] = {}
    for run in runs:
        for episode in [episode for episode in run.episodes if str(episode.get("town")) == town][-NEWEST:]:
            if _has_place(episode):
                ends.setdefault(str(episode.get("end")), []).append(episode["position"])
    for reason, places in sorted(ends.items()):
        points = np.array(places)
        colour = END_COLOURS.get(reason, OTHER_END)
        axis.scatter(
            points[:, 0], points[:, 1], s=22, color=colour, alpha=0.8, label=f"{reason} ({len(points)})", linewidths=0
        )
    axis.set_title(f"{town}: where episodes ended", fontsize=10)
    axis.set_xlabel("x [m]")
    axis.set_ylabel("y [m]")
    axis.set_aspect("equal", "datalim")
    axis.invert_yaxis()
    if ends:
        axis.legend(fontsize=7)


def _label(axis: Axes, label: str) -> None:
    axis.set_xlabel("environment steps")
    axis.locator_params(axis="x", nbins=5)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
