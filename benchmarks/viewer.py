#!/usr/bin/env python3
"""What the viewer costs: a run that nobody watches, one that a browser watches, and the viewer itself.

    python benchmarks/viewer.py [--rounds 4] [--seconds 3] [--vehicles 20] [--town Town03]

Prints a table of environment steps a second, and of processor time a step of the environment's process and of its
server, each with its ratio to the first line. Its turns, in shuffled order, drive the same episodes:

    unwatched   the viewer runs, nobody looks
    follow      a browser takes whole episodes, as it does by itself
    newest      a browser shows what happens now
    frozen      a browser that followed, and stands still

What telling costs that nobody hears is measured by swapping the reporter between single steps. Then follow the
viewer's memory, the bytes that a browser gets, and how long a town takes to be in the page. The browser draws by
software; it has the lowest priority, because else it would take processors which it has of its own on another machine.
Takes under four minutes. Needs Chromium and playwright, and a machine that does nothing else: where it is loaded, the
columns of processor time say more.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from env_step import CruiseExperiment
from playwright.sync_api import Page, sync_playwright
from processor_time import below, processor_seconds

from rllib_integration import CarlaEnv
from rllib_integration.telemetry.announcement import LIVE_FOLDER

_FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]
_TURNS = ("unwatched", "follow", "newest", "frozen")
_NAMES = {"seconds": "of life", "own": "of processor time"}
_SHOWS = "Boolean(window.viewer && viewer.playhead.clip.frames.length > 5)"
_EPISODE = 300  # decisions
_LOWEST_PRIORITY = 19
_PATIENCE = 120.0  # [s]
_UNWATCHED_AFTER = 7.0  # [s] after which nobody's wish to watch holds any more


class Silence:
    """Stands for an environment's reporter, and says nothing: what a run without any telemetry has."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Cost(NamedTuple):
    """What steps have cost.

    Attributes:
        steps: How many there were.
        seconds: Of life.
        own: Processor seconds of this process.
        server: Those of its server.
    """

    steps: int
    seconds: float
    own: float
    server: float


class Drive:
    """Steps one environment, episode after episode.

    Args:
        env: The environment, with its server.
    """

    def __init__(self, env: CarlaEnv) -> None:
        self.env = env
        self._left = 0
        self._seed = 0
        self._server_in_resets = 0.0
        env.reset(seed=0)
        self._servers = [process for process in below() if "minicarla" in " ".join(process.cmdline())]

    def begin(self) -> None:
        """Begin the episodes anew, so that each turn drives the same ones."""
        self._seed = self._left = 0

    def step(self, count: int) -> Cost:
        """Make so many steps; what it costs to begin episodes is left out."""
        seconds = own = 0.0
        server = -self._server_in_steps()
        for _ in range(count):
            if not self._left:
                self._begin_episode()
            begun, used = time.perf_counter(), time.process_time()
            self.env.step(self._left % 3)
            seconds += time.perf_counter() - begun
            own += time.process_time() - used
            self._left -= 1
        return Cost(count, seconds, own, server + self._server_in_steps())

    def _begin_episode(self) -> None:
        before = processor_seconds(self._servers)
        self.env.reset(seed=self._seed % 5)
        self._server_in_resets += processor_seconds(self._servers) - before
        self._seed += 1
        self._left = _EPISODE

    def _server_in_steps(self) -> float:
        return processor_seconds(self._servers) - self._server_in_resets

    def step_until(self, page: Page, script: str) -> None:
        """Step until a script in the page gives something true."""
        deadline = time.monotonic() + _PATIENCE
        while not page.evaluate(script):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script} did not come true within {_PATIENCE:.0f} s")
            self.step(20)


def start_viewer(*words: str) -> tuple[subprocess.Popen[str], str]:
    """A viewer on a free port, and its address."""
    command = [sys.executable, "-m", "rllib_integration.viewer", "--port=0", *words]
    viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert viewer.stdout is not None
    found = re.search(r"http\S+", viewer.stdout.readline())
    assert found is not None
    return viewer, found[0]


def memory_of(processes: list[psutil.Process]) -> float:
    """MB of the viewer and the processes that watch worlds for it."""
    return float(sum(process.memory_info().rss for process in processes if process.is_running())) / 1e6


