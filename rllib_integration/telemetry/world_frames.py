"""What a world's snapshots say, as messages: who is there, where all of them are, and what the lights show.

Reads only what its client already holds, but for actors that it has not met before.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record
from rllib_integration.telemetry.messages import Kind, pack

HERO_ROLES = ("hero", "ego", "ego_vehicle", "player")
"""Role names that are taken for the vehicle to follow, the first one first."""

LIGHT_LETTERS = {"Red": "r", "Yellow": "y", "Green": "g", "Off": "o", "Unknown": "u"}
_SENSORS_EVERY = 20  # frames between two looks whether sensors are still there

_BODIES = ("vehicle.", "walker.pedestrian", "static.prop.")


class Frame(NamedTuple):
    """One frame as messages.

    Attributes:
        number: Of the frame.
        time: Simulated seconds.
        messages: What is to be told, in order.
    """

    number: int
    time: float
    messages: list[bytes]


class WorldFrames:
    """Follows one world, which is forgotten as a whole when another one is loaded.

    Args:
        world: The world.
        hero_roles: Role names of the vehicle to follow, the first one first.

    Attributes:
        followed: Id of the actor to follow, whatever the roles; 0 leaves it to them.
    """

    def __init__(self, world: carla.World, hero_roles: Iterable[str] = HERO_ROLES) -> None:
        self.world = world
        self.followed = 0
        self._roles = tuple(hero_roles)
        self._bodies: dict[int, Any] = {}  # vehicles, walkers and props
        self._boxes: dict[str, list[float]] = {}
        self._lights: dict[int, carla.TrafficLight] = {}
        self._signs: dict[int, carla.Actor] = {}
        self._sensors: dict[int, carla.Sensor] = {}
        self._ignored: set[int] = set()
        self._heroes: dict[int, int] = {}  # actor id -> place of its role
        self._frames_told = 0
        self._signals_told = -1
        self.selected: Collection[int] = ()

    @property
    def sensors(self) -> dict[int, carla.Sensor]:
        """The sensors of this world by their ids."""
        return self._sensors

    @property
    def hero(self) -> int:
        """Id of the actor to follow; 0 if there is none."""
        if self.followed in self._bodies:
            return self.followed
        return min(self._heroes, key=lambda number: (self._heroes[number], number), default=0)

    def read(self, snapshot: carla.WorldSnapshot) -> Frame:
        """The messages of a snapshot: new actors, new signals, new sensors, then the frame."""
        messages = []
        ids, places, turns, unknown = self._read_bodies(snapshot)
        present = set(ids)
        if unknown:
            messages += self._meet(unknown)
            found = [snapshot.find(number) for number in unknown if number in self._bodies]
            for seen in found:
                if seen is not None:
                    _add(seen, ids, places, turns)
                    present.add(seen.id)
        messages += self._forget({*self._bodies} - present)
        stamp = snapshot.timestamp
        head: Record = {"f": snapshot.frame, "t": round(stamp.elapsed_seconds, 4), "hero": self.hero}
        # With every frame: to a browser that is slower than the world, any other one may not be sent.
        head["lights"] = "".join(LIGHT_LETTERS.get(str(light.state), "u") for light in self._lights.values())
        head |= self._hero_control()
        details = [detail for number in self.selected if (detail := self._detail(number)) is not None]
        if details:
            head["about"] = details
        arrays = _arrays(ids, places, turns)
        self._frames_told += 1
        return Frame(snapshot.frame, stamp.elapsed_seconds, [*messages, pack(Kind.FRAME, head, *arrays)])

    def introduction(self) -> list[bytes]:
        """All that is known so far: for who joins now, before the next frame."""
        messages = [self._signals_message(), self.sensors_message()]
        if self._bodies:
            messages.append(pack(Kind.ACTORS, {"actors": [self._describe(body) for body in self._bodies.values()]}))
        return messages

    def _read_bodies(
        self, snapshot: carla.WorldSnapshot
    ) -> tuple[list[int], list[tuple[float, ...]], list[tuple[float, ...]], list[int]]:
        ids: list[int] = []
        places: list[tuple[float, ...]] = []
        turns: list[tuple[float, ...]] = []
        unknown: list[int] = []
        for seen in snapshot:
            number = seen.id
            if number in self._bodies:
                _add(seen, ids, places, turns)
            elif not (number in self._lights or number in self._ignored or number in self._sensors):
                unknown.append(number)
        return ids, places, turns, unknown

    def _meet(self, numbers: list[int]) -> list[bytes]:
        """Ask the server who these are; return the news."""
        actors: Iterable[Any] = self.world.get_actors(numbers)
        found = {actor.id: actor for actor in actors}
        newcomers: list[Record] = []
        sensors = False
        for number in numbers:
            actor = found.get(number)
            kind = "" if actor is None else actor.type_id
            if actor is None:
                continue  # it has gone since, or comes with the next frame
            if kind.startswith(_BODIES):
                self._bodies[number] = actor
                newcomers.append(self._describe(actor))
                role = actor.attributes.get("role_name", "")
                if role in self._roles:
                    self._heroes[number] = self._roles.index(role)
            elif kind.startswith("sensor."):
                self._sensors[number] = actor
                sensors = True
            elif kind == "traffic.traffic_light":
                self._lights[number] = actor
            else:
                if kind.startswith("traffic."):
                    self._signs[number] = actor
                self._ignored.add(number)
        news = [pack(Kind.ACTORS, {"actors": newcomers})] if newcomers else []
        if sensors:
            news.append(self.sensors_message())
        if len(self._lights) + len(self._signs) != self._signals_told:
            news.append(self._signals_message())
        return news

    def _forget(self, gone: set[int]) -> list[bytes]:
        """Forget actors that have ended; sensors are looked at less often than bodies."""
        for number in gone:
            del self._bodies[number]
            self._heroes.pop(number, None)
        if self._frames_told % _SENSORS_EVERY:
            return []
        ended = [number for number, sensor in self._sensors.items() if not sensor.is_alive]
        for number in ended:
            del self._sensors[number]
        return [self.sensors_message()] if ended else []

    def _describe(self, actor: carla.Actor) -> Record:
        kind = actor.type_id
        if kind not in self._boxes:
            box = actor.bounding_box
            size, centre = box.extent, box.location
            self._boxes[kind] = [round(float(n), 3) for n in (size.x, size.y, size.z, centre.x, centre.y, centre.z)]
        attributes = actor.attributes
        base = attributes.get("base_type") or kind.split(".")[0]
        return {
            "id": actor.id,
            "type": kind,
            "base": "bicycle" if attributes.get("number_of_wheels") == "2" and "bicycle" in base.lower() else base,
            "wheels": int(attributes.get("number_of_wheels") or 0),
            "role": attributes.get("role_name", ""),
            "colour": attributes.get("color", ""),
            "box": self._boxes[kind],
        }

    def _hero_control(self) -> Record:
        hero = self._bodies.get(self.hero)
        return {} if hero is None else {"c": _control(hero)}

    def _detail(self, number: int) -> Record | None:
        """What a click on an actor shows beside its place."""
        actor = self._bodies.get(number)
        if actor is None:
            return None
        acceleration, turning = actor.get_acceleration(), actor.get_angular_velocity()
        detail: Record = {
            "id": number,
            "acceleration": round(_length(acceleration), 2),
            "turning": round(turning.z, 1),
        }
        if actor.type_id.startswith("vehicle."):
            detail["control"] = _control(actor)
            detail["gear"] = int(actor.get_control().gear)
            detail["lights"] = int(actor.get_light_state())
            if actor.is_at_traffic_light():
                detail["at_light"] = str(actor.get_traffic_light_state())
            detail["limit"] = round(actor.get_speed_limit())
        return detail

    def _signals_message(self) -> bytes:
        """Lights `float32 (n, 4)`: x, y, z (m), yaw (degrees); their stop lines `float32 (m, 6)`: x, y, z, yaw, half
        width (m) and the light's row; signs `float32 (k, 4)`, whose kinds are in the head."""
        self._signals_told = len(self._lights) + len(self._signs)
        rows = {number: row for row, number in enumerate(self._lights)}
        lines = []
        for number, light in self._lights.items():
            for waypoint in light.get_stop_waypoints():
                pose = waypoint.transform
                half = waypoint.lane_width / 2.0
                lines.append((*_place(pose.location), pose.rotation.yaw, half, float(rows[number])))
        head = {"lights": list(self._lights), "signs": [sign.type_id for sign in self._signs.values()]}
        return pack(
            Kind.SIGNALS,
            head,
            _poses(light.get_transform() for light in self._lights.values()),
            np.array(lines, np.float32).reshape(-1, 6),
            _poses(sign.get_transform() for sign in self._signs.values()),
        )

    def sensors_message(self) -> bytes:
        """What can be listened to."""
        sensors = []
        for number, sensor in self._sensors.items():
            parent = sensor.parent
            sensors.append(
                {
                    "id": number,
                    "type": sensor.type_id,
                    "parent": parent.id if parent is not None else 0,
                    "role": sensor.attributes.get("role_name", ""),
                    "attributes": {name: str(value) for name, value in sensor.attributes.items()},
                }
            )
        return pack(Kind.SENSORS, {"sensors": sensors})


