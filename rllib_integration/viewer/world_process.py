"""Watches one simulator, as a `HelperProcess` of the viewer.

A passive `carla` client: it never ticks or changes a world, unless a user with controls does. It is a separate process
for two reasons: the client may abort its process, and a client of a lost server is best ended with all of its threads.
The viewer then starts another process.

The socket carries commands to it, `u32 length` and JSON, and messages from it, `u32 length` and a message.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

import carla

from rllib_integration.annotations import Record
from rllib_integration.errors import IntegrationError
from rllib_integration.processes.helper_process import Owner
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.town_mesh import read_town
from rllib_integration.telemetry.world_frames import WorldFrames
from rllib_integration.viewer.controls import ControlError, Controls
from rllib_integration.viewer.debug_feed import DebugFeed
from rllib_integration.viewer.sensor_feed import SensorFeed

logger = logging.getLogger(__name__)

LENGTH = struct.Struct("<I")
FRAMES_A_SECOND = 20.0  # at most, unless every frame is requested
_SHAPE_SECONDS = 0.1  # between two requests for drawn shapes
_CHECK_SECONDS = 1.0  # between two checks of server and world
_ANSWER_SECONDS = 10.0  # time-out of the server's answers; generous, for busy machines
_PROBE_SECONDS = 1.0
_TOWN_SECONDS = 60.0
LEAVE_SECONDS = 3.0
"""Time that it may take, after the viewer's end, to undo its changes to the world."""


class _AnotherWorldError(IntegrationError, RuntimeError):
    """Another world was loaded."""


