"""What `show_recorder_*` say about a recording, in CARLA's words: programs take them apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.parameters import PhysicsControl, WheelControl
from minicarla.world.recording.file_format import (
    BONES,
    COLLIDE,
    CREATE,
    DESTROY,
    LAMP,
    Event,
    Frame,
    Header,
    read_recording,
)

_RECORDER_VERSION = 1
_CENTIMETRES = 100.0
_NO_ACTOR = 2**32 - 1
"""Id of what is hit but is no actor."""

_KINDS = (("vehicle.", 1, "v"), ("walker.", 2, "w"), ("traffic.traffic_light", 3, "t"), ("sensor.", 5, "o"))
_OTHER = (0, "o")
_HERO_ROLES = ("hero", "ego_vehicle")
_LAMPS = (
    "Position", "LowBeam", "HighBeam", "Brake", "RightBlinker", "LeftBlinker", "Reverse", "Fog", "Interior", "Special1",
    "Special2",
)  # fmt: skip

_DOORS = ("Front Left", "Front Right", "Rear Left", "Rear Right", "Hood", "Trunk")

_PHYSICS = (
    ("max_rpm", "max_rpm"),
    ("MOI", "moi"),
    ("damping_rate_full_throttle", "damping_rate_full_throttle"),
    ("damping_rate_zero_throttle_clutch_engaged", "damping_rate_zero_throttle_clutch_engaged"),
    ("damping_rate_zero_throttle_clutch_disengaged", "damping_rate_zero_throttle_clutch_disengaged"),
    ("use_gear_auto_box", "use_gear_autobox"),
    ("gear_switch_time", "gear_switch_time"),
    ("clutch_strength", "clutch_strength"),
    ("final_ratio", "final_ratio"),
    ("mass", "mass"),
    ("drag_coefficient", "drag_coefficient"),
    ("center_of_mass", "center_of_mass"),
    ("torque_curve", "torque_curve"),
    ("steering_curve", "steering_curve"),
)
"""How CARLA's report calls the fields of a `PhysicsControl`, in its order."""
_WHEEL = ("tire_friction", "damping_rate", "max_steer_angle", "radius", "max_brake_torque", "max_handbrake_torque")


def _kind(type_id: str) -> tuple[int, str]:
    """CARLA's number and letter for a sort of actor."""
    return next(((number, letter) for start, number, letter in _KINDS if type_id.startswith(start)), _OTHER)


def _head(header: Header) -> list[str]:
    return [f"Version: {_RECORDER_VERSION}", f"Map: {header.map_name.split('/')[-1]}", f"Date: {header.date}", ""]


def _foot(frames: int, seconds: float) -> list[str]:
    return ["", f"Frames: {frames}", f"Duration: {seconds:g} seconds", ""]


def _vector(parts: Iterable[float], scale: float = 1.0) -> str:
    return f"({', '.join(f'{float(part) * scale:g}' for part in parts)})"


class _Cast:
    """Who plays in a recording."""

    def __init__(self) -> None:
        self.types: dict[int, str] = {}
        self.heroes: set[int] = set()

    def follow(self, frame: Frame) -> None:
        """Take note of the actors that come."""
        for event in frame.events:
            if event[0] == CREATE:
                self.types[event[1]] = event[2]
                if event[3].get("role_name") in _HERO_ROLES:
                    self.heroes.add(event[1])

    def letter(self, number: int) -> str:
        """One letter of CARLA's: vehicle, walker, traffic light, other."""
        return _kind(self.types.get(number, ""))[1]

    def is_in(self, category: str, number: int) -> bool:
        """Whether an actor belongs to a category: a letter, "h" for heroes, "a" for any."""
        return category in ("a", self.letter(number)) or (category == "h" and number in self.heroes)


def describe_file(path: Path, everything: bool) -> str:
    """The events of a recording, and with `everything` all that moved, too.

    Raises:
        RecordingError: There is no such recording.
    """
    header, frames = read_recording(path)
    lines, cast = _head(header), _Cast()
    count, seconds = 0, 0.0
    doors: dict[int, int] = {}
    for frame in frames:
        count, seconds = count + 1, frame.seconds
        cast.follow(frame)
        told = _event_lines(frame, cast)
        if everything:
            told += _state_lines(frame)
            told += _additional_lines(frame) if header.additional else []
            told += _door_lines(frame, doors)
        if told or everything:
            lines += [f"Frame {count} at {seconds:g} seconds", *told]
    return "\n".join(lines + _foot(count, seconds))


