"""Fixtures of the compliance suite, which any CARLA 0.9.15 or 0.9.16 server should pass with the client of its version,
and the summary that it ends with.

pytest tests/compliance                                       # the embedded server, started by the suite
pytest tests/compliance --carla-host H --carla-port P         # any other one
"""

from __future__ import annotations

import ast
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import carla
import numpy as np
import pytest

from tests.known import actors_of, of_kind, weather_named
from tests.patience import PATIENCE

STEP = 0.05
"""[s] of every tick."""

Spawn = Callable[..., carla.Actor]
Note = Callable[[str, float, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite run against a server that is already there."""
    group = parser.getgroup("carla")
    group.addoption("--carla-host", default="127.0.0.1", help="host of the server to test")
    group.addoption("--carla-port", type=int, help="RPC port of the server to test; default: start the embedded one")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to let several processes tick one world."""
    if config.getoption("--carla-port", default=None) is not None and config.getoption("numprocesses", default=None):
        raise pytest.UsageError("the tests share the world of the server that --carla-port names: leave -n out")


@pytest.fixture(scope="session")
def named_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int] | None]:
    """Host and port that the command line names, if it does; ends everything if nobody answers there."""
    port = request.config.getoption("--carla-port", default=None)
    if port is None:
        yield None
        return
    host = request.config.getoption("--carla-host")
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
        client = carla.Client(host, port, worker_threads=1)
        client.set_timeout(PATIENCE)
        client.get_server_version()
    except (OSError, OverflowError, RuntimeError) as error:
        reason = f"no CARLA server answers at {host}:{port} ({error}): start one there, or test the embedded server by "
        _leave(reason + "leaving --carla-port out")
    town = bare(client.get_world().get_map().name)
    request.config.stash[_SERVER] = f"CARLA {client.get_server_version()} at {host}:{port}, {town}"
    with _left_as_found(client):
        yield host, port


def _leave(reason: str) -> NoReturn:
    pytest.exit(reason, returncode=pytest.ExitCode.USAGE_ERROR)


@contextlib.contextmanager
def _left_as_found(client: carla.Client) -> Iterator[None]:
    """Put back what the suite has changed: town, actors (under new ids), spectator, weather and settings."""
    world = client.get_world()
    town, weather, settings = world.get_map(), world.get_weather(), world.get_settings()
    there = [actor for actor in actors_of(world) if actor.type_id.startswith(("vehicle.", "walker.", "static.prop."))]
    poses = [(actor.type_id, actor.attributes, actor.get_transform()) for actor in there]
    view = world.get_spectator().get_transform()
    yield
    world = load(client, town)
    library = world.get_blueprint_library()
    for type_id, attributes, transform in poses:
        blueprint = library.find(type_id)
        for name, value in attributes.items():
            if blueprint.has_attribute(name) and blueprint.get_attribute(name).is_modifiable:
                blueprint.set_attribute(name, value)
        world.try_spawn_actor(blueprint, transform)
    world.get_spectator().set_transform(view)
    world.set_weather(weather)
    world.apply_settings(settings)


def load(client: carla.Client, town: carla.Map) -> carla.World:
    """Load a town again, of which the server may only have the OpenDRIVE text."""
    if bare(town.name) in map(bare, client.get_available_maps()):
        return client.load_world(town.name)
    return client.generate_opendrive_world(town.to_opendrive())


def bare(path: str) -> str:
    """A map's name without the folders before it."""
    return path.split("/")[-1]


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
    """A reloaded world, synchronous, at noon, for the tests of one file."""
    world = client.reload_world()
    world.set_weather(weather_named("ClearNoon"))
    synchronous(world)
    world.tick()
    yield world
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


def needs(kind: type, method: str) -> pytest.MarkDecorator:
    """Leaves a test out where the client is older than a method that it is about."""
    reason = f"carla.{kind.__name__}.{method} is not in this version of the client"
    return pytest.mark.skipif(not hasattr(kind, method), reason=reason)


