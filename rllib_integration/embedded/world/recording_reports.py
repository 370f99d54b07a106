"""What `show_recorder_*` say about a recording, in CARLA's words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rllib_integration.embedded.world.recordings import COLLIDE, CREATE, DESTROY, Frame, Header, read_recording

_CENTIMETRES = 100.0


def _head(header: Header) -> list[str]:
    return [f"Version: {header.version}", f"Map: {header.map_name.split('/')[-1]}", f"Date: {header.date}", ""]


def _foot(frames: int, seconds: float) -> list[str]:
    return ["", f"Frames: {frames}", f"Duration: {seconds:g} seconds", ""]


def describe_file(path: Path, everything: bool) -> str:
    """The events of a recording, and with `everything` all positions, too.

    Raises:
        RecordingError: There is no such recording.
    """
    header, frames = read_recording(path)
    lines = _head(header)
    count, seconds = 0, 0.0
    for frame in frames:
        count, seconds = count + 1, frame.seconds
        told = [line for event in frame.events if (line := _event_line(event))]
        if everything:
            told += _position_lines(frame)
        if told:
            lines += [f"Frame {count} at {seconds:g} seconds", *told]
    return "\n".join(lines + _foot(count, seconds))


def _event_line(event: list[Any]) -> str:
    if event[0] == CREATE:
        x, y, z = (value * _CENTIMETRES for value in event[4][0])
        role = event[3].get("role_name", "")
        line = f" Create {event[1]}: {event[2]} ({role}) at ({x:g}, {y:g}, {z:g})"
        return line + (f"\n Parenting {event[1]} with {event[5]} (parent)" if event[5] else "")
    if event[0] == DESTROY:
        return f" Destroy {event[1]}"
    return f" Collision between {event[1]} and {event[2]}"


def _position_lines(frame: Frame) -> list[str]:
    rows = [row for table in (frame.vehicles, frame.walkers, frame.props) for row in table]
    lines = [f" Positions: {len(rows)}"]
    for row in rows:
        x, y, z = (float(row[axis]) * _CENTIMETRES for axis in "xyz")
        roll, pitch, yaw = (float(np.degrees(row[angle])) for angle in ("roll", "pitch", "yaw"))
        place = f"Location: ({x:.1f}, {y:.1f}, {z:.1f}) Rotation ({roll:.2f}, {pitch:.2f}, {yaw:.2f})"
        lines.append(f"  Id: {row['id']} {place}")
    return lines


class _Cast:
    """Who plays in a recording."""

    def __init__(self) -> None:
        self.types: dict[int, str] = {0: "static"}
        self.heroes: set[int] = set()

    def follow(self, frame: Frame) -> None:
        for event in frame.events:
            if event[0] == CREATE:
                self.types[event[1]] = event[2]
                if event[3].get("role_name") in ("hero", "ego_vehicle"):
                    self.heroes.add(event[1])

    def category(self, number: int) -> str:
        """One letter of CARLA's: hero, vehicle, walker, traffic light, other."""
        if number in self.heroes:
            return "h"
        type_id = self.types.get(number, "")
        for prefix, letter in (("vehicle.", "v"), ("walker.", "w"), ("traffic.traffic_light", "t")):
            if type_id.startswith(prefix):
                return letter
        return "o"


def describe_collisions(path: Path, first: str, second: str) -> str:
    """A table of the collisions between two categories of actors; "a" is any.

    Raises:
        RecordingError: There is no such recording.
    """
    header, frames = read_recording(path)
    lines = [*_head(header), f"{'Time':>8} Types {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"]
    cast = _Cast()
    touching: set[tuple[int, int]] = set()
    count, seconds = 0, 0.0
    for frame in frames:
        count, seconds = count + 1, frame.seconds
        cast.follow(frame)
        now = {(event[1], event[2]) for event in frame.events if event[0] == COLLIDE}
        for one, other in sorted(now - touching):
            for a, b in ((one, other), (other, one)):
                if first in ("a", cast.category(a)) and second in ("a", cast.category(b)):
                    lines.append(
                        f"{seconds:8.0f}  {cast.category(a)} {cast.category(b)}  {a:6} {cast.types.get(a, ''):<35} "
                        f"{b:6} {cast.types.get(b, ''):<35}"
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
    since: dict[int, tuple[float, Any]] = {}
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
