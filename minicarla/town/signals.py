"""Traffic lights and signs of an OpenDRIVE text, as the actors that CARLA makes of them.

A signal stands on one road and holds for lanes of others, which refer to it (RoadRunner, where CARLA's towns were
made, puts the references on the connecting roads inside the junction). Vehicles stop where these lanes begin: at the
end of the lanes that lead into the junction.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.ground import Surface, ground_at
from minicarla.town.cross_traffic import add_cross_traffic
from minicarla.town.lanes import BIKING, DRIVABLE, LANE_TYPES, Array, LaneTable, ReferenceLines
from minicarla.town.opendrive import Link, Road, RoadNetwork, RoadObject, SignalRecord
from minicarla.town.town import SIGNAL_ZONE, STOP_ZONE_BEYOND, Signal

TRAFFIC_LIGHT_TYPE, STOP_TYPE, YIELD_TYPE, SPEED_TYPE = "1000001", "206", "205", "274"

STOP_ZONE_BEFORE = 9.5
"""[m] A vehicle whose front is this near to the stop line stands at the light. There is room for one vehicle: the
Traffic Manager takes a light that a vehicle saw green for green until the vehicle has left its reach. Who stops at its
beginning leaves room for the swing of long vehicles that turn into the street."""

SIGN_ZONE_BEFORE = 3.2
"""[m] As `STOP_ZONE_BEFORE` for stop and yield signs, as long as CARLA's: each vehicle comes to the line by itself."""

SPEED_ZONE_REACH = 4.0
"""[m] Half length of a speed-limit sign's zone: longer than a fast vehicle's way in one tick."""

STOP_BEFORE_LINE = 1.0
"""[m] The stop waypoint lies this far before the junction."""

TRIGGER_DEPTH = 1.5
"""[m] Half size of trigger volumes along the lane."""

BEYOND_SIGNAL = 0.322
"""[m] CARLA sets lights up so far beyond their signals, the way that the traffic goes: measured in its Town01. Where it
makes lights of an OpenDRIVE text without a level, it takes 0.25 m."""

SAME_PLACE = 0.05
"""[m] A sign so near to one of its kind is written down twice: CARLA has one actor for both."""

LAMP_HEIGHT = 4.4
LAMP_EXTENTS = (0.2, 0.2, 0.55)

LaneRef = tuple[int, int, float]

LanePose = tuple[float, float, float, float, float]
"""x, y, z [m], yaw of the traffic [rad], half width [m]."""


def find_signals(
    network: RoadNetwork, lines: ReferenceLines, lanes: LaneTable, surface: Surface
) -> tuple[list[Signal], NDArray[np.void]]:
    """Make all traffic lights and signs.

    Returns:
        The signals, and for each lane that one of them holds for its zone (structured array `SIGNAL_ZONE`).
    """
    finder = _Finder(network, lines, lanes, surface)
    for index, road in enumerate(network.roads):
        for record in road.signals:
            finder.add_signal(index, road, record)
        for item in road.objects:
            finder.add_speed_object(index, road, item)
    _group_traffic_lights(network, finder.signals)
    add_cross_traffic(network, lanes, finder.signals)
    return finder.signals, np.array(finder.zones, SIGNAL_ZONE)


def type_id(record_type: str, value: float) -> str | None:
    """Blueprint id of a signal, None if CARLA makes no actor of its type."""
    if record_type == SPEED_TYPE:
        return f"traffic.speed_limit.{round(value)}" if value > 0 else None
    return {
        TRAFFIC_LIGHT_TYPE: "traffic.traffic_light",
        STOP_TYPE: "traffic.stop",
        YIELD_TYPE: "traffic.yield",
    }.get(record_type)


