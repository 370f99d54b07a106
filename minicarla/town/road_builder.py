"""Building blocks for road networks: paths of lines and arcs, road profiles, junctions, roundabouts.

Coordinates are OpenDRIVE's: right-handed, y to the left of x, headings counter-clockwise [rad].
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

from minicarla.town.opendrive import (
    LINE,
    Connection,
    Controller,
    Cubic,
    Geometry,
    Junction,
    Lane,
    Link,
    Road,
    RoadMark,
    RoadNetwork,
    RoadObject,
    Section,
    SignalRecord,
)

Pose = tuple[float, float, float]
"""x, y [m], heading [rad]."""

LANE_WIDTH = 3.5
SHOULDER_WIDTH = 0.6
SIDEWALK_WIDTH = 2.6
CROSSWALK_SETBACK, CROSSWALK_DEPTH = 0.8, 3.0
POST_SETBACK = 1.2

_NO_MARK = RoadMark(0.0, "none", "standard", 0.0)
_CURB = RoadMark(0.0, "curb", "standard", 0.15)
_EDGE = RoadMark(0.0, "solid", "white", 0.12)
_DASHED = RoadMark(0.0, "broken", "white", 0.12)
_CENTRE = RoadMark(0.0, "solid solid", "yellow", 0.12)
_CENTRE_DASHED = RoadMark(0.0, "broken", "yellow", 0.12)


@dataclass
class Profile:
    """What a road looks like across: lanes a direction, sidewalks, centre line, speed limit."""

    lanes: int = 1
    sidewalk: bool = True
    centre: RoadMark = field(default_factory=lambda: _CENTRE)

    @property
    def edge(self) -> float:
        """[m] From the centre line to the kerb."""
        return self.lanes * LANE_WIDTH + SHOULDER_WIDTH

    def side(self, sign: int) -> list[Lane]:
        """Lanes of one side, from the centre outwards; `sign` is that of their ids."""
        marks = [_DASHED] * (self.lanes - 1) + [_EDGE]
        lanes = [_lane(sign * (i + 1), "driving", LANE_WIDTH, mark) for i, mark in enumerate(marks)]
        lanes.append(_lane(sign * (self.lanes + 1), "shoulder", SHOULDER_WIDTH, _CURB if self.sidewalk else _NO_MARK))
        if self.sidewalk:
            lanes.append(_lane(sign * (self.lanes + 2), "sidewalk", SIDEWALK_WIDTH, _NO_MARK))
        return lanes


def _lane(identity: int, kind: str, width: float, mark: RoadMark) -> Lane:
    return Lane(identity, kind, [(0.0, width, 0.0, 0.0, 0.0)], [mark])


class Path:
    """A reference line that grows piece by piece."""

    def __init__(self, start: Pose) -> None:
        self.pose = start
        self.length = 0.0
        self.pieces: list[Geometry] = []

    def line(self, length: float) -> Path:
        """Go straight on [m].

        Raises:
            ValueError: the length is negative.
        """
        if length < -1e-6:
            raise ValueError(f"a line of {length:.2f} m: the goal lies behind {self.pose}")
        return self._add(length, 0.0)

    def turn(self, angle: float, radius: float) -> Path:
        """Turn by an angle [rad], positive to the left."""
        return self._add(abs(angle) * radius, math.copysign(1.0 / radius, angle))

    def to(self, goal: Pose) -> Path:
        """Go to a pose: line, arc and line, or two arcs where the directions are (nearly) parallel."""
        x, y, heading = self.pose
        dx, dy = goal[0] - x, goal[1] - y
        turn = wrap(goal[2] - heading)
        ahead = dx * math.cos(heading) + dy * math.sin(heading)
        aside = dy * math.cos(heading) - dx * math.sin(heading)
        if abs(turn) < 1e-3:
            if abs(aside) < 1e-6:
                return self.line(ahead)
            # Two equal arcs back to back: chord of each is half of the way.
            half = math.atan2(aside, ahead)
            radius = math.hypot(ahead, aside) / (4.0 * math.sin(abs(half)))
            return self.turn(2.0 * half, radius).turn(-2.0 * half, radius)
        second = aside / math.sin(turn)
        first = ahead - second * math.cos(turn)
        tangent = min(first, second)
        if tangent <= 0.0:
            raise ValueError(f"no line, arc and line lead from {self.pose} to {goal}")
        if first - tangent > 1e-6:
            self.line(first - tangent)
        self.turn(turn, tangent / math.tan(abs(turn) / 2.0))
        if second - tangent > 1e-6:
            self.line(second - tangent)
        return self

    def _add(self, length: float, curvature: float) -> Path:
        x, y, heading = self.pose
        self.pieces.append(Geometry(self.length, x, y, heading, length, LINE, (curvature, curvature)))
        turn = curvature * length
        if turn == 0.0:
            x, y = x + length * math.cos(heading), y + length * math.sin(heading)
        else:
            x += (math.sin(heading + turn) - math.sin(heading)) / curvature
            y -= (math.cos(heading + turn) - math.cos(heading)) / curvature
        self.pose = (x, y, wrap(heading + turn))
        self.length += length
        return self


def wrap(angle: float) -> float:
    """The angle in (-pi, pi]."""
    return math.pi - (math.pi - angle) % (2.0 * math.pi)


def smooth_heights(knots: list[tuple[float, float]]) -> list[Cubic]:
    """Elevation through (s, z) knots, level at each of them."""
    cubics = []
    for (s0, z0), (s1, z1) in itertools.pairwise(knots):
        run, rise = s1 - s0, z1 - z0
        cubics.append((s0, z0, 0.0, 3.0 * rise / run**2, -2.0 * rise / run**3))
    return cubics or [(0.0, knots[0][1], 0.0, 0.0, 0.0)]


@dataclass
class Arm:
    """The end of a road at a junction; the pose looks into the junction."""

    road: Road
    profile: Profile
    contact: str
    pose: Pose

    def incoming(self, lane: int) -> int:
        """Id of the n-th lane (1 = innermost) that leads into the junction."""
        return -lane if self.contact == "end" else lane

    def outgoing(self, lane: int) -> int:
        """Id of the n-th lane that leaves the junction."""
        return lane if self.contact == "end" else -lane

    def lane_start(self, offset: float, inbound: bool) -> Pose:
        """Pose on the arm, `offset` [m] to the right of the centre line as seen by the traffic of that direction."""
        x, y, heading = self.pose
        heading = heading if inbound else wrap(heading + math.pi)
        return x + offset * math.sin(heading), y - offset * math.cos(heading), heading

    def at(self, back: float) -> float:
        """s [m] of the place `back` metres before the junction."""
        return self.road.length - back if self.contact == "end" else back


class RoadBuilder:
    """Collects roads and joins their ends to junctions."""

    def __init__(self) -> None:
        self.network = RoadNetwork()
        self._road_ids = itertools.count(0)
        self._junction_ids = itertools.count(500)
        self._signal_ids = itertools.count(800)

    def add_road(self, path: Path, profile: Profile, heights: list[Cubic] | None = None, name: str = "") -> Road:
        """Add a two-way road along a path."""
        identity = next(self._road_ids)
        road = Road(identity, name or f"Road {identity}", path.length, -1, path.pieces, heights or [])
        lanes = [*profile.side(1), Lane(0, "none", [], [profile.centre]), *profile.side(-1)]
        road.sections = [Section(0.0, {lane.id: lane for lane in lanes})]
        self.network.roads.append(road)
        return road

    def arms(self, road: Road, profile: Profile, path: Path) -> tuple[Arm, Arm]:
        """Both ends of a road, as arms of junctions."""
        first = path.pieces[0]
        start = (first.x, first.y, wrap(first.heading + math.pi))
        return Arm(road, profile, "start", start), Arm(road, profile, "end", path.pose)

    def join_junction(self, arms: list[Arm], height: float, control: str) -> None:
        """Connect arms with each other.

        Args:
            arms: two to four of them.
            height: [m] of the junction, which is level.
            control: "lights", "stop" (the arms that meet a through road stop), "yield" or "".
        """
        junction = self._new_junction(arms)
        ways: dict[int, list[Road]] = {id(arm): [] for arm in arms}
        through: set[int] = set()
        for arm in arms:
            targets = {self._direction(arm, other): other for other in arms if other is not arm}
            if "straight" in targets:
                through.add(id(arm))
            for direction, other in targets.items():
                border = direction == "right" or (direction == "straight" and "right" not in targets)
                for lane, target in _lane_pairs(arm.profile.lanes, other.profile.lanes, direction, targets):
                    outer = border and lane == arm.profile.lanes
                    ways[id(arm)].append(self._connect(junction, arm, other, lane, target, outer, height))
        if control == "lights":
            self._add_lights(junction, arms, ways)
        for arm in arms:
            if control in ("stop", "yield") and not (id(arm) in through and len(arms) == 3):
                self._add_sign(arm, ways[id(arm)], control)
            if arm.profile.sidewalk and control:
                self.add_crosswalk(arm, -CROSSWALK_SETBACK - 0.5 * CROSSWALK_DEPTH)

    def join_roundabout(self, arms: list[Arm], centre: tuple[float, float], radius: float, height: float) -> None:
        """Connect arms by a one-lane ring, driven counter-clockwise; each arm meets it in a junction of its own."""
        gap, width = math.radians(35.0), 4.5
        angles = [math.atan2(arm.pose[1] - centre[1], arm.pose[0] - centre[0]) for arm in arms]
        order = sorted(range(len(arms)), key=lambda i: angles[i])
        arms, angles = [arms[i] for i in order], [angles[i] for i in order]
        junctions = [self._new_junction([arm]) for arm in arms]
        ring = []
        for i, angle in enumerate(angles):
            j = (i + 1) % len(arms)
            sweep = (angles[j] - angle) % (2.0 * math.pi) - 2.0 * gap
            start = angle + gap
            pose = (
                centre[0] + radius * math.cos(start),
                centre[1] + radius * math.sin(start),
                wrap(start + math.pi / 2),
            )
            path = Path(pose).turn(sweep, radius)
            road = self._one_way(path, width, height, border=True)
            road.predecessor = Link("junction", str(junctions[i].id), "")
            road.successor = Link("junction", str(junctions[j].id), "")
            ring.append((road, pose, path.pose))
        for i, arm in enumerate(arms):
            before, after = ring[i - 1], ring[i]
            self._ring_way(junctions[i], before, after, width, height)
            self._ring_entry(junctions[i], arm, after, width, height)
            self._ring_exit(junctions[i], arm, before, width, height)
            self.add_crosswalk(arm, 6.0)

    def add_crosswalk(self, arm: Arm, back: float) -> None:
        """A crosswalk over a road, its middle `back` metres before the junction (negative: inside)."""
        half_u, half_v = 0.5 * CROSSWALK_DEPTH, arm.profile.edge + 0.3
        s = min(max(arm.at(back), 0.0), arm.road.length)
        shift = arm.at(back) - s
        corners = [(-half_u, -half_v), (half_u, -half_v), (half_u, half_v), (-half_u, half_v), (-half_u, -half_v)]
        arm.road.objects.append(
            RoadObject(
                str(next(self._signal_ids)),
                "SimpleCrosswalk",
                "crosswalk",
                s,
                0.0,
                0.0,
                0.0,
                "none",
                CROSSWALK_DEPTH,
                2.0 * half_v,
                0.0,
                [(u + shift, v, 0.0) for u, v in corners],
            )
        )

    def add_speed_sign(self, road: Road, profile: Profile, s: float, forward: bool, limit: int) -> None:
        """A speed-limit sign beside the lanes of one direction."""
        side = -1 if forward else 1
        road.signals.append(
            SignalRecord(
                id=str(next(self._signal_ids)),
                s=s,
                t=side * (profile.edge + POST_SETBACK),
                orientation="-" if forward else "+",
                validities=[(min(side, side * profile.lanes), max(side, side * profile.lanes))],
                name=f"Speed_{limit}",
                type="274",
                subtype=str(limit),
                value=float(limit),
                h_offset=0.0 if forward else math.pi,
                width=0.8,
                height=0.8,
            )
        )

    def _new_junction(self, arms: list[Arm]) -> Junction:
        junction = Junction(next(self._junction_ids))
        self.network.junctions[junction.id] = junction
        for arm in arms:
            link = Link("junction", str(junction.id), "")
            if arm.contact == "end":
                arm.road.successor = link
            else:
                arm.road.predecessor = link
        return junction

    def _direction(self, arm: Arm, other: Arm) -> str:
        turn = wrap(other.pose[2] + math.pi - arm.pose[2])
        if abs(turn) < math.pi / 4:
            return "straight"
        return "left" if turn > 0 else "right"

    def _connect(
        self, junction: Junction, arm: Arm, other: Arm, lane: int, target: int, outer: bool, height: float
    ) -> Road:
        """One connecting road with one driving lane, and with the kerb and sidewalk where it runs along the border."""
        path = Path(arm.lane_start((lane - 1) * LANE_WIDTH, True))
        path.to(other.lane_start((target - 1) * LANE_WIDTH, False))
        border = outer and (arm.profile.sidewalk or other.profile.sidewalk)
        road = self._one_way(path, LANE_WIDTH, height, border, junction.id, shoulder=outer)
        road.predecessor = Link("road", str(arm.road.id), arm.contact)
        road.successor = Link("road", str(other.road.id), other.contact)
        links = []
        for identity, item in road.sections[0].lanes.items():
            if identity == 0:
                continue
            extra = -identity - 1
            before, after = arm.incoming(lane + extra), other.outgoing(target + extra)
            if item.type != "sidewalk" or arm.profile.sidewalk:
                item.predecessor = before
                links.append((before, identity))
            if item.type != "sidewalk" or other.profile.sidewalk:
                item.successor = after
        junction.connections.append(Connection(arm.road.id, road.id, "start", links))
        return road

    def _one_way(
        self, path: Path, width: float, height: float, border: bool, junction: int = -1, shoulder: bool = False
    ) -> Road:
        identity = next(self._road_ids)
        road = Road(identity, f"Road {identity}", path.length, junction, path.pieces, [(0.0, height, 0.0, 0.0, 0.0)])
        inside = junction >= 0
        lanes = [
            Lane(0, "none", [], [_NO_MARK if inside else _EDGE]),
            _lane(-1, "driving", width, _NO_MARK if inside and not (border or shoulder) else _EDGE),
        ]
        if border or shoulder:
            lanes.append(_lane(-2, "shoulder", SHOULDER_WIDTH, _CURB if border else _NO_MARK))
        if border:
            lanes.append(_lane(-3, "sidewalk", SIDEWALK_WIDTH, _NO_MARK))
        road.sections = [Section(0.0, {lane.id: lane for lane in lanes})]
        self.network.roads.append(road)
        return road

    def _ring_way(
        self,
        junction: Junction,
        before: tuple[Road, Pose, Pose],
        after: tuple[Road, Pose, Pose],
        width: float,
        height: float,
    ) -> None:
        path = Path(before[2]).to(after[1])
        road = self._one_way(path, width, height, False, junction.id)
        self._link_ring(junction, road, before[0], -1, "end", after[0], -1, "start")

    def _ring_entry(
        self, junction: Junction, arm: Arm, after: tuple[Road, Pose, Pose], width: float, height: float
    ) -> None:
        path = Path(arm.lane_start(0.0, True)).to(after[1])
        road = self._one_way(path, LANE_WIDTH, height, True, junction.id)
        _widen(road, LANE_WIDTH, width)
        self._link_ring(junction, road, arm.road, arm.incoming(1), arm.contact, after[0], -1, "start")
        self._add_sign(arm, [road], "yield")

    def _ring_exit(
        self, junction: Junction, arm: Arm, before: tuple[Road, Pose, Pose], width: float, height: float
    ) -> None:
        path = Path(before[2]).to(arm.lane_start(0.0, False))
        road = self._one_way(path, width, height, True, junction.id)
        _widen(road, width, LANE_WIDTH)
        self._link_ring(junction, road, before[0], -1, "end", arm.road, arm.outgoing(1), arm.contact)

    def _link_ring(
        self,
        junction: Junction,
        road: Road,
        before: Road,
        lane_before: int,
        contact_before: str,
        after: Road,
        lane_after: int,
        contact_after: str,
    ) -> None:
        road.predecessor = Link("road", str(before.id), contact_before)
        road.successor = Link("road", str(after.id), contact_after)
        links = []
        for identity, lane in road.sections[0].lanes.items():
            if identity < 0:
                extra = -identity - 1
                first = lane_before + (extra if lane_before > 0 else -extra)
                last = lane_after + (extra if lane_after > 0 else -extra)
                if first in before.sections[0].lanes:
                    lane.predecessor = first
                    links.append((first, identity))
                if last in after.sections[0].lanes:
                    lane.successor = last
        junction.connections.append(Connection(before.id, road.id, "start", links))

    def _add_lights(self, junction: Junction, arms: list[Arm], ways: dict[int, list[Road]]) -> None:
        """One light an arm, beyond the crosswalk on the far right; opposite arms share a phase."""
        axes: list[tuple[float, list[str]]] = []
        for arm in arms:
            identity = self._add_post(arm, ways[id(arm)], "1000001", "Signal_3Light_Post01")
            axis = arm.pose[2] % math.pi
            for known, members in axes:
                if min(abs(axis - known), math.pi - abs(axis - known)) < math.pi / 4:
                    members.append(identity)
                    break
            else:
                axes.append((axis, [identity]))
        for sequence, (_, members) in enumerate(axes):
            controller = Controller(f"{junction.id * 10 + sequence}", sequence, members)
            self.network.controllers[controller.id] = controller
            junction.controllers.append(controller.id)

    def _add_sign(self, arm: Arm, ways: list[Road], control: str) -> None:
        kind, name = {"stop": ("206", "Sign_Stop"), "yield": ("205", "Sign_Yield")}[control]
        self._add_post(arm, ways, kind, name)

    def _add_post(self, arm: Arm, ways: list[Road], kind: str, name: str) -> str:
        """A signal beside the arm, which the connecting roads refer to (as in CARLA's towns)."""
        identity = str(next(self._signal_ids))
        inbound_right = arm.incoming(1)
        record = SignalRecord(
            id=identity,
            s=arm.at(0.3),
            t=math.copysign(arm.profile.edge + POST_SETBACK, inbound_right),
            orientation="-" if inbound_right < 0 else "+",
            validities=[(0, 0)],
            name=name,
            type=kind,
            subtype="-1",
            h_offset=0.0 if inbound_right < 0 else math.pi,
            width=0.5,
            height=1.0,
        )
        arm.road.signals.append(record)
        for way in ways:
            way.references.append(SignalRecord(identity, 0.0, 0.0, "-", [(-1, -1)]))
        return identity


def _lane_pairs(lanes: int, targets: int, direction: str, all_targets: dict[str, Arm]) -> list[tuple[int, int]]:
    """Which lanes lead where: left turns from the innermost lane, right turns from the outermost."""
    if direction == "left":
        return [(1, 1)]
    if direction == "right":
        return [(lanes, targets)]
    pairs = [(lane, min(lane, targets)) for lane in range(1, lanes + 1)]
    if "right" not in all_targets:
        pairs[-1] = (lanes, targets)  # the way along the border keeps to the kerb
    return pairs


def _widen(road: Road, first: float, last: float) -> None:
    """Let the driving lane of a connecting road change its width smoothly."""
    rise, run = last - first, road.length
    road.sections[0].lanes[-1].widths = [(0.0, first, 0.0, 3.0 * rise / run**2, -2.0 * rise / run**3)]