def _event_lines(frame: Frame, cast: _Cast) -> list[str]:
    created = [event for event in frame.events if event[0] == CREATE]
    lines: list[str] = []
    for _, number, type_id, attributes, pose, *_ in created:
        lines.append(f" Create {number}: {type_id} ({_kind(type_id)[0]}) at {_vector(pose[0], _CENTIMETRES)}")
        lines += [f"  {name} = {value}" for name, value in attributes.items()]
    lines += [f" Destroy {event[1]}" for event in frame.events if event[0] == DESTROY]
    lines += [f" Parenting {event[1]} with {event[5]} (parent)" for event in created if event[5]]
    collisions = (event for event in frame.events if event[0] == COLLIDE)
    for index, (_, *pair) in enumerate(collisions):
        one, other = (f"{number or _NO_ACTOR}{' (hero) ' if number in cast.heroes else ''}" for number in pair)
        lines.append(f" Collision id {index} between {one} with {other}")
    return lines


def _state_lines(frame: Frame) -> list[str]:
    bodies = [row for table in (frame.vehicles, frame.walkers, frame.props) for row in table]
    lines = [f" Positions: {len(bodies)}"]
    for row in bodies:
        place = _vector((row[axis] for axis in "xyz"), _CENTIMETRES)
        turn = _vector(np.degrees(row[angle]) for angle in ("roll", "pitch", "yaw"))
        lines.append(f"  Id: {row['id']} Location: {place} Rotation: {turn}")
    lines.append(f" State traffic lights: {len(frame.lights)}")
    for row in frame.lights:
        lines.append(f"  Id: {row['id']} state: {row['state']} frozen: {row['frozen']} elapsedTime: {row['elapsed']:g}")
    lines.append(f" Vehicle animations: {len(frame.vehicles)}")
    for row in frame.vehicles:
        pedals = f"Throttle: {row['throttle']:g} Brake: {row['brake']:g} Handbrake: {row['hand_brake']}"
        lines.append(f"  Id: {row['id']} Steering: {row['steer']:g} {pedals} Gear: {row['gear']}")
    lines.append(f" Walker animations: {len(frame.walkers)}")
    for row in frame.walkers:
        lines.append(f"  Id: {row['id']} speed: {float(np.hypot(row['vx'], row['vy'])):g}")
    lines.append(f" Vehicle light animations: {len(frame.vehicles)}")
    for row in frame.vehicles:
        lit = [name for bit, name in enumerate(_LAMPS) if int(row["lamps"]) >> bit & 1]
        lines.append(f"  Id: {row['id']} {' '.join(lit) or 'None'}")
    return lines + _lamp_lines([event for event in frame.events if event[0] == LAMP])


def _lamp_lines(changes: list[Event]) -> list[str]:
    lines = [f" Scene light changes: {len(changes)}"] if changes else []
    for _, number, on, intensity, _, colour in changes:
        lines.append(f"  Id: {number} enabled: {on} intensity: {intensity:g} RGB_color: {_vector(colour)}")
    return lines


def _additional_lines(frame: Frame) -> list[str]:
    created = [event for event in frame.events if event[0] == CREATE]
    return [
        *_speed_lines(frame),
        *_box_lines(" Actor bounding boxes", [event for event in created if any(event[7][1])]),
        *_box_lines(" Actor trigger volumes", [event for event in created if event[2].startswith("traffic.")]),
        f" Current platform time: {frame.platform_seconds:g}",
        *_physics_lines([event for event in created if event[2].startswith("vehicle.")]),
        *_light_time_lines([event for event in created if event[2].startswith("traffic.traffic_light")]),
        *_bone_lines([event for event in frame.events if event[0] == BONES]),
    ]


def _door_lines(frame: Frame, before: dict[int, int]) -> list[str]:
    """Doors that moved since the frame before, whose open ones are brought up to date."""
    now = {int(row["id"]): int(row["doors"]) for row in frame.vehicles}
    moved = [(number, bits) for number, bits in now.items() if bits != before.get(number, 0)]
    before.update(now)
    lines = [f" Vehicle door animations: {len(moved)}"] if moved else []
    for number, bits in moved:
        opened = [name for bit, name in enumerate(_DOORS) if bits >> bit & 1]
        lines += [f"  Id: {number}", f"  Doors opened:  {', '.join(opened) or 'None'} "]
    return lines


def _bone_lines(posed: list[Event]) -> list[str]:
    lines = [f" Walkers Bones: {len(posed)}"] if posed else []
    for _, number, _, bones in posed:
        lines.append(f"  Id: {number}")
        for name, (location, (pitch, yaw, roll)) in bones.items():
            place, turn = _vector(location, _CENTIMETRES), _vector((roll, pitch, yaw))
            lines.append(f'     Bone: "{name}" relative: Loc{place} Rot{turn}')
    return lines


def _speed_lines(frame: Frame) -> list[str]:
    bodies = [row for table in (frame.vehicles, frame.walkers) for row in table]
    lines = [f" Dynamic actors: {len(bodies)}"]
    for row in bodies:
        speed = _vector(row[axis] for axis in ("vx", "vy", "vz"))
        spin = _vector(np.degrees(row[axis]) for axis in ("wx", "wy", "wz"))
        lines.append(f"  Id: {row['id']} linear_velocity: {speed} angular_velocity: {spin}")
    return lines


