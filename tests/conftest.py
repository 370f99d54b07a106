"""Fixtures that several folders share: a real embedded server, a real CARLA client."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import carla
import hypothesis
import pytest

from rllib_integration.sensors import SensorInterface
from tests.known import of_kind
from tests.patience import PATIENCE
from tests.ports import free_port_pair
from tests.warm_commands import WarmCommands

_REPOSITORY = Path(__file__).resolve().parents[1]
_START_TIMEOUT = 600.0
"""[s] The first start on a machine compiles the physics, or waits for another server that does."""

_LONGEST_FILES = (
    "tests/training/test_run.py",
    "tests/aws/test_training_on_s3.py",
    "tests/test_env_recovery.py",
    "tests/aws/test_ray_up.py",
    "tests/aws/test_two_nodes.py",
    "tests/servers/test_chaos.py",
    "tests/test_env_wrappers.py",
)
"""They begin first, so that of several processes that take a file at a time none works alone at the end."""

# Ray would start as many idle workers as there are processors, whether or not a test's training needs them.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")

ServerAddress = tuple[str, int]

# The same examples in every run, so that a failure comes with the change that caused it; tests/fuzz looks for new ones.
hypothesis.settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores Ctrl-C, and `nohup` the terminal's end: what the tests start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):  # a process of pytest-xdist reports to the one that started it
        config.pluginmanager.register(_FailuresAtOnce(config))
    if hasattr(config.option, "loadscopereorder"):  # by a file's number of tests, which says little of their time
        config.option.loadscopereorder = False


class _FailuresAtOnce:
    """Names failures as they come, for who reads along, and for a run that is cut off before its summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            reasons = report.longreprtext.strip().splitlines()
            terminal.write_line(f"\n{report.nodeid} ({report.when}): {reasons[-1] if reasons else ''}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {file: place for place, file in enumerate(_LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.nodeid.split("::")[0], len(order)))


class EmbeddedServer:
    """An embedded server as a process of its own, on a free port; `program` may start it in another way."""

    def __init__(self, log: Path, *options: str, program: tuple[str, ...] = ("minicarla",)) -> None:
        self.host = "127.0.0.1"
        self.port = free_port_pair()
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    *program,
                    f"-carla-rpc-port={self.port}",
                    f"--parent-pid={os.getpid()}",
                    *options,
                ],
                cwd=_REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Unbuffered: a line that lay read in a buffer would not wake the selector.
                bufsize=0,
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> ServerAddress:
        """Host and RPC port."""
        return self.host, self.port

    def _wait_until_it_listens(self) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + _START_TIMEOUT
        line = "starting:"
        while line.startswith("starting:"):
            with selectors.DefaultSelector() as selector:
                selector.register(self.process.stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"the server did not listen within {_START_TIMEOUT} s")
            line = self.process.stdout.readline().decode()
        if "listening" not in line:
            status = self.process.wait(PATIENCE)
            raise RuntimeError(f"the server ended with status {status}: {line}{self.log.read_text()}")

    def stop(self) -> int:
        """End the server; returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., EmbeddedServer]]:
    """Starts embedded servers with extra options; all of them end with the session."""
    folder = tmp_path_factory.mktemp("servers")
    servers: list[EmbeddedServer] = []

    def start(*options: str) -> EmbeddedServer:
        recordings = folder / f"recordings-{len(servers)}"
        server = EmbeddedServer(folder / f"server-{len(servers)}.log", f"--recordings-folder={recordings}", *options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def embedded_server(start_server: Callable[..., EmbeddedServer]) -> Iterator[ServerAddress]:
    """Host and port of one server that serves the tests of a file, so that files can't disturb each other."""
    server = start_server()
    yield server.address
    server.stop()


@pytest.fixture
def carla_client(embedded_server: ServerAddress) -> Iterator[carla.Client]:
    """A client of the file's server, in a freshly loaded synchronous world of the built-in town (0.05 s a tick).

    The world is asynchronous again, and empty, after the test.
    """
    # One thread, as the library has it: what was sent first is then seen first, events before their tick's end.
    client = carla.Client(*embedded_server, worker_threads=1)
    client.set_timeout(PATIENCE)
    world = client.load_world("Minitown", reset_settings=True)
    settings = world.get_settings()
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = 0.05
    world.apply_settings(settings)
    yield client
    # It is dropped when it has heard of the new world: its own thread then looks into that world, by way of the client.
    client.reload_world(reset_settings=True).wait_for_tick(PATIENCE)


@pytest.fixture
def world(carla_client: carla.Client) -> carla.World:
    """A fresh synchronous world."""
    return carla_client.get_world()


@pytest.fixture
def hero(world: carla.World) -> carla.Vehicle:
    """A car on the first spawn point, after one tick."""
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2017")
    blueprint.set_attribute("role_name", "hero")
    actor = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    return of_kind(carla.Vehicle, actor)


@pytest.fixture
def interface(world: carla.World) -> Iterator[SensorInterface]:
    """An interface whose sensors end with the test."""
    sensors = SensorInterface()
    sensors.map = world.get_map()
    yield sensors
    sensors.destroy()


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[WarmCommands]:
    """Runs commands that need Ray and torch, without the seconds that importing them takes."""
    commands = WarmCommands()
    yield commands
    commands.close()