def synchronous(world: carla.World) -> None:
    """Let a world wait for ticks."""
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, STEP
    world.apply_settings(settings)


@pytest.fixture
def spawn(client: carla.Client, fresh_world: carla.World) -> Iterator[Spawn]:
    """Spawns actors that end with the test: `spawn(id, transform, parent=None, **attributes)`."""
    spawned: list[carla.Actor] = []
    library = fresh_world.get_blueprint_library()

    def make(
        blueprint_id: str, transform: carla.Transform, parent: carla.Actor | None = None, **attributes: Any
    ) -> carla.Actor:
        kind: carla.AttachmentType = attributes.pop("attachment_type", carla.AttachmentType.Rigid)
        blueprint = library.find(blueprint_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, value)
        actor = fresh_world.spawn_actor(blueprint, transform, parent, kind)
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
    """The map's recommended spawn points, those with a straight and level road before them first."""
    town = fresh_world.get_map()
    return sorted(town.get_spawn_points(), key=lambda point: not _looks_down_a_straight_road(town, point))


def _looks_down_a_straight_road(town: carla.Map, point: carla.Transform) -> bool:
    here = town.get_waypoint(point.location)
    ahead = [here.next(metres)[:1] for metres in (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)]
    if not all(ahead):
        return False
    straight = here.transform.rotation.get_forward_vector()
    return all(
        waypoint.transform.get_forward_vector().dot(straight) > 0.999
        and abs(waypoint.transform.location.z - here.transform.location.z) < 0.3
        for (waypoint,) in ahead
    )


@pytest.fixture
def car(fresh_world: carla.World, spawn: Spawn, spawn_points: list[carla.Transform]) -> carla.Vehicle:
    """A car that stands on the road."""
    vehicle = of_kind(carla.Vehicle, spawn("vehicle.tesla.model3", spawn_points[0]))
    run(fresh_world, 1.0)
    return vehicle


def run(world: carla.World, seconds: float) -> int:
    """Tick for some simulated seconds; returns the last frame."""
    frame = 0
    for _ in range(round(seconds / STEP)):
        frame = world.tick()
    return frame


def beside(place: carla.Transform, forward: float = 0.0, right: float = 0.0, up: float = 0.0) -> carla.Transform:
    """A place some metres away in the frame of another one, looking the same way."""
    location = carla.Location(x=forward, y=right, z=up)
    return carla.Transform(carla.Location(place.transform(location)), place.rotation)


def seen_from(place: carla.Transform, location: carla.Location) -> carla.Location:
    """A location in the frame of a place [m], which 0.9.15's client has no method for."""
    x, y, z, _ = np.array(place.get_inverse_matrix()) @ (location.x, location.y, location.z, 1.0)
    return carla.Location(x, y, z)


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Puts a figure into the summary: `note(name, value, unit)`. Two servers' summaries can be laid side by side."""
    return lambda name, value, unit: record_property("figure", f"{name}: {value:.3g} {unit}")


_SERVER = pytest.StashKey[str]()
_FOLDER = Path(__file__).parent
_OUTCOMES = ("passed", "failed", "error", "skipped")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell how each subject went, and the figures, in a form that can be laid beside another server's."""
    reports = [(outcome, report) for outcome in _OUTCOMES for report in terminalreporter.getreports(outcome)]
    if not reports or any(_FOLDER.name not in Path(report.nodeid.split("::")[0]).parts for _, report in reports):
        return
    terminalreporter.section(f"compliance of {config.stash.get(_SERVER, 'the embedded server')}")
    for file in sorted(_FOLDER.glob("test_*.py")):
        counts = Counter(outcome for outcome, report in reports if Path(report.nodeid.split("::")[0]).name == file.name)
        if counts:
            told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome])
            subject = str(ast.get_docstring(ast.parse(file.read_text()))).splitlines()[0]
            terminalreporter.write_line(f"{told:<22} {subject}")
    figures = [what for _, report in reports for name, what in report.user_properties if name == "figure"]
    for figure in sorted(set(figures)):
        terminalreporter.write_line(figure)
