"""Batches: many commands in one call.

CARLA runs a batch between two ticks, and everybody else waits. So it is here, for as long as a batch of a few hundred
actors takes; of a longer one the rest is run in turns, between which other clients are answered and may tick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.calls import actors, debug, pushes, traffic, vehicles, walkers
from minicarla.rpc.errors import EXPECTED_ERRORS
from minicarla.rpc.registry import RemoteError, Unfinished, bare
from minicarla.rpc.tick_extension import DrivingOrder, WalkingOrder, driving_order, ticks_at_once, walking_order
from minicarla.world.actors import Actor
from minicarla.world.episode import family_of

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

Command: TypeAlias = tuple[tuple[int, Sequence[PackValue]]]
"""Its index and its payload, which the client wraps in an object of one element."""
Answer: TypeAlias = list[list[PackValue]]
"""`[[1, id]]` or `[[0, [error]]]`."""

LONGEST_AT_ONCE = 0.25
"""[s] that a batch may keep everybody waiting."""

_SPAWN = 0
_DESTROY = 1
_TOO_LATE = "another world was loaded before this command of a long batch had its turn"
_BETWEEN_LOOKS = 16
"""Commands that are run between two looks at the clock."""
_MOST_DESTROYED_AT_ONCE = 500
_MOST_COMMANDS = 2**18


@bare
def apply_batch(server: Server, commands: list[Command], do_tick: bool = False) -> list[Answer] | Batch:
    """Run commands in order; each has its own answer, the id of its actor or an error.

    Returns:
        The answers, or the batch, if it takes long and is to be gone on with.
    """
    if not isinstance(commands, list):
        raise values.MalformedValueError("a batch must be a list of commands")
    if len(commands) > _MOST_COMMANDS:
        raise RemoteError(f"a batch of {len(commands)} commands is too large: send at most {_MOST_COMMANDS} at a time")
    is_extended = server.skips_overtaken_frames and server.request.is_async
    if is_extended and (order := driving_order(commands)) is not None:
        _drive(server, order)
        return []
    if is_extended and (walks := walking_order(commands)) is not None:
        _walk(server, walks)
        return []
    ticks = ticks_at_once(commands) if is_extended else 1
    if ticks == 1:
        return Batch(server, commands, do_tick).go_on(LONGEST_AT_ONCE)
    server.tick_for_batch(ticks)
    return []


def _drive(server: Server, order: DrivingOrder) -> None:
    """Let the server drive those of the vehicles that are there, and no others."""
    episode = server.simulation.episode
    found = {episode.actors.get(number): manners for number, manners in order.vehicles.items()}
    driven = {actor: manners for actor, manners in found.items() if actor is not None and actor.is_vehicle}
    for actor in driven:
        episode.vehicles.companion["autopilot"][actor.row] = 1
    server.autopilot.take(list(driven), order.seed, list(driven.values()))


def _walk(server: Server, order: WalkingOrder) -> None:
    """Let the server walk those of the walkers that are there, and no others; they end where nobody can walk."""
    episode = server.simulation.episode
    found = [(episode.actors.get(number), speed) for number, speed in dict(order.walkers).items()]
    walked = [(actor, speed) for actor, speed in found if actor is not None and actor.is_walker]
    if not server.pedestrians.take(walked, order.seed, order.crossing_share):
        server.simulation.destroy(*(actor for actor, _ in walked))


class Batch(Unfinished):
    """A batch, and how far it is."""

    def __init__(self, server: Server, commands: list[Command], do_tick: bool) -> None:
        self._server = server
        self._commands = commands
        self._do_tick = do_tick
        self._answers: list[Answer] = []
        self._episode = server.simulation.episode

    def go_on(self, seconds: float) -> list[Answer] | Batch:
        """Run commands for about so long; returns all answers, or itself if commands are left."""
        server, commands, answers = self._server, self._commands, self._answers
        until = time.monotonic() + seconds
        while len(answers) < len(commands):
            some = commands[len(answers) : len(answers) + _BETWEEN_LOOKS]
            if server.simulation.episode is not self._episode:
                answers += [[[0, [_TOO_LATE]]] for _ in some]
            elif not _may_end_actors(some):
                answers += [_run(server, command) for command in some]
            elif not self._destroy_together():
                answers.append(_run(server, some[0]))
            if time.monotonic() > until:
                return self
        if self._do_tick and server.simulation.settings.synchronous_mode:
            server.tick_for_batch(1)
        return answers

    def _destroy_together(self) -> bool:
        """Run the next commands as one piece of work if several of them end actors; whether it was done."""
        actors = self._to_be_destroyed()
        if len(actors) < 2:
            return False
        self._server.simulation.destroy(*actors)
        self._server.changes_traffic = True
        self._answers += [[[1, actor.id]] for actor in actors]
        return True

    def _to_be_destroyed(self) -> list[Actor]:
        """The actors that the next commands end, as far as each of them can be ended."""
        living, start = self._episode.actors, len(self._answers)
        found: list[Actor] = []
        ended: set[Actor] = set()
        for place in range(start, min(start + _MOST_DESTROYED_AT_ONCE, len(self._commands))):
            number = _ended_by(self._commands[place])
            actor = living.get(number) if number is not None else None
            if actor is None or actor.definition == 0 or actor in ended:
                break
            found.append(actor)
            ended.update(family_of(actor))
        return found


def _may_end_actors(commands: list[Command]) -> bool:
    """Whether any of some commands ends an actor, or is malformed."""
    try:
        return _DESTROY in [kind for ((kind, _),) in commands]
    except (TypeError, ValueError):
        return True


def _ended_by(command: Command) -> int | None:
    """The id of the actor that a command ends."""
    number: int
    match command:
        case [[kind, [int(number)]]] if kind == _DESTROY:
            return number
    return None


def _run(server: Server, command: Command) -> Answer:
    try:
        ((kind, payload),) = command
        return [[1, COMMANDS[kind](server, *payload)]]
    except EXPECTED_ERRORS as error:
        return [[0, [str(error)]]]
    except (KeyError, TypeError, ValueError):
        return [[0, [f"no such command, or its arguments are malformed: {command!r:.200}"]]]


def _spawn(
    server: Server,
    description: actors.Description,
    transform: PackValue,
    parent: PackValue,
    *place_and_then: Any,  # the attachment, the socket, and the commands that follow
) -> int:
    *place, then = place_and_then  # 0.9.15's client names neither attachment nor socket
    parent_id = values.optional(parent)
    owner = None
    if parent_id is not None:
        owner = server.simulation.episode.actors.get(values.actor_id(parent_id))
        if owner is None:
            raise RemoteError("unable to attach actor: parent actor not found")
    actor = actors.spawn_described(server, description, transform, owner, *place)
    for follower in then:
        error = _follow(server, actor.id, follower)
        if error:
            # As in CARLA: programs append commands that only some actors understand to every spawn.
            server.complaints.log("SpawnActor.then", error)
    return actor.id


def _follow(server: Server, actor_id: int, command: Command) -> str | None:
    """Run a command that follows a spawn; the id in its payload stands for the new actor's. Returns what went wrong."""
    ((kind, payload),) = command
    ((_, answer),) = _run(server, ((kind, [actor_id, *payload[1:]]),))
    return str(answer[0]) if isinstance(answer, list) else None


