"""Cameras draw once a step, where a step is several ticks, and each picture is of the step's own last frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.sensors import SensorInterface
from rllib_integration.sensors.cameras import CameraRGB
from tests.experiments import PoseExperiment
from tests.patience import PATIENCE

TICKS = 4
SMALL = {"transform": "0.8,0,1.7,0,0,0", "image_size_x": 48, "image_size_y": 36}
TAGS = {"type": "sensor.camera.semantic_segmentation", "format": "tags", **SMALL}
EVERY_TICK = {"sensor_tick": 0.0}


class ReadsEveryPicture(CameraRGB):
    """A user's camera that looks at each picture as it comes."""

    seen = 0

    def callback(self, data: Any) -> None:
        type(self).seen += 1
        super().callback(data)


class Counted(PoseExperiment):
    """Drives on for some steps."""

    def get_truncated_status(self, observation: Any, core: Any) -> bool:
        return False


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Frames of all messages that came, by sensor."""
    found: dict[str, list[int]] = {}
    push = SensorInterface.push

    def note(self: SensorInterface, sensor: Any, frame: int, data: Any) -> None:
        found.setdefault(sensor.name, []).append(frame)
        push(self, sensor, frame, data)

    monkeypatch.setattr(SensorInterface, "push", note)
    return found


@pytest.fixture
def make_env() -> Iterator[Any]:
    made: list[CarlaEnv] = []

    def make(sensors: dict[str, Any], ticks: int = TICKS, **experiment: Any) -> CarlaEnv:
        settings = {"type": Counted, "town": "Minitown", **experiment}
        settings["hero"] = {"blueprint": "vehicle.micro.microlino", "sensors": sensors}
        carla = {"server": "embedded", "timeout": PATIENCE, "ticks_per_step": ticks}
        made.append(CarlaEnv({"carla": carla, "experiment": settings}))
        return made[-1]

    yield make
    for env in made:
        env.close()


def drive(env: CarlaEnv, episodes: list[dict[str, Any]], steps: int = 12) -> Iterator[dict[str, tuple[int, Any]]]:
    """The sensors' data of each step."""
    for number, options in enumerate(episodes):
        _, info = env.reset(seed=number, options=options)
        assert set(info["frames_behind"].values()) <= {0}
        yield dict(env._sensor_data)
        for _ in range(steps):
            _, _, _, _, info = env.step(1 + number % 3)
            assert set(info["frames_behind"].values()) <= {0}
            yield dict(env._sensor_data)


def test_every_picture_is_the_one_that_a_camera_drawing_every_tick_has_of_the_same_frame(
    make_env: Any, arrivals: dict[str, list[int]]
) -> None:
    env = make_env({"once": TAGS, "always": {**TAGS, **EVERY_TICK}})
    towns = [{}, {}, {"town": "Racetrack01"}, {"town": "Racetrack01"}, {}]
    pictures = []
    for data in drive(env, towns):
        assert data["once"][0] == data["always"][0] == env.core.frame
        assert (data["once"][1] == data["always"][1]).all()
        pictures.append(data["once"][1])
    assert len({picture.tobytes() for picture in pictures}) > len(pictures) // 2  # they are not all the same one
    decisions = len(pictures)
    assert len(arrivals["once"]) == decisions
    assert len(arrivals["always"]) >= decisions + (TICKS - 1) * (decisions - len(towns))


def test_an_episode_whose_route_costs_a_tick_begins_with_a_picture_of_its_own_frame(make_env: Any) -> None:
    env = make_env({"once": TAGS, "always": {**TAGS, **EVERY_TICK}}, route={"length": 200})
    for data in drive(env, [{}, {}], steps=5):
        assert data["once"][0] == data["always"][0] == env.core.frame
        assert (data["once"][1] == data["always"][1]).all()


def test_other_time_steps_keep_the_beat(make_env: Any) -> None:
    for timestep, ticks in ((0.05, 2), (0.03, 5), (0.1, 3), (0.0333333, 6)):
        env = make_env({"once": TAGS}, ticks=ticks)
        env.config["carla"]["timestep"] = timestep
        for data in drive(env, [{}], steps=30):
            assert data["once"][0] == env.core.frame
        env.close()


@pytest.mark.parametrize(
    ("attributes", "pictures_a_step"),
    [
        ({"type": "sensor.camera.rgb", **SMALL, "sensor_tick": 0.0}, TICKS),
        ({"type": "sensor.camera.optical_flow", **SMALL}, TICKS),
        ({"type": f"{__name__}:ReadsEveryPicture", **SMALL}, TICKS),
        ({"type": "sensor.camera.rgb", **SMALL}, 1),
        ({"type": "sensor.camera.depth", **SMALL}, 1),
        ({"type": "sensor.camera.rgb", **SMALL, "sensor_tick": 0.1}, 2),
    ],
)
def test_only_cameras_whose_pictures_between_steps_nobody_reads_draw_once_a_step(
    make_env: Any, arrivals: dict[str, list[int]], attributes: dict[str, Any], pictures_a_step: int
) -> None:
    env = make_env({"camera": attributes})
    list(drive(env, [{}], steps=10))
    frames = np.unique(arrivals["camera"])
    assert len(frames) == pytest.approx(1 + 10 * pictures_a_step, abs=1)


def test_a_simulator_that_does_not_keep_the_beat_costs_a_warning_and_cameras_draw_every_tick_from_then_on(
    make_env: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, arrivals: dict[str, list[int]]
) -> None:
    monkeypatch.setattr(SensorInterface, "cameras_keep_the_beat", True)
    # Rounded up by the simulator: it draws after five ticks where four were asked for.
    monkeypatch.setattr("rllib_integration.sensors.base_sensor._ON_THE_BEAT", 1.2)
    env = make_env({"camera": TAGS})
    env.config["carla"]["timeout"] = 3.0
    env.reset(seed=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            _, _, _, truncated, info = env.step(1)
            assert not truncated
            assert "server_restarted" not in info
    assert "Cameras draw every tick from now on" in caplog.text
    arrivals.clear()
    env.reset(seed=1)
    for _ in range(5):
        env.step(1)
        assert env._sensor_data["camera"][0] == env.core.frame
    assert len(arrivals["camera"]) >= 5 * TICKS
