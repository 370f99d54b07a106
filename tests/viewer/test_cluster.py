"""A run of a cluster, watched through its head node: two real Ray nodes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from rllib_integration.telemetry.announcement import LIVE_FOLDER
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
OTHER_NAME = 'import socket\nsocket.gethostname = lambda: "far-away"\n'
WHOLE = "(({isWhole, ended, frames, steps}) => isWhole && ended && frames.length > 5 && steps.length > 5)"


@pytest.fixture
def session():
    """A folder with a short path: those of Ray's sockets may have no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rv", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def cluster(session, monkeypatch, tmp_path):
    """A head, and a node that takes itself for another machine and has folders of its own."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "sitecustomize.py").write_text(OTHER_NAME)
    monkeypatch.setenv("RAY_TMPDIR", session)
    (Path(session) / "ray").mkdir()  # where Ray notes the cluster's address
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": session, "include_dashboard": False}
    )
    elsewhere = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    cluster.add_node(num_cpus=1, resources={"elsewhere": 1.0}, env_vars=elsewhere)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def driven(cluster, embedded_server, tmp_path):
    """The folder of a run whose only environment is driven on the other node."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("algorithm: DQN\n")
    words = [cluster.address, str(embedded_server[1]), str(run / LIVE_FOLDER)]
    driver = subprocess.Popen([sys.executable, "-m", "tests.viewer.drive_elsewhere", *words], cwd=ROOT)
    yield run
    driver.kill()
    driver.wait()


def viewers_on(machine):
    return [
        process
        for process in psutil.process_iter(["environ", "cmdline"])
        if "rllib_integration.viewer" in (process.info["cmdline"] or [])
        and (process.info["environ"] or {}).get("XDG_CACHE_HOME", "").startswith(machine)
    ]


def test_worlds_of_another_node_are_watched_through_the_viewer_of_the_head(driven, start_viewer, open_page, tmp_path):
    viewer = start_viewer(str(driven), "--cluster", "--controls")
    page = open_page(viewer.url, width=900, height=500)
    page.wait_for("viewer.sources.length === 1 && viewer.source?.node === 'far-away' && !viewer.source.away")
    assert page.evaluate("document.querySelector('#rail h2').textContent") == "run on far-away"
    page.wait_for("viewer.isFollowing && viewer.state === 'watching'")
    page.wait_for(f"{WHOLE}(viewer.playhead.clip) && viewer.world.town && viewer.world.pictures > 0")
    page.page.keyboard.press("f")  # what happens now
    page.wait_for("viewer.playhead.isLive && viewer.playhead.clip.steps.length > 5")
    page.page.click("#controls .pill:has-text('Drive a car')")
    page.wait_for("viewer.followed && viewer.world.actors.shown.has(viewer.followed)")
    page.page.click("#tabs [data-page=replays]")
    page.wait_for("document.querySelector('.gallery .tile')?.textContent.includes('Far away')")
    page.page.click("#tabs [data-page=world]")
    before = page.evaluate("viewer.source.id")
    (there,) = viewers_on(str(tmp_path))
    there.kill()  # another one takes its place
    page.wait_for(f"viewer.source.id !== {before} && viewer.state === 'watching'")
    page.wait_for("viewer.playhead.isLive && viewer.playhead.clip.steps.length > 5")
    below = viewers_on(str(tmp_path))
    assert viewer.stop() == 0
    assert psutil.wait_procs(below, PATIENCE)[1] == []
    assert os.listdir(driven / LIVE_FOLDER)  # the run goes on
