"""What an experiment changes for one episode: time step, weather, things on the road, the hero's sensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import carla
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.sensors.base_sensor import CarlaSensor
from tests.experiments import PoseExperiment
from tests.known import of_kind, present, weather_named
from tests.patience import PATIENCE

CAMERA = {"type": "sensor.camera.rgb", "image_size_x": 32, "image_size_y": 24, "fov": 90}


class Varied(PoseExperiment):
    """Changes its world in every other episode."""

    episodes = 0
    drawn: float = 0.0

    def prepare_world(self, core: Any, config: dict[str, Any]) -> None:
        self.episodes += 1
        self.drawn = float(core.rng.random())
        if self.episodes % 2:
            core.set_timestep(0.025)
            core.set_weather(weather_named("HardRainNoon"))
            config["hero"]["sensors"]["camera"]["fov"] = 60
            place = core.map.get_spawn_points()[0].location + carla.Location(z=-0.4)
            core.spawn("static.trigger.friction", carla.Transform(place), friction=1.0, extent_x=300.0)


@pytest.fixture(scope="module")
def env() -> Iterator[CarlaEnv]:
    hero = {"blueprint": "vehicle.micro.microlino", "sensors": {"camera": CAMERA}}
    env = CarlaEnv(
        {
            "carla": {"server": "embedded", "timeout": PATIENCE, "ticks_per_step": 2},
            "experiment": {"type": Varied, "town": "Minitown", "hero": hero},
        }
    )
    yield env
    env.close()


def look(env: CarlaEnv) -> tuple[float, float, str, int]:
    """Time step, rain, the camera's field of view and the number of friction triggers."""
    world = env.core.world
    camera = present(of_kind(CarlaSensor, env.core.sensor_interface.sensors["camera"]).sensor)
    triggers = len(world.get_actors().filter("static.trigger.friction"))
    step = round(world.get_snapshot().timestamp.delta_seconds, 6)
    return step, world.get_weather().precipitation, camera.attributes["fov"], triggers


def triggers_once_seen(world: carla.World, expected: int) -> int:
    """The number of friction triggers that a client sees, as soon as it is the expected one or some ticks have passed.

    A new client sees no actors at all before its first snapshot has arrived.
    """
    for _ in range(10):
        if len(world.get_actors().filter("static.trigger.friction")) == expected:
            break
        if world.get_settings().synchronous_mode:
            world.tick(PATIENCE)  # returns when this client has the snapshot of that frame
        else:
            world.wait_for_tick(PATIENCE)
    return len(world.get_actors().filter("static.trigger.friction"))


def test_changes_last_for_their_episode_alone(env: CarlaEnv) -> None:
    for seed in range(4):
        env.reset(seed=seed)
        for _ in range(3):
            env.step(1)
        step, rain, fov, triggers = look(env)
        if seed % 2 == 0:
            assert (step, float(fov), triggers) == (0.025, 60.0, 1)
            assert rain > 50.0
        else:
            assert (step, float(fov), triggers) == (0.05, 90.0, 0)
            assert rain == 0.0
        assert env._sensor_data["camera"][0] == env.core.frame
    assert env.config["experiment"]["hero"]["sensors"]["camera"]["fov"] == 90


def test_what_is_drawn_hangs_on_the_episodes_seed(env: CarlaEnv) -> None:
    drawn = []
    for seed in (5, 6, 5):
        env.reset(seed=seed)
        drawn.append(of_kind(Varied, env.experiment).drawn)
    assert drawn[0] == drawn[2] != drawn[1]


def test_nothing_is_left_in_the_world_when_the_environment_closes(start_server: Any) -> None:
    host, port = start_server().address
    settings = {"kind": "external", "host": host, "port": port}
    hero = {"blueprint": "vehicle.micro.microlino", "sensors": {"camera": CAMERA}}
    env = CarlaEnv(
        {
            "carla": {"server": settings, "timeout": PATIENCE},
            "experiment": {"type": Varied, "town": "Minitown", "hero": hero},
        }
    )
    env.reset(seed=0)
    client = carla.Client(host, port)
    client.set_timeout(PATIENCE)
    world = client.get_world()
    assert triggers_once_seen(world, 1) == 1
    env.close()
    assert triggers_once_seen(world, 0) == 0


def test_unknown_things_and_attributes_are_refused(env: CarlaEnv) -> None:
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"no blueprint 'static\.trigger\.frictoin'\. The nearest are: static\.trig"):
        env.core.spawn("static.trigger.frictoin", carla.Transform())
    with pytest.raises(ConfigError, match="has no attribute 'grip'"):
        env.core.spawn("static.trigger.friction", carla.Transform(), grip=1.0)
