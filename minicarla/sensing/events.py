"""Sensors that speak only when something happens: collisions and obstacles ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgpack
import numpy as np

from minicarla import labels
from minicarla.sensing.actors import OBSTACLE
from minicarla.sensing.sensor import SENSOR_TICK, Attribute, Sensor
from minicarla.sensing.view import Mount, View


class CollisionSensor(Sensor):
    """One message for every other body that the parent touched during a tick.

    The impulse is the one the parent received, in the world frame [N s]: both sides of a collision hear of it, with
    opposite signs.
    """

    type_id = "sensor.other.collision"
    stream_type = 0
    tells_events = True
    needs_contact = True

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Bodies: msgpack [actor, other actor, [x, y, z]]."""
        contacts = view.contacts
        if len(contacts) == 0 or mount.kind < 0:
            return ()
        received: dict[tuple[int, int], np.ndarray] = {}
        for mine, other, sign in (("a", "b", 1.0), ("b", "a", -1.0)):
            mask = (contacts[f"kind_{mine}"] == mount.kind) & (contacts[f"row_{mine}"] == mount.row)
            for contact in contacts[mask]:
                key = (int(contact[f"kind_{other}"]), int(contact[f"row_{other}"]))
                impulse = sign * np.array([contact[f"impulse_{axis}"] for axis in "xyz"])
                received[key] = received.get(key, np.zeros(3)) + impulse
        if not received:
            return ()
        me = view.actors.describe(mount.kind, mount.row)
        return tuple(
            msgpack.packb([me, describe(view, kind, row), impulse.tolist()])
            for (kind, row), impulse in received.items()
        )


class ObstacleSensor(Sensor):
    """Sweeps a ball forward from the parent's sensor and tells what it meets first, with its distance [m]."""

    type_id = "sensor.other.obstacle"
    stream_type = 7
    tells_events = True
    sends_rays = True
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        "distance": Attribute(5.0, 0.0, 1e4),
        "hit_radius": Attribute(0.5, 0.0, 50.0),
        "only_dynamics": Attribute(False),
        "debug_linetrace": Attribute(False),
        **SENSOR_TICK,
    }

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: msgpack [actor, other actor, distance], or nothing."""
        from minicarla.sensing.rays import MOVING, NOTHING  # compiled only where such a sensor exists
        from minicarla.sensing.scan import cast_from

        hits, boxes = cast_from(
            view,
            mount,
            np.ascontiguousarray(mount.rotation[:, 0])[None],
            self.number("distance"),
            see_parent=False,
            inflate=self.number("hit_radius"),
            see_ground=False,
            see_static=not self.values["only_dynamics"],
            ignored=self.ignored,
        )
        if hits.kind[0] == NOTHING:
            return ()
        if hits.kind[0] == MOVING:
            box = boxes[hits.target[0]]
            other = describe(view, int(box["kind"]), int(box["row"]))
        else:
            other = describe(view, OBSTACLE, int(hits.target[0]))
        me = view.actors.describe(mount.kind, mount.row) if mount.kind >= 0 else other
        return (msgpack.packb([me, other, float(hits.distance[0])]),)


class LaneInvasionSensor(Sensor):
    """The client itself computes lane invasions from its own copy of the map; the server sends nothing."""

    type_id = "sensor.other.lane_invasion"
    stream_type = 6

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Nothing."""
        return ()


def describe(view: View, kind: int, row: int) -> Sequence[object]:
    """The protocol's Actor layout of a body; the town's own objects get a stand-in actor with id 0."""
    if kind != OBSTACLE:
        return view.actors.describe(kind, row)
    obstacles = view.town.ray_targets.boxes
    if not 0 <= row < len(obstacles):
        return [0, 0, [0, "static.ground", []], [[0.0] * 3, [0.0] * 3, [0.0] * 3, 0], bytes([labels.GROUND]), b""]
    box = obstacles[row]
    label = int(box["label"])
    extent = [float(box[f"extent_{axis}"]) for axis in "xyz"]
    name = labels.NAMES[label] if label < len(labels.NAMES) else "unknown"
    return [0, 0, [0, f"static.{name}", []], [[0.0] * 3, extent, [0.0] * 3, 0], bytes([label]), b""]