def _box_lines(title: str, created: list[Event]) -> list[str]:
    lines = [f"{title}: {len(created)}"] if created else []
    for event in created:
        origin, extension = (_vector(part, _CENTIMETRES) for part in event[7])
        lines.append(f"  Id: {event[1]} origin: {origin} extension: {extension}")
    return lines


def _physics_lines(created: list[Event]) -> list[str]:
    lines = [f" Physics Control events: {len(created)}"] if created else []
    for event in created:
        control = PhysicsControl(*event[8])
        lines.append(f"  Id: {event[1]}")
        for title, name in _PHYSICS:
            part = getattr(control, name)
            lines.append(f"   {title} = {_physics_text(part)}")
        lines.append("   forward_gears:")
        for number, (ratio, down, up) in enumerate(control.forward_gears):
            lines.append(f"    gear {number}: ratio {ratio:g} down_ratio {down:g} up_ratio {up:g}")
        lines.append("   wheels:")
        for number, values in enumerate(control.wheels):
            wheel = WheelControl(*values)
            parts = " ".join(f"{name} {getattr(wheel, name):g}" for name in _WHEEL)
            lines.append(f"    wheel {number}: {parts} position {_vector(wheel.position)}")
    return lines


def _physics_text(part: Any) -> str:
    if isinstance(part, bool):
        return str(part).lower()
    if not isinstance(part, list):
        return f"{part:g}"
    return " ".join(map(_vector, part)) if part and isinstance(part[0], list) else _vector(part)


def _light_time_lines(created: list[Event]) -> list[str]:
    lines = [f" Traffic Light time events: {len(created)}"] if created else []
    for event in created:
        green, yellow, red = event[8]
        lines.append(f"  Id: {event[1]} green_time: {green:g} yellow_time: {yellow:g} red_time: {red:g}")
    return lines


def describe_collisions(path: Path, first: str, second: str) -> str:
    """A table of the collisions between two categories of actors; "a" is any.

    Raises:
        RecordingError: There is no such recording.
    """
    header, frames = read_recording(path)
    lines = [*_head(header), f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"]
    cast = _Cast()
    touching: set[tuple[int, int]] = set()
    count, seconds = 0, 0.0
    for frame in frames:
        count, seconds = count + 1, frame.seconds
        cast.follow(frame)
        now = {(event[1], event[2]) for event in frame.events if event[0] == COLLIDE}
        for one, other in sorted(now - touching):
            for a, b in ((one, other), (other, one)):
                if cast.is_in(first, a) and cast.is_in(second, b):
                    lines.append(
                        f"{seconds:8.0f}   {cast.letter(a)} {cast.letter(b)}  "
                        f"{a or _NO_ACTOR:6} {cast.types.get(a, ''):<35} "
                        f"{b or _NO_ACTOR:6} {cast.types.get(b, ''):<35}"
                    )
                    break
        touching = now
    return "\n".join(lines + _foot(count, seconds))


def describe_blocked(path: Path, shortest: float, distance: float) -> str:
    """A table of the actors that stood still, the longest first.

    Args:
        path: The recording.
        shortest: Seconds from which on standing counts.
        distance: Centimetres; moving less than that counts as standing.

    Raises:
        RecordingError: There is no such recording.
    """
    header, frames = read_recording(path)
    cast = _Cast()
    stops, count, seconds = _stops(frames, cast, distance / _CENTIMETRES)
    blocked = sorted((stop for stop in stops if stop[2] >= shortest), key=lambda stop: -stop[2])
    lines = [*_head(header), f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}"]
    for number, start, duration in blocked:
        lines.append(f"{start:8.0f} {number:6} {cast.types.get(number, ''):<35} {duration:10.0f}")
    return "\n".join(lines + _foot(count, seconds))


def _stops(frames: Iterable[Frame], cast: _Cast, distance: float) -> tuple[list[tuple[int, float, float]], int, float]:
    """Id, beginning and length of every standstill; then the number of frames and the length of the recording."""
    since: dict[int, tuple[float, NDArray[np.float64]]] = {}
    stops: list[tuple[int, float, float]] = []
    count, seconds = 0, 0.0
    for frame in frames:
        count, seconds = count + 1, frame.seconds
        cast.follow(frame)
        for rows in (frame.vehicles, frame.walkers):
            for row in rows:
                number, place = int(row["id"]), np.array([row["x"], row["y"], row["z"]])
                began = since.setdefault(number, (seconds, place))
                if np.linalg.norm(place - began[1]) > distance:
                    stops.append((number, began[0], seconds - began[0]))
                    since[number] = (seconds, place)
    stops += [(number, began, seconds - began) for number, (began, _) in since.items()]
    return stops, count, seconds
