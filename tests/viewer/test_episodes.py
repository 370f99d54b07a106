"""Episodes of environments: told while somebody watches, followed, kept, recorded, and played without a server."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium import spaces

from rllib_integration import CarlaEnv
from rllib_integration.telemetry.announcement import LIVE_FOLDER, read_announcements
from rllib_integration.telemetry.messages import Kind, kind_of, pack
from rllib_integration.telemetry.pictures import message_of
from rllib_integration.telemetry.replay import REPLAYS_FOLDER, read_about, write_replay
from rllib_integration.telemetry.reporter import pictures_of, plain
from rllib_integration.telemetry.ring import RingReader
from rllib_integration.telemetry.town_mesh import load_town
from rllib_integration.viewer.clip import Clip
from rllib_integration.viewer.run_record import Curves, describe_run
from tests.experiments import PoseExperiment
from tests.known import present
from tests.patience import PATIENCE

STEPS = 12


@pytest.fixture
def run(tmp_path):
    """A run's folder as a training leaves it, with an environment that belongs to it."""
    folder = tmp_path / "first_try"
    folder.mkdir()
    (folder / "config.yaml").write_text("env_config: {}\nalgorithm: DQN\n")
    (folder / "run.json").write_text(json.dumps([{"started": "today", "command": ["carla-rllib", "train"], "seed": 3}]))
    rows = [{"num_env_steps_sampled_lifetime": 100 * n, "env_runners/episode_return_mean": n * 1.5} for n in (1, 2, 3)]
    (folder / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def env(embedded_server, run):
    host, port = embedded_server
    server = {"kind": "external", "host": host, "port": port}
    experiment = {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": STEPS}}
    hero = {"sensors": {"bird": {"type": "sensor.birdview", "size": 84}}}
    carla_section = {"server": server, "live_folder": str(run / LIVE_FOLDER)}
    made = CarlaEnv({"carla": carla_section, "experiment": {**experiment, "hero": hero}})
    yield made
    made.close()


def test_an_environment_tells_only_while_somebody_watches(env, run):
    env.reset(seed=1)
    (announcement,) = read_announcements(run / LIVE_FOLDER)
    assert (announcement.port, announcement.server) == (env.core.server_port, "external")
    reader = RingReader(run / LIVE_FOLDER / f"{announcement.name}.ring")
    env.step(1)
    assert reader.read() == []
    reader.watch(PATIENCE, closely=True)
    _, reward, *_ = env.step(2)
    episode, step, picture = reader.read()
    assert (episode["kind"], episode["e"], episode["n"]) == ("episode", 0, 2)
    assert (step["n"], step["a"], step["f"]) == (2, 2, env.core.frame)
    assert step["r"] == pytest.approx(reward, abs=1e-3)
    assert sum(step["parts"].values()) == pytest.approx(reward, abs=1e-3)
    assert picture["name"] == "sensor bird"
    assert kind_of(present(message_of(picture, ["sensor bird"]))) == Kind.PICTURE
    env.close()
    assert list((run / LIVE_FOLDER).glob("*")) == []


def test_a_browser_follows_keeps_and_plays_episodes(env, run, start_viewer, open_page):
    viewer = start_viewer(str(run))
    env.record_next_episode(run / REPLAYS_FOLDER, "Recorded")
    env.reset(seed=1)
    page = open_page(viewer.url, width=900, height=500)
    page.wait_for("viewer.isFollowing && viewer.state === 'watching'")
    # In one question: between two, the page may have gone on to the next episode.
    whole = f"({{ended, isWhole, frames}}) => ended && isWhole && frames.length >= {STEPS}"
    steps_of_whole = f"(clip => ({whole})(clip) && clip.steps.map(step => step.n))(viewer.playhead.clip)"
    while not (steps := page.evaluate(steps_of_whole)):
        _, _, terminated, truncated, _ = env.step(1)
        if terminated or truncated:
            env.reset()
    assert steps == list(range(1, STEPS + 1))
    page.page.click(".timeline .pill:has-text('Keep')")
    page.wait_for("document.querySelector('#legend').textContent.startsWith('Kept')")
    env.close()
    # Saved episodes play without any server, also in a viewer that has never seen one.
    viewer.stop()
    other = start_viewer(str(run))
    page = open_page(other.url, width=900, height=500)
    page.page.click("#tabs [data-page=replays]")
    page.wait_for("document.querySelectorAll('.gallery .tile').length === 2")
    page.page.click(".gallery .tile:has-text('Recorded')")
    page.wait_for("viewer.replay && viewer.world.town && viewer.hero && viewer.playhead.t > viewer.playhead.clip.start")
    assert page.evaluate("viewer.playhead.clip.steps.at(-1).end") == "truncated"
    page.page.click("#tabs [data-page=learning]")
    page.wait_for("document.querySelector('.charts .chart b')?.textContent === '4.50'")
    page.page.click("#tabs [data-page=run]")
    page.wait_for("document.querySelector('.run')?.textContent.includes('algorithm: DQN')")


def test_a_recorded_episode_says_what_became_of_it(env, run):
    env.record_next_episode(run / REPLAYS_FOLDER, "Worst / of all")
    env.reset(seed=2)
    while not env.step(3)[3]:
        pass
    (path,) = (run / REPLAYS_FOLDER).iterdir()
    about = present(read_about(path))
    assert (about["label"], about["end"], about["steps"], about["town"]) == (
        "Worst / of all",
        "truncated",
        STEPS,
        "Minitown",
    )
    assert load_town(about["key"])  # whose roads maps of the run show
    env.reset()
    assert len(list((run / REPLAYS_FOLDER).iterdir())) == 1


def test_what_is_no_recorded_episode_is_left_out(tmp_path):
    path = write_replay(tmp_path, {"label": "good"}, [pack(Kind.STEP, {"n": 1})])
    assert present(read_about(path))["label"] == "good"
    path.write_bytes(path.read_bytes()[:9])
    assert read_about(path) is None
    path.write_bytes(b"")
    assert read_about(path) is None


def test_pictures_in_observations_are_found_whatever_their_form():
    space = spaces.Dict(
        {
            "camera": spaces.Box(-1.0, 1.0, (32, 48, 3), np.float32),
            "masks": spaces.Box(0, 1, (16, 16, 2), np.uint8),
            "speed": spaces.Box(0.0, 1.0, (4,), np.float32),
        }
    )
    observation = {"camera": np.ones((32, 48, 3), np.float32), "masks": np.ones((16, 16, 2), np.uint8), "speed": 0}
    found = dict(pictures_of(observation, space))
    assert {name: (picture.shape, picture.max()) for name, picture in found.items()} == {
        "camera": ((32, 48, 3), 255),
        "masks": ((16, 16, 2), 255),
    }
    assert plain({"steer": np.float32(0.5), "gear": np.int64(2)}) == {"steer": 0.5, "gear": 2}


def test_curves_are_read_on_from_where_the_file_ended(run):
    curves = Curves(run / "result.json")
    assert curves.read()["steps"] == [100, 200, 300]
    with (run / "result.json").open("a") as file:
        file.write('{"num_env_steps_sampled_lifetime": 400, "env_runners/episode_return_mean": 9.0}\n{"half')
    assert curves.read()["curves"]["env_runners/episode_return_mean"] == [1.5, 3.0, 4.5, 9.0]
    (run / "result.json").write_text('{"num_env_steps_sampled_lifetime": 7}\n')
    assert curves.read()["steps"] == [7]
    assert describe_run(run)["starts"][0]["seed"] == 3


def test_what_a_clip_keeps_is_bounded(monkeypatch):
    monkeypatch.setattr("rllib_integration.viewer.clip.MOST_BYTES", 1000)
    clip = Clip(1, is_whole=True)
    frame, picture = pack(Kind.FRAME, {"f": 1}), pack(Kind.PICTURE, {"f": 1}, np.zeros(600, np.uint8))
    for _ in range(200):
        clip.add(0.0, picture)
        clip.add(0.0, frame)
    kept = [kind_of(entry.message) for entry in clip.entries]
    assert clip.full
    assert kept.count(Kind.PICTURE) == 1
    assert sum(len(entry.message) for entry in clip.entries) <= 2000