def compare_reporters(drive: Drive, seconds: float) -> None:
    """Swap the reporter for one that says nothing at every other step; print what it costs that nobody hears."""
    reporter, silence = drive.env._reporter, Silence()
    pairs: list[tuple[Cost, Cost]] = []
    drive.begin()
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            costs = {}
            for is_silent in random.sample((False, True), 2):
                drive.env._reporter = silence if is_silent else reporter  # type: ignore[assignment]
                costs[is_silent] = drive.step(1)
            pairs.append((costs[True], costs[False]))
    finally:
        drive.env._reporter = reporter
    print(f"unwatched against no reporter, {len(pairs)} pairs of steps:")
    for name in ("seconds", "own"):
        silent, telling = (np.array([getattr(cost, name) for cost in column]) for column in zip(*pairs))
        usual = np.median(silent)
        calm = np.abs(silent - telling) < usual  # leaves out steps in which the machine did something else
        extra = (telling - silent)[calm]
        error = extra.std() / np.sqrt(len(extra))
        ratio = usual / (usual + extra.mean())
        print(f"  {_NAMES[name]:<22} {extra.mean() * 1e6:6.1f} ± {error * 1e6:.1f} us of {usual * 1e6:.0f} us a step: "
              f"ratio of steps/s {ratio:.3f} ± {error / usual:.3f}")  # fmt: skip


class Watcher:
    """A browser that can be made to watch in several ways.

    Args:
        page: Of the browser.
        browser: Its processes.
        address: Of the viewer.
    """

    def __init__(self, page: Page, browser: list[psutil.Process], address: str) -> None:
        self._page, self._browser, self._address = page, browser, address

    def take_up(self, turn: str, drive: Drive) -> None:
        """Have a turn's way of watching hold."""
        if turn == "unwatched":
            self._page.goto("about:blank")
            time.sleep(_UNWATCHED_AFTER)
            return
        self._page.goto(self._address)
        drive.step_until(self._page, _SHOWS)
        if turn == "newest":
            self._page.evaluate("viewer.setFollow(false)")
            drive.step_until(self._page, "!viewer.isFollowing && " + _SHOWS)
        elif turn == "frozen":
            self._stop_or_go(signal.SIGSTOP)

    def leave(self, turn: str) -> None:
        """End what would outlast a turn."""
        if turn == "frozen":
            self._stop_or_go(signal.SIGCONT)
        elif turn == "newest":
            self._page.evaluate("viewer.setFollow(true)")

    def _stop_or_go(self, number: signal.Signals) -> None:
        for process in self._browser:
            if process.is_running():
                process.send_signal(number)


def compare_turns(drive: Drive, watcher: Watcher, rounds: int, seconds: float) -> None:
    """Print the table of all ways of watching.

    Args:
        drive: The environment.
        watcher: The browser.
        rounds: In each of which every way has a turn.
        seconds: Of life that a turn takes, about.
    """
    drive.begin()
    trial = drive.step(2 * _EPISODE)
    count = _EPISODE * max(1, round(seconds * trial.steps / trial.seconds / _EPISODE))
    found: dict[str, list[Cost]] = {turn: [] for turn in _TURNS}
    for _ in range(rounds):
        for turn in random.sample(_TURNS, len(_TURNS)):
            watcher.take_up(turn, drive)
            drive.begin()
            found[turn].append(drive.step(count))
            watcher.leave(turn)
    print(f"{rounds} rounds of {count} steps     steps/s  ratio   own us a step  ratio   with server  ratio")
    lasts: dict[str, tuple[float, float, float]] = {}
    for turn, costs in found.items():
        own = statistics.median(cost.own / count for cost in costs)
        both = statistics.median((cost.own + cost.server) / count for cost in costs)
        lasts[turn] = statistics.median(cost.seconds / count for cost in costs), own, both
    for turn, (life, own, both) in lasts.items():
        ratios = [first / this for first, this in zip(lasts[_TURNS[0]], (life, own, both))]
        print(f"  {turn:<24} {1.0 / life:9.0f}  {ratios[0]:.3f} {own * 1e6:14.0f}  {ratios[1]:.3f} "
              f"{both * 1e6:13.0f}  {ratios[2]:.3f}", flush=True)  # fmt: skip
    slowest = max(cost.seconds / count for cost in found["frozen"]) / lasts[_TURNS[0]][0]
    print(f"  the slowest turn with a frozen browser took {slowest:.2f} times as long as an unwatched one")