class _Finder:
    """Collects signals and their zones."""

    def __init__(self, network: RoadNetwork, lines: ReferenceLines, lanes: LaneTable, surface: Surface) -> None:
        self.network, self.lines, self.lanes, self.surface = network, lines, lanes, surface
        self.signals: list[Signal] = []
        self.zones: list[tuple[float, ...]] = []
        self._road_index = {road.id: index for index, road in enumerate(network.roads)}
        self._lane_row = {
            (int(r), int(k), int(i)): row for row, (r, k, i) in enumerate(zip(lanes.road, lanes.section, lanes.lane_id))
        }
        self._references: dict[str, list[tuple[Road, SignalRecord]]] = defaultdict(list)
        for road in network.roads:
            for reference in road.references:
                self._references[reference.id].append((road, reference))

    def add_signal(self, index: int, road: Road, record: SignalRecord) -> None:
        """A light or sign from a `<signal>`."""
        value = record.value if record.value > 0 else _trailing_number(record.subtype)
        identity = type_id(record.type, value)
        if identity is None:
            return
        places = [(road, record), *self._references[record.id]]
        affected = [lane for place, reference in places for lane in self._valid_lanes(place, reference)]
        if not affected and record.type == SPEED_TYPE:
            affected = self._side_lanes(road, record.s, record.t)
        if not affected:
            affected = self._approach(road, record)
        point, heading = self.lines.carla_points(
            np.array([index], np.int32), np.array([record.s]), np.array([record.t])
        )
        facing_traffic = heading[0] - record.h_offset + (math.pi if record.orientation == "+" else 0.0)
        self._add(identity, record.id, point[0], facing_traffic, affected, value)

    def add_speed_object(self, index: int, road: Road, item: RoadObject) -> None:
        """A speed-limit sign that is written as an object, "Speed_60": CARLA reads these as signals."""
        value = _trailing_number(item.name) if item.name.lower().startswith("speed_") else 0.0
        identity = type_id(SPEED_TYPE, value)
        if identity is None:
            return
        point, heading = self.lines.carla_points(np.array([index], np.int32), np.array([item.s]), np.array([item.t]))
        if any(
            one.type_id == identity and math.dist((one.x, one.y), point[0][:2]) < SAME_PLACE for one in self.signals
        ):
            return
        facing_traffic = heading[0] - item.heading + (math.pi if item.orientation == "+" else 0.0)
        self._add(identity, item.id, point[0], facing_traffic, self._side_lanes(road, item.s, item.t), value)

    def _add(
        self, identity: str, sign_id: str, point: Array, fallback_yaw: float, affected: list[LaneRef], value: float
    ) -> None:
        is_speed = identity.startswith("traffic.speed_limit")
        stops = affected if is_speed else _unique(stop for lane in affected for stop in self._stops(lane))
        poses = [pose for pose in map(self._lane_pose, stops) if pose is not None]
        poses = _main_approach(poses)
        yaw = _mean_angle([pose[3] for pose in poses]) if poses else fallback_yaw
        if identity == "traffic.traffic_light":
            point = point + BEYOND_SIGNAL * np.array((math.cos(yaw), math.sin(yaw), 0.0))
        height = ground_at(self.surface, point[0], point[1], point[2] + 1.0)[0]
        signal = Signal(
            identity,
            sign_id,
            x=float(point[0]),
            y=float(point[1]),
            z=float(height if math.isfinite(height) else point[2]),
            yaw=math.degrees(_wrap(yaw + 0.5 * math.pi)),
            affected_lanes=affected,
            stop_lanes=stops,
            value=value if is_speed else 0.0,
        )
        signal.junction = self._junction(affected)
        if poses:
            _set_trigger(signal, poses, yaw)
        if signal.is_traffic_light:
            signal.light_boxes = _lamp_heads(signal, poses, yaw)
        row = len(self.signals)
        for x, y, z, heading, half_width in poses if is_speed else map(self._stop_line, stops):
            if not is_speed and math.isnan(x):
                continue
            ahead, behind = _zone_reach(signal)
            shift = 0.5 * (ahead - behind)
            self.zones.append(
                (
                    x + shift * math.cos(heading),
                    y + shift * math.sin(heading),
                    z,
                    heading,
                    0.5 * (ahead + behind),
                    half_width,
                    signal.value,
                    row,
                )
            )
        self.signals.append(signal)

    def _valid_lanes(self, road: Road, record: SignalRecord) -> list[LaneRef]:
        section = _section_at(road, record.s)
        return [
            (road.id, lane, record.s)
            for first, last in record.validities
            for lane in range(min(first, last), max(first, last) + 1)
            if self._carries(road, section, lane)
        ]

    def _side_lanes(self, road: Road, s: float, t: float) -> list[LaneRef]:
        """The lanes on the sign's side of the road; on a one-way road all of them."""
        section = _section_at(road, s)
        ids = [lane for lane in road.sections[section].lanes if self._carries(road, section, lane)]
        same = [lane for lane in ids if lane * t > 0.0]
        return [(road.id, lane, s) for lane in sorted(same or ids)]

    def _approach(self, road: Road, record: SignalRecord) -> list[LaneRef]:
        """Lanes of a signal that names none: those whose traffic it faces."""
        section = _section_at(road, record.s)
        sign = {"+": -1, "-": 1}.get(record.orientation, 0)
        ids = [lane for lane in road.sections[section].lanes if self._carries(road, section, lane)]
        return [(road.id, lane, record.s) for lane in sorted(ids) if sign == 0 or lane * sign > 0]

    def _carries(self, road: Road, section: int, lane: int) -> bool:
        row = self._lane_row.get((self._road_index[road.id], section, lane))
        return row is not None and int(self.lanes.type[row]) in (*DRIVABLE, BIKING, LANE_TYPES.index("parking"))

    def _stops(self, affected: LaneRef) -> list[LaneRef]:
        """Where vehicles bound for the affected lane stop: on the lanes before it, if it is inside a junction."""
        road_id, lane_id, s = affected
        road = self.network.roads[self._road_index[road_id]]
        forward = lane_id < 0
        if road.junction < 0:
            back = s - STOP_BEFORE_LINE if forward else s + STOP_BEFORE_LINE
            return [(road_id, lane_id, min(max(back, 0.01), road.length - 0.01))]
        section = road.sections[0 if forward else -1]
        lane = section.lanes.get(lane_id)
        link = road.predecessor if forward else road.successor
        before = None if lane is None else (lane.predecessor if forward else lane.successor)
        if link is None or link.kind != "road" or before is None:
            return [affected]
        return self._end_of(link, before) or [affected]

    def _end_of(self, link: Link, lane_id: int) -> list[LaneRef]:
        index = self._road_index.get(int(link.id))
        if index is None:
            return []
        road = self.network.roads[index]
        inset = min(STOP_BEFORE_LINE, 0.5 * road.length)
        s = road.length - inset if link.contact == "end" else inset
        return [(road.id, lane_id, s)] if self._carries(road, _section_at(road, s), lane_id) else []

    def _lane_pose(self, place: LaneRef) -> LanePose | None:
        """Middle of a lane, travel yaw and half width."""
        road_id, lane_id, s = place
        index = self._road_index[road_id]
        row = self._lane_row.get((index, _section_at(self.network.roads[index], s), lane_id))
        if row is None:
            return None
        stations = self.lanes.stations(row)
        along = self.lanes.s[stations]
        inner, outer = self.lanes.inner[stations], self.lanes.outer[stations]
        a, b = (np.array([np.interp(s, along, edge[:, k]) for k in range(3)]) for edge in (inner, outer))
        middle = 0.5 * (a + b)
        heading = float(np.interp(s, along, np.unwrap(self.lanes.heading[stations])))
        yaw = heading if lane_id < 0 else heading + math.pi
        x, y, z = (float(value) for value in middle)
        return x, y, z, _wrap(yaw), 0.5 * float(np.hypot(*(b - a)[:2]))

    def _stop_line(self, place: LaneRef) -> LanePose:
        """As `_lane_pose`, at the stop line itself; NaN if there is no such lane."""
        pose = self._lane_pose(place)
        if pose is None:
            return math.nan, math.nan, math.nan, math.nan, math.nan
        x, y, z, yaw, half_width = pose
        return x + STOP_BEFORE_LINE * math.cos(yaw), y + STOP_BEFORE_LINE * math.sin(yaw), z, yaw, half_width

    def _junction(self, affected: list[LaneRef]) -> int:
        """The junction that the affected lanes are in, or lead to."""
        for road_id, lane_id, _ in affected:
            road = self.network.roads[self._road_index[road_id]]
            if road.junction >= 0:
                return road.junction
            link = road.successor if lane_id < 0 else road.predecessor
            if link is not None and link.kind == "junction":
                return int(link.id)
        return -1


