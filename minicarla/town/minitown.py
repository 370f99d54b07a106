"""The small town that this project makes itself: the default, free of any download.

A 200 m grid with an avenue of two lanes each way, rounded corners, junctions with traffic lights and with stop signs,
a roundabout on a loop road with a hill, and a country road that crosses the road to the roundabout on a bridge.
"""

from __future__ import annotations

import math

from minicarla.town.opendrive import Cubic
from minicarla.town.road_builder import Arm, Path, Pose, Profile, RoadBuilder, smooth_heights
from minicarla.town.writer import write_opendrive

NAME = "Minitown"

_EAST, _NORTH, _WEST, _SOUTH = 0.0, math.pi / 2, math.pi, -math.pi / 2
_BLOCK = 100.0
_REACH = 18.0
"""[m] From the middle of a junction to the ends of its roads."""
_CORNER_RADIUS = 32.0
_ROUNDABOUT = (_BLOCK, 345.0)
_ROUNDABOUT_RADIUS, _ROUNDABOUT_REACH = 14.0, 34.0
_BRIDGE_HEIGHT = 6.8
_STREET, _AVENUE, _COUNTRY = Profile(1), Profile(2), Profile(1, sidewalk=False)

Node = tuple[int, int]


def minitown() -> str:
    """The town as OpenDRIVE text."""
    return write_opendrive(_Layout().builder.network, NAME)


class _Layout:
    """Lays the roads, then joins them; `arms` collects the road ends at each grid node."""

    def __init__(self) -> None:
        self.builder = RoadBuilder()
        self.builder.network.geo_reference = (49.0, 8.0)
        self.arms: dict[Node, list[Arm]] = {}
        self.roundabout_arms: list[Arm] = []
        self._lay_streets()
        self._lay_corners()
        self._lay_northern_roads()
        self._lay_country_road()
        for node, arms in self.arms.items():
            self.builder.join_junction(arms, 0.0, _CONTROL[node])
        self.builder.join_roundabout(self.roundabout_arms, _ROUNDABOUT, _ROUNDABOUT_RADIUS, 0.0)

    def _lay_streets(self) -> None:
        """The cross inside the square; the avenue runs from west to east."""
        for start, end, profile in (
            ((0, 1), (1, 1), _AVENUE),
            ((1, 1), (2, 1), _AVENUE),
            ((1, 0), (1, 1), _STREET),
            ((1, 1), (1, 2), _STREET),
        ):
            heading = math.atan2(end[1] - start[1], end[0] - start[0])
            path = Path(_leaving(start, heading)).to(_reaching(end, heading))
            self._add(path, profile, start, end)

    def _lay_corners(self) -> None:
        """Around the square, with rounded corners instead of junctions."""
        ring: list[Node] = [(1, 0), (2, 1), (1, 2), (0, 1)]
        for i, heading in enumerate((_EAST, _NORTH, _WEST, _SOUTH)):
            start, end = ring[i], ring[(i + 1) % 4]
            side = _BLOCK - _REACH - _CORNER_RADIUS
            path = Path(_leaving(start, heading)).line(side).turn(math.pi / 2, _CORNER_RADIUS).line(side)
            self._add(path, _STREET, start, end)

    def _lay_northern_roads(self) -> None:
        """The road to the roundabout, and the loop behind it that climbs a hill."""
        x, y = _ROUNDABOUT
        path = Path(_leaving((1, 2), _NORTH)).to((x, y - _ROUNDABOUT_REACH, _NORTH))
        start, end = self._road(path, _STREET, None, limits=(30, 30))
        self.arms.setdefault((1, 2), []).append(start)
        self.roundabout_arms.append(end)
        path = Path((x + _ROUNDABOUT_REACH, y, _EAST)).line(30.0)
        path.turn(math.pi / 3, 40.0).turn(-math.pi / 3, 40.0).turn(math.pi, 45.0).line(60.0)
        path.turn(math.pi / 6, 60.0).turn(-math.pi / 6, 60.0)
        goal = (x - _ROUNDABOUT_REACH - 40.0, path.pose[1], _WEST)
        path.to(goal).turn(math.pi / 2, 45.0).to((goal[0] - 45.0, y + 45.0, _SOUTH)).turn(math.pi / 2, 45.0)
        path.to((x - _ROUNDABOUT_REACH, y, _EAST))
        length = path.length
        heights = smooth_heights([(0.0, 0.0), (60.0, 0.0), (0.5 * length, 9.0), (length - 60.0, 0.0), (length, 0.0)])
        self.roundabout_arms += self._road(path, _COUNTRY, heights, limits=(60, 60))

    def _lay_country_road(self) -> None:
        """From the eastern end of the avenue around the north to its western end, over the roundabout's road."""
        bridge_y = 2 * _BLOCK + 62.0
        path = Path(_leaving((2, 1), _EAST)).line(25.0).turn(math.pi / 2, 50.0)
        path.to((path.pose[0], bridge_y - 50.0, _NORTH)).turn(math.pi / 2, 50.0)
        before = path.length
        path.to((_BLOCK, bridge_y, _WEST))
        crossing = path.length
        path.to((-_REACH - 25.0, bridge_y, _WEST))
        after = path.length
        path.turn(math.pi / 2, 50.0).to((path.pose[0], _BLOCK + 50.0, _SOUTH)).turn(math.pi / 2, 50.0)
        path.to(_reaching((0, 1), _EAST))
        heights = smooth_heights(
            [
                (0.0, 0.0),
                (before - 40.0, 0.0),
                (crossing - 22.0, _BRIDGE_HEIGHT),
                (crossing + 22.0, _BRIDGE_HEIGHT),
                (after + 60.0, 0.0),
                (path.length, 0.0),
            ]
        )
        start, end = self._road(path, _COUNTRY, heights, limits=(90, 90))
        self.arms[(2, 1)].append(start)
        self.arms[(0, 1)].append(end)

    def _add(self, path: Path, profile: Profile, start: Node, end: Node) -> None:
        first, last = self._road(path, profile, None)
        self.arms.setdefault(start, []).append(first)
        self.arms.setdefault(end, []).append(last)

    def _road(
        self, path: Path, profile: Profile, heights: list[Cubic] | None, limits: tuple[int, int] | None = None
    ) -> tuple[Arm, Arm]:
        road = self.builder.add_road(path, profile, heights)
        if limits is not None:
            self.builder.add_speed_sign(road, profile, 15.0, True, limits[0])
            self.builder.add_speed_sign(road, profile, road.length - 15.0, True, 30)
            self.builder.add_speed_sign(road, profile, road.length - 15.0, False, limits[1])
            self.builder.add_speed_sign(road, profile, 15.0, False, 30)
        return self.builder.arms(road, profile, path)


_CONTROL: dict[Node, str] = {(1, 1): "lights", (1, 0): "lights", (1, 2): "stop", (2, 1): "stop", (0, 1): "lights"}


def _leaving(node: Node, heading: float) -> Pose:
    """Pose at the edge of a node's junction, looking away from it."""
    x, y = node[0] * _BLOCK, node[1] * _BLOCK
    return x + _REACH * math.cos(heading), y + _REACH * math.sin(heading), heading


def _reaching(node: Node, heading: float) -> Pose:
    """Pose at the edge of a node's junction, looking into it."""
    x, y = node[0] * _BLOCK, node[1] * _BLOCK
    return x - _REACH * math.cos(heading), y - _REACH * math.sin(heading), heading