class WorldProcess:
    """The process's work.

    Args:
        connection: Socket to the viewer.
        host: Host of the simulator.
        port: Its RPC port.
        hero_roles: Role names of the vehicle to follow.
    """

    def __init__(self, connection: socket.socket, host: str, port: int, hero_roles: list[str]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._host, self._port = host, port
        self._roles = hero_roles
        self._received = b""
        self._shows = "nothing"  # or "newest", or "all"
        self._listens_to: list[int] = []
        self._last_frame = -1
        self._world_id = 0  # of the watched world
        self._is_replaced = False
        self._callback: int | None = None
        self._weather: dict[str, float] | None = None
        self._debug_feed: DebugFeed | None = None

    def run(self) -> None:
        """Work until the server or the world ends.

        Raises:
            OSError: The viewer has gone.
        """
        self._tell_state("connecting")
        self._await_port()
        try:
            self._connect()
            while True:
                try:
                    self._look()
                except _AnotherWorldError:
                    if self._listens_to:
                        raise  # sensors of a lost world are best ended with this process
                    self._tell_state("connecting")
                    self._meet(self._version)
        except RuntimeError as error:
            self._tell_state("lost", f"{error}")

    def _tell(self, message: bytes) -> None:
        with self._sending:
            self._connection.sendall(LENGTH.pack(len(message)) + message)

    def _tell_state(self, state: str, reason: str = "") -> None:
        text = " ".join(reason.split())
        self._tell(pack(Kind.STATE, {"state": state, "host": self._host, "port": self._port, "reason": text}))

    def _await_port(self) -> None:
        """Wait until the port is open: without a server, a client would block and write to stderr."""
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self._host, self._port), _PROBE_SECONDS):
                return
            self._tell_state("absent", f"Nothing listens on {self._host}:{self._port}.")
            self._take_commands(_PROBE_SECONDS)

    def _connect(self) -> None:
        self._client = carla.Client(self._host, self._port, worker_threads=1)
        self._client.set_timeout(_ANSWER_SECONDS)
        version = self._client.get_server_version()
        if version.split("-")[0] != self._client.get_client_version().split("-")[0]:
            # A client of another version may not understand what the server sends, and abort.
            self._tell_state(
                "refused", f"The server is CARLA {version}, but this client is {self._client.get_client_version()}."
            )
            self._rest()
        self._version = version
        self._feed = SensorFeed(self._tell)
        with contextlib.suppress(OSError):
            self._debug_feed = DebugFeed(self._host, self._port)
        self._meet(version)

    def _meet(self, version: str) -> None:
        """Describe the server's world to the viewer, and drop everything of the last world."""
        self._client.set_timeout(_TOWN_SECONDS)
        self._world = self._client.get_world()
        self._world_id = self._world.id
        if self._callback is not None:
            self._world.remove_on_tick(self._callback)
            self._callback = None
        self._is_replaced = False
        self._shows = "nothing"
        self._weather = None
        carla_map = self._world.get_map()
        town = read_town(self._world, carla_map)
        self._client.set_timeout(_ANSWER_SECONDS)
        self._frames = WorldFrames(self._world, self._roles)
        self._controls = Controls(self._world)
        settings = self._world.get_settings()
        head = {
            "town": town.name,
            "key": town.key,
            "host": self._host,
            "port": self._port,
            "version": version,
            "synchronous": settings.synchronous_mode,
            "delta": settings.fixed_delta_seconds,
            "rendering": not settings.no_rendering_mode,
        }
        self._tell(pack(Kind.WORLD, head))
        self._tell_state("watching")
        self._tell_weather()
        self._checked = time.monotonic()

    def _rest(self) -> NoReturn:
        """Stay idle: a new process would have the same result."""
        while True:
            self._take_commands(60.0)

    def _look(self) -> None:
        """One round: commands, the newest frame, and at times a check of server and world."""
        began = time.monotonic()
        if self._is_replaced or began - self._checked > _CHECK_SECONDS:
            self._check()
        if self._shows == "newest":
            self._tell_newest()
        if self._shows != "nothing" and self._debug_feed is not None:
            self._debug_feed.ask()
        pause = {"newest": 1.0 / FRAMES_A_SECOND, "all": _SHAPE_SECONDS}.get(self._shows, _CHECK_SECONDS)
        self._take_commands(max(0.0, began + pause - time.monotonic()))

    def _check(self) -> None:
        """Detect a lost server and another world, which a client does not report by itself.

        Raises:
            _AnotherWorldError: There is another world.
            RuntimeError: The server has gone.
        """
        self._client.get_server_version()  # get_world() answers from memory when the server is dead
        if self._is_replaced or self._client.get_world().id != self._world_id:
            raise _AnotherWorldError("Another world was loaded.")
        if self._shows != "nothing":
            self._tell_weather()
        self._checked = time.monotonic()

    def _tell_weather(self) -> None:
        weather = self._world.get_weather()
        figures = {
            name: round(value, 3)
            for name in dir(weather)
            if not name.startswith("_") and isinstance(value := getattr(weather, name), float)
        }
        if figures != self._weather:
            self._weather = figures
            self._tell(pack(Kind.WEATHER, {"weather": figures}))

    def _tell_newest(self) -> None:
        snapshot = self._world.get_snapshot()
        if snapshot.frame != self._last_frame:
            self._tell_frame(snapshot)

    def _tell_frame(self, snapshot: carla.WorldSnapshot) -> None:
        if snapshot.id != self._world_id:
            self._is_replaced = True  # its snapshots are those of its successor, with other actors under its ids
            return
        self._last_frame = snapshot.frame
        for message in self._frames.read(snapshot).messages:
            self._tell(message)

    def _take_commands(self, seconds: float) -> None:
        """Run the viewer's commands; returns after some seconds, or earlier after a command."""
        until = time.monotonic() + seconds
        while True:
            drawn = self._debug_feed.sockets if self._debug_feed is not None else []
            readable, _, _ = select.select([self._connection, *drawn], [], [], max(0.0, until - time.monotonic()))
            if self._debug_feed is not None and drawn and drawn[0] in readable:
                for message in self._debug_feed.read():
                    self._tell(message)
                continue
            if not readable:
                return
            break
        received = self._connection.recv(1 << 16)
        if not received:
            raise ConnectionError("It has hung up.")
        self._received += received
        while len(self._received) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._received)
            if len(self._received) < LENGTH.size + length:
                break
            command = json.loads(self._received[LENGTH.size : LENGTH.size + length])
            self._received = self._received[LENGTH.size + length :]
            self._do(command)

    def _do(self, command: Record) -> None:
        if not hasattr(self, "_frames"):
            return  # sent again when there is a world
        if "show" in command:
            self._show(command["show"])
        if "listen" in command:
            self._listens_to = command["listen"]
            known = self._frames.sensors
            self._feed.listen([known[number] for number in self._listens_to if number in known])
        if "control" in command:
            try:
                self._controls.do(command["control"])
            except ControlError as error:
                self._tell(pack(Kind.RUN, {"note": f"{error}"}))
            if "car" in command["control"]:
                self._tell(pack(Kind.RUN, {"car": self._controls.car}))
        if "select" in command or "follow" in command:
            self._frames.selected = command.get("select", self._frames.selected)
            self._frames.followed = command.get("follow", self._frames.followed)
            self._last_frame = -1  # sends it again, in a paused world, too

    def _show(self, shows: str) -> None:
        if shows == self._shows:
            return
        before, self._shows = self._shows, shows
        if self._callback is not None:
            self._world.remove_on_tick(self._callback)
            self._callback = None
        if before == "nothing":
            self._last_frame = -1
            for message in self._frames.introduction():
                self._tell(message)
        if shows == "all":
            self._tell_newest()
            # In the client's own thread, where its actors have the state of this frame.
            self._callback = self._world.on_tick(self._tell_frame_of_thread)

    def _tell_frame_of_thread(self, snapshot: carla.WorldSnapshot) -> None:
        try:
            self._tell_frame(snapshot)
        except OSError as error:
            logger.info("The viewer has gone, as the main thread will find: %s", error)
        except RuntimeError as error:
            logger.warning("A frame could not be sent: %s", error)
            _leave(1)

    def leave_world(self) -> None:
        """Take along what the viewer's controls brought into the world."""
        if hasattr(self, "_controls"):
            with contextlib.suppress(RuntimeError):
                self._controls.leave()


def _leave(status: int) -> NoReturn:
    """End at once: the client's threads may wait for a server that no longer answers."""
    sys.stderr.flush()
    os._exit(status)


def main(arguments: Sequence[str]) -> None:
    """Watch the viewer's simulator until one of the two ends."""
    owner = Owner.from_command_line(arguments)
    owner.end_with_it(outlives=LEAVE_SECONDS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the viewer, which closes the socket
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = json.loads(owner.arguments[0])
    process = WorldProcess(owner.connection, options["host"], options["port"], options["hero_roles"])
    try:
        process.run()
    except OSError as error:
        logger.info("The viewer has gone: %s", error)
        process.leave_world()
    _leave(0)
