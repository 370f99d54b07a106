"""Batches: many commands in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.rpc import actors, debug, pushes, traffic, vehicles, walkers
from rllib_integration.embedded.rpc.errors import EXPECTED_ERRORS
from rllib_integration.embedded.rpc.registry import RemoteError, bare

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server

_SPAWN = 0
_MOST_COMMANDS = 2**18
_TARGET_VELOCITY = 8
_NOBODY = 0  # no actor has this id
MOST_TICKS = 32
"""Of one batch."""


@bare
def apply_batch(server: Server, commands: Any, do_tick: bool = False) -> list[Any]:
    """Run commands in order; each has its own answer, the id of its actor or an error."""
    if not isinstance(commands, list):
        raise values.MalformedValueError("a batch must be a list of commands")
    if len(commands) > _MOST_COMMANDS:
        raise RemoteError(f"a batch of {len(commands)} commands is too large: send at most {_MOST_COMMANDS} at a time")
    ticks = _ticks_at_once(commands) if server.skips_overtaken_frames and server.request.is_async else 1
    answers = [_run(server, command) for command in commands] if ticks == 1 else []
    if do_tick and server.simulation.settings.synchronous_mode:
        server.tick_for_batch(ticks)
    return answers


def _ticks_at_once(commands: list[Any]) -> int:
    """How many ticks follow a batch: one, or as many as x of a velocity of nobody says.

    CARLA's client asks for one with each message, which takes it and the server nearly half as long as a tick.
    """
    match commands:
        case [[[kind, [actor_id, [float(count), *_]]]]]:
            if kind == _TARGET_VELOCITY and actor_id == _NOBODY and 1.0 < count <= MOST_TICKS:
                return int(count)
    return 1


def _run(server: Server, command: Any) -> list[Any]:
    try:
        # [[index, payload]]: the client wraps the variant in a one-element object.
        ((kind, payload),) = command
        return [[1, COMMANDS[kind](server, *payload)]]
    except EXPECTED_ERRORS as error:
        return [[0, [str(error)]]]
    except (KeyError, TypeError, ValueError):
        return [[0, [f"no such command, or its arguments are malformed: {command!r:.200}"]]]


def _spawn(
    server: Server, description: Any, transform: Any, parent: Any, attachment: Any, socket: Any, then: Any
) -> int:
    parent_id = values.optional(parent)
    owner = None
    if parent_id is not None:
        owner = server.simulation.episode.actors.get(values.actor_id(parent_id))
        if owner is None:
            raise RemoteError("unable to attach actor: parent actor not found")
    actor = actors.spawn_described(server, description, transform, owner, attachment, socket)
    for follower in then:
        error = _follow(server, actor.id, follower)
        if error:
            # As in CARLA: programs append commands that only some actors understand to every spawn.
            server.complaints.log("SpawnActor.then", error)
    return actor.id


def _follow(server: Server, actor_id: int, command: Any) -> str | None:
    """Run a command that follows a spawn; the id in its payload stands for the new actor's. Returns what went wrong."""
    ((kind, payload),) = command
    ((_, answer),) = _run(server, [[kind, [actor_id, *payload[1:]]]])
    return answer[0] if isinstance(answer, list) else None


def _acting(function: Callable[..., Any]) -> Callable[..., int]:
    """A command on one actor, which answers with that actor's id."""

    def run(server: Server, actor_id: Any, *arguments: Any) -> int:
        number = values.actor_id(actor_id)
        function(server, number, *arguments)
        return number

    return run


def _console(server: Server, command: Any) -> int:
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
