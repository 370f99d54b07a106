"""Sensors that talk to each other by radio: CARLA's V2X sensors.

A station speaks before the physics of a tick, of what it then knows, and is heard in the same tick. It is on the air
until its sensor's next turn (`sensor_tick`). Only sensors of one kind understand each other, and never those of one
parent.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.actors import moving_boxes
from minicarla.sensing.cam import PROTOCOL_VERSION, CamService
from minicarla.sensing.path_loss import Link, Obstacle, Path, Propagation
from minicarla.sensing.sensor import NOISE_SEED, SENSOR_TICK, Attribute, Sensor, SensorError
from minicarla.sensing.view import Mount, Transmission, View

LONGEST_TEXT = 99
"""Bytes of a custom message: the client's field of 100 ends with a zero."""

_POWER = struct.Struct("<f")
_CUSTOM = struct.Struct("<fxxxxqqq100s4x")
_CUSTOM_ID = 0

_OVER_ROOF = 0.02
"""[m] From the roof of a station to its antenna."""

_AROUND_SENDER = 0.5
"""[m] What is so near to the sender's antenna carries it."""

_RADIO: Mapping[str, Attribute] = {
    "transmit_power": Attribute(21.5, -200.0, 200.0),
    "receiver_sensitivity": Attribute(-99.0, -500.0, 200.0),
    "frequency_ghz": Attribute(5.9, 0.001, 1000.0),
    "combined_antenna_gain": Attribute(10.0, -200.0, 200.0),
    "scenario": Attribute("highway", choices=("highway", "rural", "urban")),
    "path_loss_model": Attribute("winner", choices=("winner", "geometric")),
    "path_loss_exponent": Attribute(2.7, 0.0, 20.0),
    "d_ref": Attribute(1.0, 0.001, 1e5),
    "filter_distance": Attribute(500.0, 0.0, 1e6),
    "use_etsi_fading": Attribute(True),
    "custom_fading_stddev": Attribute(0.0, 0.0, 200.0),
    **NOISE_SEED,
    **SENSOR_TICK,
}


class Radio(Sensor):
    """What both V2X sensors share: they send, and hear what arrives strongly enough."""

    tells_events = True
    transmits = True

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self.propagation = Propagation(self.values)

    @property
    def power(self) -> float:
        """[dBm] With which it sends."""
        return self.propagation.transmit_power

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: all messages that arrive, one after the other, each with the power that arrived; or nothing."""
        heard = [
            _POWER.pack(power) + message[_POWER.size :]
            for sender, power in self._heard(view, mount)
            for message in sender.messages
        ]
        return (b"".join(heard),) if heard else ()

    def _heard(self, view: View, mount: Mount) -> list[tuple[Transmission, float]]:
        """What arrives, and its power [dBm], in the order of the senders' ids."""
        antenna, ground = _antenna(view, mount)
        near = []
        for sender in view.air:
            if sender.channel == self.type_id and not _are_one(sender.mount, mount):
                their_antenna, their_ground = _antenna(view, sender.mount)
                distance = float(np.linalg.norm(their_antenna - antenna))
                if distance < self.propagation.reach:
                    near.append((sender, their_antenna, their_ground, distance))
        if not near:
            return []
        walled = _walled(view, mount, antenna, [(place, distance) for _, place, _, distance in near])
        heard = []
        for (sender, place, their_ground, distance), is_walled in zip(near, walled):
            base = min(ground, their_ground)
            vehicles = () if is_walled else _vehicles_between(view, (sender.mount, place), (mount, antenna), base)
            path = Path.BUILDING if is_walled else Path.VEHICLE if vehicles else Path.FREE
            link = Link(distance, float(place[2]) - base, float(antenna[2]) - base, path, vehicles)
            power = self.propagation.received(sender.power, link, float(self.random.standard_normal()))
            if power is not None:
                heard.append((sender, power))
        return heard


