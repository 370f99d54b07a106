"""Fixtures of the compliance suite, which any CARLA 0.9.16 server should pass.

pytest tests/compliance                                       # the embedded server, started by the suite
pytest tests/compliance --carla-host H --carla-port P         # any other one
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import carla
import pytest

from tests.patience import PATIENCE

STEP = 0.05
"""[s] of every tick."""

Spawn = Callable[..., carla.Actor]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite run against a server that is already there."""
    group = parser.getgroup("carla")
    group.addoption("--carla-host", default="127.0.0.1", help="host of the server to test")
    group.addoption("--carla-port", type=int, help="RPC port of the server to test; default: start the embedded one")


@pytest.fixture(scope="session")
def named_server(request: pytest.FixtureRequest) -> tuple[str, int] | None:
    """Host and port that the command line names, if it does; ends everything if nobody answers there."""
    port = request.config.getoption("--carla-port", default=None)
    if port is None:
        return None
    host = request.config.getoption("--carla-host")
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
        client = carla.Client(host, port)
        client.set_timeout(PATIENCE)
        client.get_server_version()
    except (OSError, OverflowError, RuntimeError) as error:
        reason = f"no CARLA server answers at {host}:{port} ({error}): start one there, or test the embedded server by "
        pytest.exit(reason + "leaving --carla-port out", returncode=pytest.ExitCode.USAGE_ERROR)
    return host, port


@pytest.fixture(scope="module")
def server_address(request: pytest.FixtureRequest, named_server: tuple[str, int] | None) -> tuple[str, int]:
    """Host and port of the server under test."""
    return named_server or request.getfixturevalue("embedded_server")


@pytest.fixture(scope="module")
def client(server_address: tuple[str, int]) -> carla.Client:
    """One client for all tests, with one thread: it hears of things in the order in which they were sent."""
    client = carla.Client(*server_address, worker_threads=1)
    client.set_timeout(PATIENCE)
    return client


@pytest.fixture(scope="module")
def fresh_world(client: carla.Client) -> Iterator[carla.World]:
    """A reloaded world, synchronous, for the tests of one file."""
    world = client.reload_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP
    world.apply_settings(settings)
    world.tick()
    yield world
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


@pytest.fixture
def spawn(client: carla.Client, fresh_world: carla.World) -> Iterator[Spawn]:
    """Spawns actors that end with the test: `spawn(id, transform, parent=None, **attributes)`."""
    spawned: list[carla.Actor] = []
    library = fresh_world.get_blueprint_library()

    def make(
        blueprint_id: str, transform: carla.Transform, parent: carla.Actor | None = None, **attributes: str
    ) -> carla.Actor:
        blueprint = library.find(blueprint_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, value)
        actor = fresh_world.spawn_actor(blueprint, transform, attach_to=parent)
        spawned.append(actor)
        return actor

    yield make
    for actor in reversed(spawned):
        if isinstance(actor, carla.Sensor) and actor.is_listening():
            actor.stop()
    client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in reversed(spawned)], False)
    fresh_world.tick()


@pytest.fixture(scope="module")
def spawn_points(fresh_world: carla.World) -> list[carla.Transform]:
    """The map's recommended spawn points."""
    return fresh_world.get_map().get_spawn_points()


@pytest.fixture
def car(fresh_world: carla.World, spawn: Spawn, spawn_points: list[carla.Transform]) -> carla.Vehicle:
    """A car that stands on the road."""
    vehicle = spawn("vehicle.tesla.model3", spawn_points[0])
    run(fresh_world, 1.0)
    return vehicle


def run(world: carla.World, seconds: float) -> int:
    """Tick for some simulated seconds; returns the last frame."""
    frame = 0
    for _ in range(round(seconds / STEP)):
        frame = world.tick()
    return frame
