"""The race tracks that this project makes itself: closed, level, 7 m wide, without junctions, signs or walls.

A centre line is a polygon with rounded corners. Each track is a ring of three roads: between two roads that follow
each other at both ends, CARLA's client finds no way on.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from minicarla.town.opendrive import Link, Road, RoadMark
from minicarla.town.road_builder import Path, Profile, RoadBuilder, wrap
from minicarla.town.sources import RACETRACKS
from minicarla.town.writer import write_opendrive

Corner = tuple[float, float, float]
"""x, y [m] of a polygon's corner and the radius [m] that rounds it."""

_CORNERS: dict[str, tuple[Corner, ...]] = {
    # 332 m, bends of 6.4 to 14 m radius.
    "Racetrack01": (
        *((0, 0, 11), (62, 0, 12), (62, 30, 9), (38, 42, 8), (44, 66, 6.4), (30, 72, 6.4)),
        *((18, 50, 10), (2, 58, 9), (-14, 86, 12), (-40, 74, 14), (-40, 34, 10), (-22, 14, 12)),
    ),
    # 278 m, bends of 7 to 14 m radius.
    "Racetrack02": (
        *((0, 0, 9), (46, -8, 10), (70, 8, 8), (66, 40, 12), (44, 44, 7)),
        *((36, 24, 7), (20, 26, 8), (14, 52, 10), (-14, 60, 12), (-24, 30, 14)),
    ),
}
_PROFILE = Profile(1, sidewalk=False, centre=RoadMark(0.0, "broken", "yellow", 0.12))


def racetrack(name: str) -> str:
    """A race track as OpenDRIVE text.

    Args:
        name: one of `RACETRACKS`.
    """
    corners = _CORNERS[name]
    builder = RoadBuilder()
    builder.network.geo_reference = (49.0, 8.0)
    order = [*range(1, len(corners)), 0]
    third = len(corners) // 3
    paths: list[Path] = []
    for numbers in (order[:third], order[third : 2 * third], order[2 * third :]):
        start = paths[-1].pose if paths else _behind(corners, 0)
        paths.append(_around(corners, Path(start), numbers))
    _join_ring([builder.add_road(path, _PROFILE) for path in paths])
    return write_opendrive(builder.network, name)


def _tangent(corners: Sequence[Corner], number: int) -> tuple[float, float, float]:
    """Heading before a corner [rad], turn in it [rad] and distance [m] from it to both ends of its arc."""
    before, (x, y, radius), after = corners[number - 1], corners[number], corners[(number + 1) % len(corners)]
    heading = math.atan2(y - before[1], x - before[0])
    turn = wrap(math.atan2(after[1] - y, after[0] - x) - heading)
    return heading, turn, radius * math.tan(abs(turn) / 2.0)


def _behind(corners: Sequence[Corner], number: int) -> tuple[float, float, float]:
    """The pose at the end of a corner's arc."""
    heading, turn, reach = _tangent(corners, number)
    x, y, _ = corners[number]
    leaving = wrap(heading + turn)
    return x + reach * math.cos(leaving), y + reach * math.sin(leaving), leaving


def _around(corners: Sequence[Corner], path: Path, numbers: Sequence[int]) -> Path:
    """Lead a path around some corners."""
    for number in numbers:
        x, y, radius = corners[number]
        _, turn, reach = _tangent(corners, number)
        path.line(math.hypot(x - path.pose[0], y - path.pose[1]) - reach).turn(turn, radius)
    return path


def _join_ring(roads: Sequence[Road]) -> None:
    """Let each road end where the next one begins, the last one where the first does.

    They are numbered from 1: to CARLA's client, a successor 0 is none.
    """
    for number, road in enumerate(roads, 1):
        road.id = number
    for before, after in zip(roads, [*roads[1:], roads[0]]):
        before.successor = Link("road", str(after.id), "start")
        after.predecessor = Link("road", str(before.id), "end")
        for lane in before.sections[0].lanes.values():
            if lane.id != 0:
                lane.predecessor = lane.successor = lane.id


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print a race track's OpenDRIVE text.")
    parser.add_argument("name", choices=RACETRACKS)
    print(racetrack(parser.parse_args().name), end="")
