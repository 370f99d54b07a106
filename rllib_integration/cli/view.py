"""`carla-rllib view`: worlds and runs in a browser; and the flag `--view` of the commands that have some."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rllib_integration.cli.flags import MissingPackageError, positive_int
from rllib_integration.telemetry.replay import REPLAYS_FOLDER, default_replays
from rllib_integration.viewer.command import add_viewer_arguments, run_viewer

SUMMARY = "watch worlds and runs in a browser: a training as it goes on, a simulator, a finished run"
EXAMPLES = """examples:
  carla-rllib view                                       all runs, and what runs on this machine now
  carla-rllib view quickstart                            one run, live or finished
  carla-rllib view --carla-port 2000                     a CARLA server, or minicarla
  carla-rllib view quickstart --cluster                  a run of all nodes of a Ray cluster, from its head node
  carla-rllib view ~/ray_results/carla_rllib --port 8090"""

_END_SECONDS = 5.0

add_arguments = add_viewer_arguments
run = run_viewer


def add_view_flag(parser: argparse.ArgumentParser) -> None:
    """The flags `--view` and `--view-port` of a command whose worlds can be watched."""
    parser.add_argument("--view", action="store_true", help="show it in a browser; the address is printed")
    parser.add_argument(
        "--view-port", type=int, metavar="PORT", help="port of that page (default: 8081, or a free one)"
    )


def is_viewed(arguments: argparse.Namespace) -> bool:
    """Whether a command's worlds are to be watched; arguments are those of a parser with `add_view_flag`."""
    return bool(arguments.view) or arguments.view_port is not None


def add_record_flag(parser: argparse.ArgumentParser) -> None:
    """The flag `--record-episodes` of a command that drives."""
    parser.add_argument(
        "--record-episodes", type=positive_int, default=0, metavar="N",
        help="save the first N episodes of each policy; carla-rllib view plays them without any server",
    )  # fmt: skip


def replays_of(policy: str | Path | None = None) -> Path:
    """Where episodes that a policy drives are saved: in its run's folder, else in the user's own."""
    if policy is not None:
        for folder in list(Path(policy).expanduser().resolve().parents)[:3]:
            if (folder / "config.yaml").is_file() and (folder / "run.json").is_file():
                return folder / REPLAYS_FOLDER
    return default_replays()


@contextlib.contextmanager
def viewer_of(arguments: argparse.Namespace, folder: Path | None = None, cluster: bool = False) -> Iterator[None]:
    """Have a viewer beside a command, where `--view` asks for one; it ends with the command.

    Args:
        arguments: Of a parser with `add_view_flag`.
        folder: Of the run that is shown, which may begin later; None shows what runs on this machine.
        cluster: Show what runs on the other nodes of the Ray cluster, too.

    Raises:
        MissingPackageError: The viewer's package is not installed.
    """
    if not is_viewed(arguments):
        yield
        return
    if importlib.util.find_spec("aiohttp") is None:
        raise MissingPackageError("--view needs aiohttp: pip install 'rllib-integration[viewer]'")
    words = [sys.executable, "-m", "rllib_integration.viewer", f"--end-with={os.getpid()}"]
    if arguments.view_port is not None:
        words.append(f"--port={arguments.view_port}")
    if cluster:
        words.append("--cluster")
    if folder is not None:
        words.append(str(folder))
    search_path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)])
    # In a session of its own: a Ctrl-C is for the command, whose last moments are worth seeing.
    viewer = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": search_path}, start_new_session=True
    )
    try:
        yield
    finally:
        viewer.terminate()
        try:
            viewer.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            viewer.kill()
            viewer.wait()
