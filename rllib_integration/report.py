"""Draws what training runs did: learning curves over seeds, how episodes ended, and where.

    python3 -m rllib_integration.report RUN_DIR [RUN_DIR ...] [--output report]

Runs that differ only in their seed and name are drawn as one curve with a band. Two files are written: a
picture (report.png), and a page with the same picture and tables that needs no other file (report.html).
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from rllib_integration.evaluation import evaluation_table, read_episodes, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = {
    "distance": "distance of an episode [m]",
    "return": "return of an episode",
    "heading_deviation": "heading deviation [rad]",
    "speed": "mean speed [km/h]",
}
POINTS = 60  # along a curve
NEWEST = 400  # episodes whose ends are shown
END_COLOURS = {
    "left_lane": "#cc0000",
    "collision": "#75507b",
    "idle": "#c4a000",
    "fell": "#2e3436",
    "time_limit": "#4e9a06",
    "distance_limit": "#3465a4",
}
OTHER_END = "#888a85"


class ReportError(ValueError):
    """A report can't be made; the message is a sentence for the user."""


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
    document: dict[str, Any]
    starts: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        ReportError: it is no run, or no episode has ended in it yet.
    """
    files = {name: folder / name for name in ("config.yaml", "run.json", "episodes.jsonl")}
    for file in files.values():
        if not file.is_file():
            raise ReportError(f"{folder} is not a run that has finished an iteration: {file.name} is missing.")
    episodes = read_episodes(files["episodes.jsonl"])
    if not episodes:
        raise ReportError(f"No episode has ended yet in {folder}.")
    document = yaml.safe_load(files["config.yaml"].read_text(encoding="utf-8")) or {}
    starts = json.loads(files["run.json"].read_text(encoding="utf-8"))
    return Run(folder, document, starts, episodes, read_episodes(folder / "evaluation.jsonl"))


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


def learning_curve(run: Run, name: str, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the episodes that ended between two grid points, held where none did; NaN before the first."""
    ended = np.array([episode["step"] for episode in run.episodes], float)
    told = [episode.get(name) for episode in run.episodes]
    values = np.array([np.nan if value is None else value for value in told], float)
    curve = np.full(len(steps), np.nan)
    for index, step in enumerate(steps):
        before = steps[index - 1] if index else -1.0
        chosen = values[(ended > before) & (ended <= step)]
        if np.isfinite(chosen).any():
            curve[index] = np.nanmean(chosen)
        elif index and step <= ended[-1]:
            curve[index] = curve[index - 1]
    return curve