class V2xSensor(Radio):
    """Sends and hears cooperative awareness messages (CAM); see `cam` for when and what."""

    type_id = "sensor.other.v2x"
    stream_type = 20
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        **_RADIO,
        "gen_cam_min": Attribute(0.1, 0.0, 1e5),
        "gen_cam_max": Attribute(1.0, 0.0, 1e5),
        "fixed_rate": Attribute(False),
        **{f"noise_{what}_bias": Attribute(0.0) for what in ("lat", "lon", "alt", "head", "yawrate")},
        **{f"noise_{what}_stddev": Attribute(0.0, 0.0) for what in ("lat", "lon", "alt", "head", "yawrate")},
        **{f"noise_accel_stddev_{axis}": Attribute(0.0, 0.0) for axis in "xyz"},
        "noise_vel_stddev_x": Attribute(0.0, 0.0),
    }

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        if self.number("gen_cam_min") > self.number("gen_cam_max"):
            raise SensorError(
                f"{self.type_id}: attribute 'gen_cam_min' is {self.number('gen_cam_min'):g}, which is more than "
                f"'gen_cam_max', {self.number('gen_cam_max'):g}."
            )
        self._service = CamService(self.values, self.random.spawn(1)[0])

    def transmit(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """The message that is due, if any."""
        message = self._service.message(view, mount)
        return () if message is None else (message.tobytes(),)


class CustomV2xSensor(Radio):
    """Sends the texts that a client gives it, and hears those of others."""

    type_id = "sensor.other.v2x_custom"
    stream_type = 21
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = _RADIO

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self._text: bytes | None = None

    def send(self, text: str) -> None:
        """Send a text with the next tick; another one before that tick takes its place, as in CARLA.

        Raises:
            SensorError: It does not fit into the client's message.
        """
        try:
            coded = text.encode()
        except UnicodeEncodeError:
            raise SensorError(f"a V2X message has to be UTF-8, not {text!r:.100}") from None
        if len(coded) > LONGEST_TEXT:
            raise SensorError(f"a V2X message of {len(coded)} bytes is too long: allowed are {LONGEST_TEXT}")
        self._text = coded

    def transmit(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """The text, if the client gave one since the last turn."""
        text, self._text = self._text, None
        if text is None:
            return ()
        return (_CUSTOM.pack(0.0, PROTOCOL_VERSION, _CUSTOM_ID, mount.parent_id or mount.actor_id, text),)


def _are_one(one: Mount, other: Mount) -> bool:
    """Whether two sensors are of one station."""
    return one.actor_id == other.actor_id or (one.parent_id != 0 and one.parent_id == other.parent_id)


def _antenna(view: View, mount: Mount) -> tuple[NDArray[np.float64], float]:
    """Where a station's antenna is, float64 (3,), and the height of what it stands on, both in the world [m].

    As in CARLA, that of a body is on its roof, wherever its sensor is.
    """
    row = mount.body(view)
    if row is None:
        return mount.position, float(mount.position[2])
    roof = float(row["z"] + row["box_z"] + row["extent_z"])
    ground = float(row["z"] + row["box_z"] - row["extent_z"])
    return np.array((row["x"], row["y"], roof + _OVER_ROOF)), ground


def _walled(
    view: View, mount: Mount, antenna: NDArray[np.float64], places: Sequence[tuple[NDArray[np.float64], float]]
) -> list[bool]:
    """Whether the ground, the town's objects or a prop are between an antenna and others [(place, distance)]."""
    from minicarla.sensing.rays import NOTHING  # compiled only where such a sensor exists
    from minicarla.sensing.scan import cast_from

    passable = frozenset(int(number) for rows in (view.vehicles, view.walkers) for number in rows["id"])
    far = np.array([distance for _, distance in places])
    directions = np.array([place - antenna for place, _ in places]) / np.maximum(far, 1e-9)[:, None]
    eye = mount._replace(position=antenna)
    hits, _ = cast_from(view, eye, directions, max(float(far.max()), 1e-3), see_parent=False, ignored=passable)
    return [
        bool(kind != NOTHING and distance < limit - _AROUND_SENDER)
        for kind, distance, limit in zip(hits.kind, hits.distance, far)
    ]


def _vehicles_between(
    view: View, sender: tuple[Mount, NDArray[np.float64]], receiver: tuple[Mount, NDArray[np.float64]], base: float
) -> tuple[Obstacle, ...]:
    """The vehicles through which the line between two antennas goes; `base`: the height that theirs are over [m]."""
    (their_mount, start), (mount, end) = sender, receiver
    boxes = moving_boxes(view)
    stations = [one.parent_id for one in (their_mount, mount) if one.parent_id]
    boxes = boxes[(boxes["kind"] == 0) & ~np.isin(boxes["actor_id"], stations)]
    if len(boxes) == 0:
        return ()
    place = np.column_stack([boxes[axis] for axis in "xyz"])
    first = np.einsum("nij,nj->ni", boxes["axes"], start - place)
    way = np.einsum("nij,j->ni", boxes["axes"], end - start)
    way = np.where(np.abs(way) < 1e-12, 1e-12, way)
    planes = np.stack([(-boxes["extent"] - first) / way, (boxes["extent"] - first) / way])
    enters, leaves = planes.min(axis=0).max(axis=1), planes.max(axis=0).min(axis=1)
    met = (enters <= leaves) & (leaves >= 0.0) & (enters <= 1.0)
    found = []
    for number in sorted(set(boxes["row"][met].tolist())):
        row = view.vehicles[number]
        found.append(
            Obstacle(
                math.dist((row["x"], row["y"]), start[:2]),
                math.dist((row["x"], row["y"]), end[:2]),
                float(row["z"] + row["box_z"] + row["extent_z"]) + _OVER_ROOF - base,
            )
        )
    return tuple(found)
