"""Calls of the recorder and the replayer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import value, void
from minicarla.world.recording.file_format import RecordingError
from minicarla.world.recording.reports import describe_blocked, describe_collisions, describe_file

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


@value
def start_recorder(server: Server, name: str, additional_data: bool = False) -> str:
    """Record the episode from now on; returns where."""
    return str(server.recordings.record(values.text(name, "the file's name"), bool(additional_data)))


@void
def stop_recorder(server: Server) -> None:
    """End the recording."""
    server.recordings.stop_recording()


def _told(tell: Callable[[], str]) -> str:
    """The answer of a query; a file that is none is no error in CARLA, but told in its place."""
    try:
        return tell()
    except RecordingError as error:
        return f"{error}\n"


@value
def show_recorder_file_info(server: Server, name: str, everything: bool) -> str:
    """What happens in a recording."""
    return _told(partial(describe_file, server.recordings.path(values.text(name)), bool(everything)))


@value
def show_recorder_collisions(server: Server, name: str, first: int, second: int) -> str:
    """Collisions between two categories of actors, given as the codes of CARLA's letters."""
    letters = [chr(values.integer(code) & 0x7F) for code in (first, second)]
    return _told(partial(describe_collisions, server.recordings.path(values.text(name)), *letters))


@value
def show_recorder_actors_blocked(server: Server, name: str, shortest: float, distance: float) -> str:
    """Actors that stood still for some seconds, within some centimetres."""
    path = server.recordings.path(values.text(name))
    limits = values.number(shortest, "minimum time"), values.number(distance, "minimum distance")
    return _told(partial(describe_blocked, path, *limits))


@value
def replay_file(
    server: Server,
    name: str,
    start: float,
    duration: float,
    follow: int,
    replay_sensors: bool = False,
    offset: PackValue = None,
) -> str:
    """Play a recording."""
    pose = values.transform(offset) if offset is not None else ((-10.0, 0.0, 5.0), (-20.0, 0.0, 0.0))
    return _told(
        partial(
            server.recordings.replay,
            values.text(name, "the file's name"),
            values.number(start, "start"),
            values.number(duration, "duration"),
            values.integer(follow, "the id to follow"),
            pose,
            bool(replay_sensors),
        )
    )


@void
def stop_replayer(server: Server, keep_actors: bool = False) -> None:
    """End the replay."""
    server.recordings.stop_replaying(bool(keep_actors))


@void
def set_replayer_time_factor(server: Server, factor: float) -> None:
    """Change how fast recordings are played."""
    server.recordings.options.factor = values.clamp(values.number(factor, "time factor"), 0.0, 1000.0)


@void
def set_replayer_ignore_hero(server: Server, ignore: bool) -> None:
    """Let heroes out of replays, or not."""
    server.recordings.options.ignore_hero = bool(ignore)


@void
def set_replayer_ignore_spectator(server: Server, ignore: bool) -> None:
    """Let the spectator out of replays, or not."""
    server.recordings.options.ignore_spectator = bool(ignore)