def draw(groups: Mapping[str, Sequence[Run]]) -> Figure:
    """Curves of every group, shares of ends, and a map of them."""
    from matplotlib.figure import Figure

    towns = sorted({str(episode.get("town")) for runs in groups.values() for run in runs for episode in run.episodes})
    rows = 3 + (len(towns) - 1) // 2
    figure = Figure(figsize=(12, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    for axis, (name, label) in zip(axes[:2].flat, CURVES.items()):
        _draw_curves(axis, groups, name, label)
    axes[0, 0].legend(fontsize=8)
    for axis, town in zip(axes[2:].flat, towns):
        _draw_map(axis, groups, town)
    for axis in list(axes[2:].flat)[len(towns) :]:
        axis.set_visible(False)
    if len(towns) < axes[2:].size:
        axis = axes[2:].flat[len(towns)]
        axis.set_visible(True)
        _draw_ends(axis, groups)
    return figure


def _draw_curves(axis: Axes, groups: Mapping[str, Sequence[Run]], name: str, label: str) -> None:
    for group, runs in groups.items():
        longest = min(run.episodes[-1]["step"] for run in runs)
        steps = np.linspace(longest / POINTS, longest, POINTS)
        curves = np.stack([learning_curve(run, name, steps) for run in runs])
        known = np.isfinite(curves).all(axis=0)
        mean = curves[:, known].mean(axis=0)
        title = group if len(runs) == 1 else f"{group} ({len(runs)} seeds)"
        (line,) = axis.plot(steps[known], mean, label=title, linewidth=1.6)
        if len(runs) > 1:
            low, high = _band(curves[:, known])
            axis.fill_between(steps[known], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set_xlabel("environment steps")
    axis.locator_params(axis="x", nbins=5)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)


def _band(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % confidence of the mean over seeds, by bootstrap: (2 arrays of the curve's length)."""
    generator = np.random.default_rng(0)
    picks = generator.integers(len(curves), size=(500, len(curves)))
    means = curves[picks].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def _draw_map(axis: Axes, groups: Mapping[str, Sequence[Run]], town: str) -> None:
    """Where the newest episodes of a town ended; CARLA's y axis points down, as on its maps."""
    ends: dict[str, list[Sequence[float]]] = {}
    for runs in groups.values():
        for run in runs:
            for episode in [episode for episode in run.episodes if str(episode.get("town")) == town][-NEWEST:]:
                if len(episode.get("position") or ()) == 2:
                    ends.setdefault(str(episode.get("end")), []).append(episode["position"])
    for reason, places in sorted(ends.items()):
        points = np.array(places)
        colour = END_COLOURS.get(reason, OTHER_END)
        axis.scatter(points[:, 0], points[:, 1], s=9, color=colour, label=f"{reason} ({len(points)})", linewidths=0)
    axis.set_title(f"{town}: where episodes ended", fontsize=10)
    axis.set_xlabel("x [m]")
    axis.set_ylabel("y [m]")
    axis.set_aspect("equal", "datalim")
    axis.invert_yaxis()
    if ends:
        axis.legend(fontsize=7)


def _draw_ends(axis: Axes, groups: Mapping[str, Sequence[Run]]) -> None:
    """Shares of the ways in which episodes ended, along the training of the first group."""
    runs = next(iter(groups.values()))
    episodes = sorted((episode for run in runs for episode in run.episodes), key=lambda episode: episode["step"])
    parts = [part for part in np.array_split(np.arange(len(episodes)), 30) if len(part)]
    steps = [episodes[part[-1]]["step"] for part in parts]
    reasons = sorted({str(episode.get("end")) for episode in episodes})
    shares = [[np.mean([str(episodes[i].get("end")) == reason for i in part]) for part in parts] for reason in reasons]
    colours = [END_COLOURS.get(reason, OTHER_END) for reason in reasons]
    axis.stackplot(steps, shares, labels=reasons, colors=colours, alpha=0.85)
    axis.set_xlabel("environment steps")
    axis.set_ylabel("share of episodes")
    axis.set_ylim(0, 1)
    axis.legend(fontsize=7, loc="center right")


def page(groups: Mapping[str, Sequence[Run]], picture: bytes) -> str:
    """One HTML page with the picture and tables inside."""
    encoded = base64.b64encode(picture).decode()
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Training report</title><style>",
        "body{font-family:sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#2e3436}",
        "table{border-collapse:collapse;margin:1em 0}",
        "td,th{border:1px solid #d3d7cf;padding:.3em .7em;text-align:right}",
        "td:first-child,th:first-child{text-align:left}img{width:100%}pre{overflow-x:auto}</style></head><body>",
        "<h1>Training report</h1>",
        _summary_table(groups),
        f"<img alt='learning curves and ends of episodes' src='data:image/png;base64,{encoded}'>",
    ]
    for runs in groups.values():
        for run in runs:
            if run.evaluations:
                parts.append(f"<h2>Evaluation of {html.escape(run.folder.name)}</h2>")
                parts.append(f"<pre>{html.escape(evaluation_table(run.evaluations))}</pre>")
    parts.append("<h2>Origin</h2>" + _origin_table(groups) + "</body></html>")
    return "\n".join(parts)


def _summary_table(groups: Mapping[str, Sequence[Run]]) -> str:
    head = ["run", "steps", "episodes", "median m (last 100)", "km/h", "return", "ends (last 100)"]
    rows = []
    for runs in groups.values():
        for run in runs:
            newest = summarise(run.episodes[-100:])
            shares = {name[4:]: share for name, share in sorted(newest.items()) if name.startswith("end_")}
            ends = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in shares.items())
            steps = f"{run.episodes[-1]['step']:,.0f}"
            figures = [f"{newest[name]:.1f}" for name in ("median_distance", "speed", "return")]
            rows.append([run.folder.name, steps, f"{len(run.episodes):,}", *figures, ends])
    return _table(head, rows)


def _origin_table(groups: Mapping[str, Sequence[Run]]) -> str:
    rows = []
    for runs in groups.values():
        for run in runs:
            start = run.starts[-1]
            git = start.get("git") or {}
            commit = str(git.get("commit", "-"))[:12] + (" + changes" if git.get("changed_files") else "")
            versions = ", ".join(f"{name} {version}" for name, version in start.get("versions", {}).items())
            rows.append([run.folder.name, str(start.get("started")), str(start.get("seed")), commit, versions])
    return _table(["run", "started", "seed", "commit", "versions"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def write_report(folders: Sequence[Path], output: Path) -> tuple[Path, Path]:
    """Write the picture and the page.

    Args:
        folders: Runs.
        output: Path without an ending.

    Returns:
        Paths of the PNG and of the HTML file.

    Raises:
        ReportError: a folder is no run, or matplotlib is missing.
    """
    runs = [read_run(folder.expanduser()) for folder in folders]
    groups = group_runs(runs)
    try:
        figure = draw(groups)
    except ImportError:
        raise ReportError("The report needs matplotlib: pip install matplotlib") from None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    output.parent.mkdir(parents=True, exist_ok=True)
    png, web = output.with_suffix(".png"), output.with_suffix(".html")
    png.write_bytes(buffer.getvalue())
    web.write_text(page(groups, buffer.getvalue()), encoding="utf-8")
    return png, web


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m rllib_integration.report", description="Report on training runs.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="folders of runs")
    parser.add_argument("-o", "--output", type=Path, default=Path("report"), help="file name without an ending")
    parsed = parser.parse_args(arguments)
    try:
        png, web = write_report(parsed.runs, parsed.output)
    except (ReportError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{png}\n{web}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
