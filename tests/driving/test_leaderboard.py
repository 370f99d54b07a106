"""A policy drives where CARLA's evaluator calls it; a stand-in calls as its versions 1.0 and 2.0 do."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import carla
import numpy as np
import pytest

from rllib_integration.cli.main import main
from rllib_integration.driving.leaderboard import AGENT_FILE
from rllib_integration.roads.routes import plan_route
from tests.known import of_kind

INTERFACE = """
import enum

class Track(enum.Enum):
    SENSORS = "SENSORS"
    MAP = "MAP"

class AutonomousAgent:
    def __init__(self, *arguments):
        self.track = Track.SENSORS
        if len(arguments) == 1:  # version 1.0 gives the configuration, 2.0 the simulator's place
            self.setup(*arguments)

    def set_global_plan(self, gps, world):
        self.kept = world[::50]
"""
PROVIDER = """
class CarlaDataProvider:
    world = hero = None

    @classmethod
    def get_world(cls):
        return cls.world

    @classmethod
    def get_hero_actor(cls):
        return cls.hero
"""


@pytest.fixture
def evaluator(tmp_path, monkeypatch):
    """The two modules of the evaluator that an agent imports, with nothing in them but what it uses."""
    for name, text in (("leaderboard.autoagents.autonomous_agent", INTERFACE), (PROVIDER_NAME, PROVIDER)):
        file = tmp_path / "evaluator" / Path(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "evaluator"))
    monkeypatch.syspath_prepend(str(AGENT_FILE.parent))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("leaderboard", "srunner", AGENT_FILE.stem)]:
        del sys.modules[name]


PROVIDER_NAME = "srunner.scenariomanager.carla_data_provider"


def test_the_shipped_policy_follows_the_evaluators_route(evaluator, embedded_server, tmp_path, capsys):
    file = tmp_path / "agent.yaml"
    assert main(["leaderboard", "traffic", "traffic", "--output", str(file)]) == 0
    assert f"--agent-config={file}" in capsys.readouterr().out
    client = carla.Client(*embedded_server)
    client.set_timeout(60.0)
    world = client.load_world("Minitown")
    world.apply_settings(carla.WorldSettings(True, False, 0.05))
    start = world.get_map().get_spawn_points()[0]
    route = plan_route(world.get_map(), start, length=60.0, rng=np.random.default_rng(0))
    agent_module = importlib.import_module(AGENT_FILE.stem)
    provider = importlib.import_module(PROVIDER_NAME).CarlaDataProvider
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2017")
    hero = of_kind(carla.Vehicle, world.spawn_actor(blueprint, start))
    world.tick()
    provider.world, provider.hero = world, hero
    plan = [
        (carla.Transform(carla.Location(x, y, z), carla.Rotation(yaw=np.degrees(yaw))), option)
        for (x, y, z, yaw), option in zip(route.points.tolist(), route.options)
    ]
    for version in ("1.0", "2.0"):
        cls = getattr(agent_module, agent_module.get_entry_point())
        agent = cls(str(file)) if version == "1.0" else cls("127.0.0.1", 2000, 0)
        agent.set_global_plan([], plan)
        if version == "2.0":
            agent.setup(str(file))
        assert (agent.sensors(), agent.track.value) == ([], "MAP")
        for _ in range(60):
            snapshot = world.get_snapshot()
            hero.apply_control(agent.run_step({}, snapshot.timestamp.elapsed_seconds))
            world.tick()
        agent.destroy()
    route.update(hero.get_location().x, hero.get_location().y)
    assert route.travelled > 5.0
    assert route.deviation < 1.5
    hero.destroy()
