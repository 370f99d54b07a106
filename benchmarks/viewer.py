#!/usr/bin/env python3
"""What the viewer costs: a run that nobody watches, one that a browser watches, and the viewer itself.

    python benchmarks/viewer.py [--rounds 6] [--steps 1500] [--vehicles 20] [--town Town03]

Prints environment steps a second of the environment's own processor time, in turns whose order is shuffled: without
any telemetry, unwatched, and watched by one browser that follows whole episodes. Then the viewer's memory while it
watches, the bytes that a browser gets, and how long a town takes to be in the page. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from env_step import CruiseExperiment
from playwright.sync_api import Page, sync_playwright
from processor_time import below, processor_seconds

from rllib_integration import CarlaEnv
from rllib_integration.telemetry.announcement import LIVE_FOLDER

_FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]
_EPISODE = 300  # decisions
_PATIENCE = 120.0  # [s]
_UNWATCHED_AFTER = 8.0  # [s] after which nobody's wish to watch holds any more


class Silence:
    """Stands for an environment's reporter, and says nothing: what a run without any telemetry has."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Drive:
    """Steps one environment, episode after episode."""

    def __init__(self, env: CarlaEnv) -> None:
        self.env = env
        self._left = 0
        self._seed = 0

    def step(self, count: int) -> float:
        """Make so many steps; returns the own processor seconds that they took."""
        used = 0.0
        for _ in range(count):
            if not self._left:
                self._seed += 1
                self.env.reset(seed=self._seed % 5)
                self._left = _EPISODE
            begun = time.process_time()
            self.env.step(self._left % 3)
            used += time.process_time() - begun
            self._left -= 1
        return used

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


def memory_of(viewer: subprocess.Popen[str]) -> float:
    """MB of the viewer and the processes that watch worlds for it."""
    process = psutil.Process(viewer.pid)
    return float(sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))) / 1e6


def compare(drive: Drive, page: Page, address: str, arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Steps a processor second of each round, by the way in which the run is watched."""
    reporter = drive.env._reporter
    rates: dict[str, list[float]] = {"no telemetry": [], "unwatched": [], "watched": []}
    servers = [process for process in below() if "minicarla" in " ".join(process.cmdline())]
    both: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(arguments.rounds):
        for name in random.sample(sorted(rates), len(rates)):
            drive.env._reporter = Silence() if name == "no telemetry" else reporter  # type: ignore[assignment]
            if name == "watched":
                page.goto(address)
                drive.step_until(page, "Boolean(window.viewer && viewer.playhead.clip.frames.length > 5)")
            else:
                page.goto("about:blank")
                time.sleep(_UNWATCHED_AFTER)
            served = processor_seconds(servers)
            used = drive.step(arguments.steps)
            rates[name].append(arguments.steps / used)
            both[name].append(arguments.steps / (used + processor_seconds(servers) - served))
    drive.env._reporter = reporter
    for title, found in (("own process", rates), ("with its server", both)):
        middle = {name: statistics.median(values) for name, values in found.items()}
        for name, value in middle.items():
            ratio = value / middle["no telemetry"]
            print(f"{title:<16} {name:<13} {value:8.0f} steps/s of processor time, ratio {ratio:.3f}", flush=True)
    return rates


def watch(drive: Drive, page: Page, viewer: subprocess.Popen[str], address: str, seconds: float) -> None:
    """Memory and bytes while a browser watches episodes as fast as they are driven."""
    page.goto(address)
    drive.step_until(page, "Boolean(window.viewer && viewer.playhead.clip.frames.length > 5)")
    page.evaluate("viewer.setSpeed(5)")
    ages, sizes = [], []
    began = time.monotonic()
    before = page.evaluate("viewer.connection.bytes")
    step_seconds = 0.05
    driven = 0
    while time.monotonic() - began < seconds:
        drive.step(200)
        driven += 200
        ages.append(time.monotonic() - began)
        sizes.append(memory_of(viewer))
    life = ages[-1]
    received = page.evaluate("viewer.connection.bytes") - before
    half = len(sizes) // 2
    print(f"viewer's memory  {max(sizes[:half]):.0f} MB at most in the first half, {max(sizes[half:]):.0f} MB in the "
          f"second: {driven * step_seconds / 60.0:.0f} simulated minutes in {life:.0f} s")  # fmt: skip
    print(f"to the browser   {received / life / 1000.0:.0f} kB a second of life, follow at 5x")
    page.evaluate("viewer.setFollow(false)")
    drive.step_until(page, "viewer.playhead.clip.frames.length > 20")
    began, before = time.monotonic(), page.evaluate("viewer.connection.bytes")
    while time.monotonic() - began < 10.0:
        drive.step(20)
    received = page.evaluate("viewer.connection.bytes") - before
    print(f"to the browser   {received / (time.monotonic() - began) / 1000.0:.0f} kB a second of life, newest")


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
                "performance.getEntriesByType('resource').find(one => one.name.includes('/town/')).transferSize"
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
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=1500, help="of each turn")
    parser.add_argument("--vehicles", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="of life, for which the memory is watched")
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
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        try:
            page = browser.new_page(viewport={"width": 640, "height": 400})
            drive.step(200)
            compare(drive, page, address, arguments)
            watch(drive, page, viewer, address, arguments.seconds)
            if arguments.town:
                load_town(page, arguments.town)
        finally:
            browser.close()
            viewer.terminate()
            viewer.wait()
            env.close()


if __name__ == "__main__":
    main()