def _add(
    seen: carla.ActorSnapshot, ids: list[int], places: list[tuple[float, ...]], turns: list[tuple[float, ...]]
) -> None:
    pose, velocity = seen.get_transform(), seen.get_velocity()
    place, turn = pose.location, pose.rotation
    ids.append(seen.id)
    places.append((place.x, place.y, place.z, turn.yaw))
    turns.append((turn.pitch, turn.roll, _length(velocity)))


def _arrays(
    ids: list[int], places: list[tuple[float, ...]], turns: list[tuple[float, ...]]
) -> tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.int16]]:
    """Ids; x, y, z (m) and yaw (degrees); pitch and roll (hundredths of a degree) and speed (cm/s)."""
    hundredths = np.array(turns, np.float64).reshape(-1, 3) * 100.0
    return (
        np.array(ids, np.uint32),
        np.array(places, np.float32).reshape(-1, 4),
        np.nan_to_num(hundredths).round().clip(-(2**15), 2**15 - 1).astype(np.int16),
    )


def _poses(transforms: Iterable[carla.Transform]) -> NDArray[np.float32]:
    rows = [(*_place(pose.location), pose.rotation.yaw) for pose in transforms]
    return np.array(rows, np.float32).reshape(-1, 4)


def _place(location: carla.Location) -> tuple[float, float, float]:
    return location.x, location.y, location.z


def _length(vector: carla.Vector3D) -> float:
    return math.sqrt(vector.x * vector.x + vector.y * vector.y + vector.z * vector.z)


def _control(actor: carla.Vehicle | carla.Walker) -> list[float]:
    """Throttle, steering, brake, hand brake, reverse; a walker's speed in place of the throttle."""
    control = actor.get_control()
    if isinstance(control, carla.WalkerControl):
        return [round(float(control.speed), 2), 0.0, 0.0, 0.0, 0.0]
    figures = (control.throttle, control.steer, control.brake, control.hand_brake, control.reverse)
    return [round(float(figure), 3) for figure in figures]
