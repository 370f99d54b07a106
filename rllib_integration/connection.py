"""A CARLA server, this process's client of it, and the settings of its world.

Every call that waits for the server goes through the pool's bounded calls, so that none waits longer than allowed and
the end of the server's process is noticed at once. What goes wrong with a server is a `ServerError`.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import carla

from rllib_integration.annotations import Settings
from rllib_integration.scenario import town_name
from rllib_integration.sensors import SensorTimeoutError
from rllib_integration.servers import (
    EMBEDDED_CHOSEN,
    CarlaServer,
    ServerDiedError,
    ServerError,
    ServerHangError,
    ServerSettings,
    create_pool,
)
from rllib_integration.servers.bounded_calls import PendingCall
from rllib_integration.servers.pool import ServerPool
from rllib_integration.tracks.racetracks import RACETRACKS, racetrack_opendrive

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_SUBSTEP = 0.01  # [s] CARLA's default; substeps are added for longer time steps
_FEWEST_SUBSTEPS, _MOST_SUBSTEPS = 10, 16  # CARLA refuses more; beyond them, each is longer
_NO_SERVER = "There is no CARLA server: the last one failed, and no other has been acquired."
_CLIENT_TIME_OUT = re.compile(r"time-out of \d+ms while waiting for the simulator")
_BARE_ROADS = carla.OpendriveGenerationParameters(wall_height=0.0, additional_width=0.0)


# Collecting what a forked process inherits of clients would wait for their threads, which are not there, or abort.
os.register_at_fork(after_in_child=gc.freeze)


class Connection:
    """Obtains servers one after another, and holds a client of the present one.

    Args:
        config: A complete `carla` section.

    Attributes:
        settings: How servers are obtained, and how long they are waited for.
        pool: The environment's servers.
        client: The client; None while there is no connection, as are the next four attributes.
        world: The simulated world.
        map: The town's roads.
        spectator: The free camera of the server's window.
        blueprints: What the server can spawn.
        available_towns: The towns that the server lists, as it names them.
        town: The town that was asked for, None before the first.
        timestep: Time that a tick simulates [s].
        renders: Whether the world draws pictures for cameras.
    """

    def __init__(self, config: Settings) -> None:
        self.settings = ServerSettings.from_core_config(config)
        self.pool: ServerPool = create_pool(self.settings)
        self.client: carla.Client | None = None
        self.world: carla.World | None = None
        self.map: carla.Map | None = None
        self.spectator: carla.Actor | None = None
        self.blueprints: carla.BlueprintLibrary | None = None
        self.available_towns: list[str] = []
        self.town: str | None = None
        self.timestep = 0.0
        # With "auto" the hero's sensors decide as soon as they are known.
        self.renders: bool = config["enable_rendering"] is True or self.settings.show_display
        self._config = config

    @property
    def is_open(self) -> bool:
        """Whether there are a server and a client of it."""
        return self.client is not None and self.pool.server is not None

    def acquire_server(self) -> CarlaServer:
        """Have a running server: the present one, or a new one of the configured kind.

        Raises:
            ServerGaveUpError: Too many servers in a row failed.
            ServerSettingsError, ServerVersionError: No other server would do better.
        """
        if self.settings.falls_back_to_embedded:
            _say_once(EMBEDDED_CHOSEN)
        return self.pool.acquire()

    def connect_client(self) -> None:
        """Connect to the server and take over its clock: synchronous, in steps of `timestep`.

        Raises:
            ServerError: The server died or hung.
        """
        client = self._first_answer()
        self._apply_settings(self._config["timestep"])
        self.available_towns = list(self.call(client.get_available_maps))
        self._look_around()
        self.client = client

    def _first_answer(self) -> carla.Client:
        """A client that has got the world."""
        attempts = self.settings.retries_on_error
        for _ in range(attempts - 1):
            try:
                return self._enter()
            except ServerHangError:
                # One that loads its first town answers a new client, and only keeps this one waiting.
                if not self.server.answers():
                    raise
        return self._enter()

    def _enter(self) -> carla.Client:
        client = self.call(self._new_client)
        self.world = self.call(client.get_world)
        return client

    def _new_client(self) -> carla.Client:
        # With one thread the client handles messages in the order of their arrival, so that the events of a
        # frame are there when the tick returns; and idle threads of the client are not free.
        client = carla.Client(self.server.host, self.server.port, worker_threads=1)
        client.set_timeout(self.settings.timeout)
        return client

    @property
    def server(self) -> CarlaServer:
        """The present server.

        Raises:
            ServerDiedError: There is none.
        """
        if self.pool.server is None:
            raise ServerDiedError(_NO_SERVER)
        return self.pool.server

    # Calls

    def call(self, function: Callable[..., Result], *arguments: Any, timeout: float | None = None) -> Result:
        """Call something that waits for the server, no longer than allowed.

        Args:
            function: What to call.
            arguments: Its positional arguments.
            timeout: Seconds that the client allows; None for the configured `timeout`.

        Raises:
            ServerError: The server died or hung, or there is none.
        """
        return self.begin(function, *arguments, timeout=timeout).result()

    def begin(
        self, function: Callable[..., Result], *arguments: Any, timeout: float | None = None
    ) -> PendingCall[Result]:
        """Begin what `call` does; the pending call's `result()` waits for the end."""
        if self.pool.calls is None:
            raise ServerDiedError(_NO_SERVER)
        # The client's own time-outs come first: their messages say more.
        seconds = (timeout or self.settings.timeout) + 1.0
        return self.pool.calls.begin(function, *arguments, timeout=seconds)

    def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """`call` for sensors, which are read here or in the client's own thread."""
        calls = self.pool.calls
        return function(*arguments) if calls is not None and calls.is_calling() else self.call(function, *arguments)

    @contextlib.contextmanager
    def patience(self) -> Iterator[float]:
        """Give calls of the client as long as loading a town may take; yields the seconds."""
        assert self.client is not None
        self.client.set_timeout(self.settings.load_timeout)
        try:
            yield self.settings.load_timeout
        finally:
            self.client.set_timeout(self.settings.timeout)

    # The world

    def set_timestep(self, seconds: float) -> None:
        """Change the time that a tick simulates; it costs some ticks."""
        if seconds != self.timestep:
            self._apply_settings(seconds)

    def set_rendering(self, renders: bool) -> None:
        """Have the world draw pictures for cameras, or not; a change costs some ticks."""
        if renders != self.renders:
            self.renders = renders
            self._apply_settings(self.timestep)

    def _apply_settings(self, timestep: float) -> None:
        assert self.world is not None
        settings = self.call(self.world.get_settings)
        settings.synchronous_mode = True
        settings.fixed_delta_seconds = timestep
        settings.no_rendering_mode = not self.renders
        settings.substepping = True
        settings.max_substep_delta_time = max(_SUBSTEP, timestep / _MOST_SUBSTEPS)
        settings.max_substeps = min(max(_FEWEST_SUBSTEPS, math.ceil(timestep / _SUBSTEP - 1e-6)), _MOST_SUBSTEPS)
        settings.deterministic_ragdolls = True
        self.call(self.world.apply_settings, settings, self.settings.timeout)
        self.timestep = timestep

    def _look_around(self) -> None:
        assert self.world is not None
        self.map = self.call(self.world.get_map, timeout=self.settings.load_timeout)
        if self.blueprints is None:
            self.blueprints = self.call(self.world.get_blueprint_library)
        self.spectator = self.call(self.world.get_spectator)

    def needs_loading(self, town: str) -> bool:
        """Whether a town is another than the present one; if it is the server's own, note that it was asked for."""
        if town == self.town:
            return False
        if self._is_there(town):
            self.town = town
            return False
        return True

    def load_town(self, town: str) -> None:
        """Load a town; all actors of the present one go.

        Raises:
            ServerError: The server failed.
        """
        assert self.client is not None
        self.server.prepare_town(town)
        with self.patience() as seconds:
            if town_name(town) in RACETRACKS and town_name(town) not in map(town_name, self.available_towns):
                arguments: tuple[Any, ...] = (racetrack_opendrive(town_name(town)), _BARE_ROADS, False)
                self.world = self.call(self.client.generate_opendrive_world, *arguments, timeout=seconds)
            else:
                self.world = self.call(self.client.load_world, town, False, self._layers(town), timeout=seconds)
        self._look_around()
        self.town = town

    def _layers(self, town: str) -> carla.MapLayer:
        # Only the towns named _Opt are built in layers; of the others, NONE would be an empty promise.
        bare = town_name(town).endswith("_Opt") and not self._config["enable_map_assets"]
        return carla.MapLayer.NONE if bare else carla.MapLayer.All

    def _is_there(self, town: str) -> bool:
        """Whether the server came with this town: loading it would take time, and from others their actors."""
        assert self.map is not None
        if self.town is not None or town_name(self.map.name) != town_name(town):
            return False
        return self._layers(town) == carla.MapLayer.All or not self.server.started_here

    # Loss

    def as_server_error(self, error: RuntimeError) -> ServerError | None:
        """The loss of the server that an error of the client means; None if it means something else."""
        if isinstance(error, ServerError):
            return error
        server = self.pool.server
        if server is not None and server.exit_status() is not None:
            return ServerDiedError(server.exit_report())
        if isinstance(error, SensorTimeoutError) or _CLIENT_TIME_OUT.match(str(error)):
            return ServerHangError(str(error))
        return None

    def forget(self) -> list[object]:
        """Let go of the client, without asking its server for anything.

        Returns:
            What the client holds together. Keep it until the next client is there: the process aborts if one of the
            client's own threads drops the last reference to it.
        """
        held: list[object] = [self.client, self.world, self.map, self.spectator]
        self.client = self.world = self.map = self.spectator = self.blueprints = None
        self.town = None
        return held


_said: set[str] = set()


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        print(line, flush=True)
