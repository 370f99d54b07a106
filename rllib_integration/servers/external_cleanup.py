"""A process that leaves an external server as it was found, when the worker that used it no longer can.

A worker that is killed closes nothing: its server would wait for ever for a tick, with our actors in its streets. So a
small process waits for the worker's end and then does what `close` would have done.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import cast

import carla

from rllib_integration.annotations import Record
from rllib_integration.processes.helper_process import HelperError, HelperProcess, Owner
from rllib_integration.processes.supervised import await_readable

_LEAVE_SECONDS = 5.0
_CALLED = "The process that leaves the CARLA server as it was found"


class ExternalCleanup:
    """The worker's handle on that process.

    Args:
        host: of the server.
        port: its RPC port.
        timeout: seconds that it may take to answer.
        found: the settings that it gets back.
    """

    def __init__(self, host: str, port: int, timeout: float, found: carla.WorldSettings) -> None:
        arguments = [host, str(port), str(timeout)]
        self._helper = HelperProcess(__name__, arguments, _CALLED, detached=True, shows_errors=True)
        self._tell(settings=settings_as_dictionary(found))

    def note_actors(self, world: int, actors: Sequence[int]) -> None:
        """Say which actors are to be destroyed, and in which world (`carla.World.id`); the last word counts."""
        self._tell(world=world, actors=list(actors))

    def dismiss(self) -> None:
        """Let it go: nothing is left to be done. Twice is fine."""
        if self._helper.is_ours:
            self._tell(dismissed=True)
            await_readable(self._helper.connection.fileno(), _LEAVE_SECONDS)  # until it leaves
        self._helper.stop()

    def _tell(self, **news: object) -> None:
        with contextlib.suppress(HelperError):  # it has been ended already
            self._helper.tell(**news)


def settings_as_dictionary(settings: carla.WorldSettings) -> Record:
    """All that a world can be set to, also what a later release of CARLA has added."""
    return {name: getattr(settings, name) for name in dir(settings) if not name.startswith("_")}


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
    owner = Owner.from_command_line(arguments)
    host, port, timeout = owner.arguments[0], int(owner.arguments[1]), float(owner.arguments[2])
    known: Record = {}
    signal.signal(signal.SIGTERM, _stop_waiting)  # as a run's guard sends to all that the run leaves behind
    with contextlib.suppress(InterruptedError):
        for news in owner.messages():  # the last word of each kind counts
            known.update(news)
            if known.get("dismissed"):
                break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not known.get("dismissed"):
        try:
            tidy_up(host, port, timeout, known)
        except RuntimeError as error:
            print(f"The CARLA server at {host}:{port} could not be left as it was found: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(0)  # not through the client's destructors, which wait for a server that is gone
