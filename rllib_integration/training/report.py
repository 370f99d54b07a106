"""Draws what training runs did: learning curves over seeds, how episodes ended, and where.

Runs that differ only in their seed and name are drawn as one curve with a band. Two files are written: a
picture (report.png), and a page with the same picture and tables that needs no other file (report.html).
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from rllib_integration.driving.evaluation import agents_table, by_agent, evaluation_table, infractions_text, summarise
from rllib_integration.errors import IntegrationError
from rllib_integration.training.run_record import Groups, group_runs, read_run

NEWEST = 100  # episodes that the summary is made of
NEWEST_LIVES = 800  # of several agents


class ReportError(IntegrationError, RuntimeError):
    """A report can't be made; the message is a sentence for the user."""


def page(groups: Groups, picture: bytes) -> str:
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
    for runs in groups.values():
        for run in runs:
            newest = run.episodes[-NEWEST_LIVES:]
            agents = by_agent(newest)
            if agents:
                title = f"<h2>Agents of {html.escape(run.folder.name)}</h2><p>Of the newest {NEWEST_LIVES} lives.</p>"
                table = agents_table({"all": newest, **agents})
                parts.append(f"{title}<pre>{html.escape(table)}</pre>")
    parts.append("<h2>Origin</h2>" + _origin_table(groups) + "</body></html>")
    return "\n".join(parts)


def _summary_table(groups: Groups) -> str:
    head = ["run", "steps", "episodes", "median m", "km/h", "return", "infractions a km", "ends"]
    rows = []
    for runs in groups.values():
        for run in runs:
            newest = run.episodes[-NEWEST:]
            summary = summarise(newest)
            shares = {name[4:]: share for name, share in sorted(summary.items()) if name.startswith("end_")}
            ends = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in shares.items())
            steps = f"{run.episodes[-1]['step']:,.0f}"
            figures = [f"{summary[name]:.1f}" for name in ("median_distance", "speed", "return")]
            rows.append([run.folder.name, steps, f"{len(run.episodes):,}", *figures, infractions_text(newest), ends])
    return f"<p>Medians, means and shares of the newest {NEWEST} episodes.</p>" + _table(head, rows)


def _origin_table(groups: Groups) -> str:
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
        RunRecordError: a folder is no run, or no episode has ended in it yet.
        ReportError: matplotlib is missing.
    """
    groups = group_runs([read_run(folder.expanduser()) for folder in folders])
    try:
        from rllib_integration.training.report_figure import draw
    except ImportError:
        raise ReportError("The report needs matplotlib: pip install matplotlib") from None
    figure = draw(groups)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    output.parent.mkdir(parents=True, exist_ok=True)
    png, web = output.with_suffix(".png"), output.with_suffix(".html")
    png.write_bytes(buffer.getvalue())
    web.write_text(page(groups, buffer.getvalue()), encoding="utf-8")
    return png, web
