"""A process that leaves a server of somebody else as it was found, when the worker that used it no longer can.

A worker that is killed closes nothing: its server would wait for ever for a tick, with our actors in its streets. So a
small process waits for the worker's end and then does what `close` would have done.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import carla

from rllib_integration.annotations import Record
from rllib_integration.processes.supervisor import open_pidfd

_LEAVE_SECONDS = 5.0
# Forked before anything else: Ray ends the children of a worker with it, but not their children.
_PROGRAM = f"import os, sys; os.fork() and os._exit(0); from {__name__} import main; main(sys.argv[1:])"
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class ExternalCleanup:
    """The worker's handle on that process.

    Args:
        host: of the server.
        port: its RPC port.
        timeout: seconds that it may take to answer.
        found: the settings that it gets back.
    """

    def __init__(self, host: str, port: int, timeout: float, found: carla.WorldSettings) -> None:
        self._owner = os.getpid()
        self._connection, theirs = socket.socketpair()
        lives = open_pidfd(self._owner)
        descriptors = [theirs.fileno(), *([lives] if lives >= 0 else [])]
        command = [sys.executable, "-c", _PROGRAM, host, str(port), str(timeout), *map(str, descriptors)]
        search_path = os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": search_path},
            pass_fds=descriptors,
            start_new_session=True,
            check=True,
        )
        theirs.close()
        if lives >= 0:
            os.close(lives)
        self._tell(settings=settings_as_dictionary(found))

    def note_actors(self, world: int, actors: Sequence[int]) -> None:
        """Say which actors are to be destroyed, and in which world (`carla.World.id`); the last word counts."""
        self._tell(world=world, actors=list(actors))

    def dismiss(self) -> None:
        """Let it go: nothing is left to be done. Twice is fine."""
        if self._owner != os.getpid() or self._connection.fileno() < 0:
            return
        self._tell(dismissed=True)
        self._connection.settimeout(_LEAVE_SECONDS)
        with contextlib.suppress(OSError):
            self._connection.recv(1)  # it leaves
        self._connection.close()

    def _tell(self, **news: object) -> None:
        with contextlib.suppress(OSError):  # somebody has ended it
            self._connection.sendall(json.dumps(news).encode() + b"\n")


def settings_as_dictionary(settings: carla.WorldSettings) -> Record:
    """All that a world can be set to, also what a later release of CARLA has added."""
    return {name: getattr(settings, name) for name in dir(settings) if not name.startswith("_")}


def wait_for_the_end(connection: socket.socket, lives: int, known: Record) -> None:
    """Hear what the worker says until dismissed, or until it is gone; keep the last word of each kind."""
    received = b""
    poller = select.poll()
    for descriptor in filter(lambda one: one >= 0, (connection.fileno(), lives)):
        poller.register(descriptor, select.POLLIN)
    while not known.get("dismissed"):
        ready = {descriptor for descriptor, _ in poller.poll()}
        if connection.fileno() not in ready:  # the worker is gone, though a child of it may keep the connection open
            break
        part = connection.recv(65536)
        if not part:
            break
        *lines, received = (received + part).split(b"\n")
        for line in lines:
            known.update(json.loads(line))


def tidy_up(host: str, port: int, timeout: float, known: Record) -> None:
    """Destroy the worker's actors with what is attached to them, and give the server its settings back.

    Raises:
        RuntimeError: it does not answer.
    """
    client = carla.Client(host, port, 1)
    client.set_timeout(timeout)
    world = client.get_world()
    settings = world.get_settings()
    for name, value in known.get("settings", {}).items():
        setattr(settings, name, value)
    world.apply_settings(settings)
    if known.get("world") == world.id:
        ours = set(known["actors"])
        actors = cast("list[carla.Actor]", list(world.get_actors()))
        present = [actor for actor in actors if actor.id in ours or _holder(actor) in ours]
        client.apply_batch_sync([carla.command.DestroyActor(actor) for actor in present], False)


def _holder(actor: carla.Actor) -> int | None:
    """Id of the actor that one is attached to."""
    return None if actor.parent is None else int(actor.parent.id)


def _stop_waiting(number: int, frame: object) -> None:
    raise InterruptedError


def main(arguments: Sequence[str]) -> None:
    """Wait for the worker's end, and tidy up unless it has done so itself."""
    host, port, timeout = arguments[0], int(arguments[1]), float(arguments[2])
    connection = socket.socket(fileno=int(arguments[3]))
    known: Record = {}
    signal.signal(signal.SIGTERM, _stop_waiting)  # as a run's guard sends to all that the run leaves behind
    with contextlib.suppress(InterruptedError):
        wait_for_the_end(connection, int(arguments[4]) if len(arguments) > 4 else -1, known)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not known.get("dismissed"):
        try:
            tidy_up(host, port, timeout, known)
        except RuntimeError as error:
            print(f"The CARLA server at {host}:{port} could not be left as it was found: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(0)  # not through the client's destructors, which wait for a server that is gone