def measure_viewer(drive: Drive, page: Page, viewer: subprocess.Popen[str], address: str, seconds: float) -> None:
    """Print memory, processor time and bytes while a browser watches episodes as fast as they are driven."""
    page.goto(address)
    drive.step_until(page, _SHOWS)
    page.evaluate("viewer.setSpeed(5)")
    for name, follow in (("follow at 5x", "true"), ("newest", "false")):
        page.evaluate(f"viewer.setFollow({follow})")
        drive.step_until(page, _SHOWS)
        processes = [psutil.Process(viewer.pid), *psutil.Process(viewer.pid).children(recursive=True)]
        used, received = processor_seconds(processes), page.evaluate("viewer.connection.bytes")
        sizes, driven, began = [], 0, time.monotonic()
        while (life := time.monotonic() - began) < seconds:
            driven += drive.step(100).steps
            sizes.append(memory_of(processes))
        received = page.evaluate("viewer.connection.bytes") - received
        used = processor_seconds(processes) - used
        half = len(sizes) // 2
        minutes = driven * drive.env._reporter._step_seconds / 60.0
        print(f"{name:<13} {received / life / 1000.0:5.0f} kB/s to the browser; the viewer uses {used / life:.1%} of a "
              f"processor; at most {max(sizes[:half]):.0f} MB in the first, {max(sizes[half:]):.0f} MB in the second "
              f"half of {minutes:.0f} simulated minutes", flush=True)  # fmt: skip


def load_town(page: Page, town: str) -> None:
    """How long a town takes to be in the page of a viewer that has met the server."""
    words = [sys.executable, "-m", "minicarla", "-carla-rpc-port=2970", f"--town={town}"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    viewer = None
    try:
        assert server.stdout is not None
        while "listening" not in server.stdout.readline():
            pass
        viewer, address = start_viewer("--carla-port=2970")
        seconds = []
        for _ in range(4):
            page.goto("about:blank")
            page.goto(address, wait_until="commit")
            deadline = time.monotonic() + _PATIENCE
            while not page.evaluate("Boolean(window.viewer?.world.town)") and time.monotonic() < deadline:
                page.wait_for_timeout(10)
            seconds.append(page.evaluate("performance.now()") / 1000.0)
            size = page.evaluate(
                "performance.getEntriesByType('resource').find(one => one.name.includes('/town/')).encodedBodySize"
            )
        print(f"{town} in the page {seconds[0]:.1f} s at first, {min(seconds[1:]):.1f} s again; {size / 1000:.0f} kB")
    finally:
        for process in (viewer, server):
            if process is not None:
                process.terminate()
                process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn, and a fifth of the other parts")
    parser.add_argument("--vehicles", type=int, default=20)
    parser.add_argument("--town", default="Town03", help="the one to load; the runs drive in Minitown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        run = Path(folder) / "run"
        (run / LIVE_FOLDER).mkdir(parents=True)
        traffic = {"n_vehicles": arguments.vehicles, "n_walkers": 0}
        experiment = {
            "type": CruiseExperiment,
            "town": "Minitown",
            "hero": {"sensors": {}},
            "background_activity": traffic,
        }
        env = CarlaEnv({"carla": {"live_folder": str(run / LIVE_FOLDER)}, "experiment": experiment})
        drive = Drive(env)
        viewer, address = start_viewer(str(run))
        before = {process.pid for process in below()}
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        try:
            page = browser.new_page(viewport={"width": 640, "height": 400})
            own = [process for process in below() if process.pid not in before]
            for process in own:
                process.nice(_LOWEST_PRIORITY)
            drive.step(_EPISODE)
            compare_reporters(drive, 5.0 * arguments.seconds)
            compare_turns(drive, Watcher(page, own, address), arguments.rounds, arguments.seconds)
            measure_viewer(drive, page, viewer, address, 5.0 * arguments.seconds)
        finally:
            browser.close()
            viewer.terminate()
            viewer.wait()
            env.close()
        if arguments.town:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
            try:
                load_town(browser.new_page(viewport={"width": 640, "height": 400}), arguments.town)
            finally:
                browser.close()


if __name__ == "__main__":
    main()