def _zone_reach(signal: Signal) -> tuple[float, float]:
    """How far [m] a signal's zone reaches beyond the sign or stop line, and before it."""
    if signal.is_traffic_light:
        return STOP_ZONE_BEYOND, STOP_ZONE_BEFORE
    return (SPEED_ZONE_REACH, SPEED_ZONE_REACH) if signal.value > 0 else (STOP_ZONE_BEYOND, SIGN_ZONE_BEFORE)


def _section_at(road: Road, s: float) -> int:
    starts = [section.s for section in road.sections]
    return max(int(np.searchsorted(starts, s + 1e-6, side="right")) - 1, 0)


def _trailing_number(text: str) -> float:
    match = re.search(r"(\d+)\s*$", text)
    return float(match.group(1)) if match else 0.0


def _unique(places: object) -> list[LaneRef]:
    return list(dict.fromkeys(places))  # type: ignore[call-overload,no-any-return]


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def _mean_angle(angles: list[float]) -> float:
    return math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))


def _main_approach(poses: list[LanePose]) -> list[LanePose]:
    """The largest set of lanes with one direction side by side: a trigger volume spans one approach only."""
    best: list[LanePose] = []
    for seed in poses:
        side_by_side = [
            pose
            for pose in poses
            if abs(_wrap(pose[3] - seed[3])) < 0.6 and math.hypot(pose[0] - seed[0], pose[1] - seed[1]) < 25.0
        ]
        if len(side_by_side) > len(best):
            best = side_by_side
    return best