def _acting(function: Callable[..., None]) -> Callable[..., int]:
    """A command on one actor, which answers with that actor's id."""

    def run(server: Server, actor_id: int, *arguments: PackValue) -> int:
        number = values.actor_id(actor_id)
        function(server, number, *arguments)
        return number

    return run


def _console(server: Server, command: Command) -> int:
    raise RemoteError("ConsoleCommand is not available: this server has no console")


COMMANDS: dict[int, Callable[..., int]] = {
    _SPAWN: _spawn,
    1: _acting(actors.destroy),
    2: _acting(vehicles.set_control),
    3: _acting(vehicles.apply_ackermann_control_to_vehicle),
    4: _acting(walkers.set_control),
    5: _acting(vehicles.apply_physics_control),
    6: _acting(actors.set_actor_transform),
    7: _acting(walkers.set_state),
    8: _acting(pushes.set_actor_target_velocity),
    9: _acting(pushes.set_actor_target_angular_velocity),
    10: _acting(pushes.add_actor_impulse),
    11: _acting(pushes.add_actor_force),
    12: _acting(pushes.add_actor_angular_impulse),
    13: _acting(pushes.add_actor_torque),
    14: _acting(pushes.set_actor_simulate_physics),
    15: _acting(pushes.set_actor_enable_gravity),
    16: _acting(vehicles.set_actor_autopilot),
    17: _acting(debug.show_vehicle_debug_telemetry),
    18: _acting(vehicles.set_lamps),
    19: _acting(actors.set_actor_location),
    20: _console,
    21: _acting(traffic.set_traffic_light_state),
}
"""CARLA's commands by their index on the wire."""