def _set_trigger(signal: Signal, poses: list[LanePose], yaw: float) -> None:
    """The box around all lanes of the approach, in the actor's frame (x across the lanes, y against traffic)."""
    across = np.array([-math.sin(yaw), math.cos(yaw)])
    along = np.array([math.cos(yaw), math.sin(yaw)])
    points = np.array([pose[:2] for pose in poses])
    offset, width = points @ across, np.array([pose[4] for pose in poses])
    low, high = float((offset - width).min()), float((offset + width).max())
    centre = 0.5 * (low + high) * across + float((points @ along).mean()) * along
    relative = centre - (signal.x, signal.y)
    # The actor's x axis points across the lanes, to the right of traffic; its y axis points against traffic.
    signal.trigger_x = float(relative @ across)
    signal.trigger_y = float(relative @ -along)
    signal.trigger_z = float(np.mean([pose[2] for pose in poses])) - signal.z
    signal.trigger_extent_x = 0.5 * (high - low)
    signal.trigger_extent_y = TRIGGER_DEPTH
    signal.trigger_extent_z = 1.0


def _lamp_heads(signal: Signal, poses: list[LanePose], yaw: float) -> Array:
    """Lamp heads facing the traffic: one on the post, and one above the lanes where these are far from the post."""
    heads = [(signal.x, signal.y, signal.z + LAMP_HEIGHT)]
    if poses:
        across = np.array([-math.sin(yaw), math.cos(yaw)])
        lateral = float(np.mean([np.dot(np.array(pose[:2]) - (signal.x, signal.y), across) for pose in poses]))
        if abs(lateral) > 4.0:
            reach = math.copysign(min(abs(lateral) - 1.0, 6.0), lateral)
            heads.append((signal.x + reach * across[0], signal.y + reach * across[1], signal.z + 5.6))
    return np.array([(*head, _wrap(yaw + math.pi), *LAMP_EXTENTS) for head in heads])


def _group_traffic_lights(network: RoadNetwork, signals: list[Signal]) -> None:
    """Number the groups (junctions), the phases within each (controllers) and the poles."""
    controller_of = {sign: controller for controller in network.controllers.values() for sign in controller.signals}
    owner = {identity: junction.id for junction in network.junctions.values() for identity in junction.controllers}
    by_junction: dict[object, list[Signal]] = defaultdict(list)
    for index, signal in enumerate(signals):
        if signal.is_traffic_light:
            controller = controller_of.get(signal.sign_id)
            junction = owner.get(controller.id) if controller is not None else None
            if junction is not None:
                signal.junction = junction
            by_junction[signal.junction if signal.junction >= 0 else f"alone {index}"].append(signal)
    for group, lights in enumerate(by_junction.values()):
        named = {}
        for light in lights:
            controller = controller_of.get(light.sign_id)
            named[light.sign_id] = (controller.sequence, controller.id) if controller is not None else None
        phases = sorted({key for key in named.values() if key is not None})
        for pole, light in enumerate(lights):
            light.group, light.pole_index = group, pole
            key = named[light.sign_id]
            light.controller = phases.index(key) if key is not None else -1
        if len(phases) < 2 or any(light.controller < 0 for light in lights):
            _phases_by_axis(lights)


def _phases_by_axis(lights: list[Signal]) -> None:
    """Where no usable controllers are given: lights of opposite approaches share a phase."""
    axes: list[float] = []
    for light in lights:
        axis = math.radians(light.yaw) % math.pi
        for index, known in enumerate(axes):
            apart = abs(axis - known)
            if min(apart, math.pi - apart) < math.pi / 4:
                light.controller = index
                break
        else:
            light.controller = len(axes)
            axes.append(axis)
