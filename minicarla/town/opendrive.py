"""OpenDRIVE text -> plain records: what `carla.Map` knows but does not tell, and all of it at once.

Only what CARLA itself reads is read: superelevation, lane heights and lateral shapes are left out, as in CARLA.
Coordinates stay OpenDRIVE's (right-handed, y to the left) until `lanes` turns them into CARLA's.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minicarla.town.sources import TownError

Cubic = tuple[float, float, float, float, float]
"""Where it starts [m along the road or section], then a, b, c, d of a + b ds + c ds^2 + d ds^3."""

LINE, SPIRAL, PARAM_POLY = 0, 1, 2
"""Kinds of reference line pieces; an arc is a spiral of constant curvature."""

MAX_TAGS = 2_000_000
"""In one text; CARLA's largest town has 1.1 million."""
MAX_LANE_KILOMETRES = 10_000
"""CARLA's largest town has 2200."""
MAX_DISTANCE = 25_000.0
"""[m] from the origin, and size of anything; CARLA's largest town reaches 16 km far."""
DEFAULT_ORIGIN = 42.0, 2.0
"""Latitude and longitude [degrees] that CARLA gives a map whose text names none."""
_DECIMAL = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CHUNK = 2**22


@dataclass
class Geometry:
    """A piece of a reference line: start pose, length [m], and the shape's numbers.

    `shape` is (curvature at start, curvature at end) for lines, arcs and spirals, or for polynomials
    (aU, bU, cU, dU, aV, bV, cV, dV, range of the parameter).
    """

    s: float
    x: float
    y: float
    heading: float
    length: float
    kind: int
    shape: tuple[float, ...]


@dataclass
class RoadMark:
    """A lane's outer marking from `s` [m, from the section's start] on.

    `lane_change` says who may cross it: "both", "none", or those whose lane's id thereby
    has an "increase" or a "decrease".
    """

    s: float
    type: str
    color: str
    width: float
    lane_change: str = "both"


@dataclass
class Lane:
    """A lane of one section; ids as in OpenDRIVE: negative to the right of the reference line."""

    id: int
    type: str
    widths: list[Cubic] = field(default_factory=list)
    marks: list[RoadMark] = field(default_factory=list)
    predecessor: int | None = None
    successor: int | None = None


@dataclass
class Section:
    """A stretch of road with the same lanes: start [m] and lanes by id (0, the centre, included)."""

    s: float
    lanes: dict[int, Lane] = field(default_factory=dict)


@dataclass
class SignalRecord:
    """A signal, or a reference to one: place on its road and the lanes (`first`, `last`) it holds for."""

    id: str
    s: float
    t: float
    orientation: str
    validities: list[tuple[int, int]]
    name: str = ""
    type: str = ""
    subtype: str = ""
    value: float = -1.0
    z_offset: float = 0.0
    h_offset: float = 0.0
    width: float = 0.0
    height: float = 0.0


@dataclass
class RoadObject:
    """An object beside or on the road; `outline` holds local corners (u, v, z) [m]."""

    id: str
    name: str
    type: str
    s: float
    t: float
    z_offset: float
    heading: float
    orientation: str
    length: float
    width: float
    height: float
    outline: list[tuple[float, float, float]]


@dataclass
class Link:
    """What a road's end touches: a road (with "start" or "end") or a junction."""

    kind: str
    id: str
    contact: str


@dataclass
class Road:
    """One road."""

    id: int
    name: str
    length: float
    junction: int
    geometry: list[Geometry] = field(default_factory=list)
    elevation: list[Cubic] = field(default_factory=list)
    lane_offset: list[Cubic] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    signals: list[SignalRecord] = field(default_factory=list)
    references: list[SignalRecord] = field(default_factory=list)
    objects: list[RoadObject] = field(default_factory=list)
    predecessor: Link | None = None
    successor: Link | None = None


@dataclass
class Controller:
    """Signals that show the same state, and their turn within the junction's cycle."""

    id: str
    sequence: int
    signals: list[str]


@dataclass
class Connection:
    """A way through a junction; `lanes` pairs lane ids of the incoming and the connecting road."""

    incoming: int
    connecting: int
    contact: str
    lanes: list[tuple[int, int]]


@dataclass
class Junction:
    """A junction with its ways through and its controllers."""

    id: int
    connections: list[Connection] = field(default_factory=list)
    controllers: list[str] = field(default_factory=list)


@dataclass
class RoadNetwork:
    """A whole OpenDRIVE file."""

    roads: list[Road] = field(default_factory=list)
    controllers: dict[str, Controller] = field(default_factory=dict)
    junctions: dict[int, Junction] = field(default_factory=dict)
    geo_reference: tuple[float, float] = DEFAULT_ORIGIN


def parse_opendrive(text: str) -> RoadNetwork:
    """Read an OpenDRIVE text.

    Raises:
        TownError: the text is not XML, or holds no usable road.
    """
    tags = text.count("<")
    if tags > MAX_TAGS:
        raise TownError(f"The OpenDRIVE text has {tags} tags, allowed are {MAX_TAGS}.")
    network = RoadNetwork()
    try:
        for element in _elements(text.encode("utf-8")):
            _take(network, element)
    except ElementTree.ParseError as error:
        raise TownError(f"The OpenDRIVE text is not well-formed XML: {error}.") from error
    except (KeyError, ValueError) as error:
        raise TownError(f"The OpenDRIVE text lacks or misspells a value: {error}.") from error
    network.roads = [road for road in network.roads if road.geometry and road.sections and road.length > 0.0]
    if not network.roads:
        raise TownError("The OpenDRIVE text holds no road with a length, a reference line and lanes.")
    _refuse_giants(network)
    return network


def _refuse_giants(network: RoadNetwork) -> None:
    metres = 0.0
    for road in network.roads:
        if abs(road.id) >= 2**31:
            raise TownError(f"A road's id is {road.id}, allowed are 32 bits.")
        ends = [*(section.s for section in road.sections[1:]), road.length]
        metres += sum((end - each.s) * len(each.lanes) for each, end in zip(road.sections, ends))
        distances = [abs(value) for piece in road.geometry for value in (piece.x, piece.y, piece.length)]
        distances += [abs(height) for _, height, *_ in road.elevation]
        distances += [abs(signal.t) for signal in (*road.signals, *road.references)]
        for thing in road.objects:
            distances += [abs(thing.t), thing.length, thing.width, thing.height]
            distances += [abs(value) for corner in thing.outline for value in corner]
        if max(distances) > MAX_DISTANCE:
            raise TownError(f"Road {road.id} has something {max(distances):g} m far or large; allowed are "
                            f"{MAX_DISTANCE:g} m.")  # fmt: skip
    if metres > 1000.0 * MAX_LANE_KILOMETRES:
        raise TownError(f"The roads have {metres / 1000.0:.0f} km of lanes, allowed are {MAX_LANE_KILOMETRES}.")


def _elements(data: bytes) -> Iterator[ElementTree.Element]:
    """Elements of an XML text as they end."""
    parser: ElementTree.XMLPullParser[ElementTree.Element] = ElementTree.XMLPullParser(("end",))
    # In large pieces: whatever has not ended with a piece is read anew with the next one.
    for start in range(0, len(data), _CHUNK):
        parser.feed(data[start : start + _CHUNK])
        yield from _ended(parser)
    parser.close()
    yield from _ended(parser)


def _ended(parser: ElementTree.XMLPullParser[ElementTree.Element]) -> Iterator[ElementTree.Element]:
    events: Iterator[Any] = parser.read_events()
    return (element for _, element in events)


def _take(network: RoadNetwork, element: ElementTree.Element) -> None:
    """Keep a finished top-level element and drop its children: large towns would need a gigabyte otherwise."""
    if element.tag == "geoReference":
        network.geo_reference = _geo_reference(element.text or "")
    elif element.tag == "road" and element.find("planView") is not None:
        network.roads.append(_road(element))
        element.clear()
    elif element.tag == "controller" and element.get("name") is not None:
        signals = [control.attrib["signalId"] for control in element.iter("control")]
        if signals:
            identity = element.attrib["id"]
            network.controllers[identity] = Controller(
                identity, int(element.get("sequence") or 0), list(dict.fromkeys(signals))
            )
        element.clear() if signals else None
    elif element.tag == "junction" and element.get("id") is not None and element.find("connection") is not None:
        junction = _junction(element)
        network.junctions[junction.id] = junction
        element.clear()


def _geo_reference(text: str) -> tuple[float, float]:
    """Latitude and longitude [degrees] of the map's origin, as CARLA reads them from the PROJ string."""
    latitude, longitude = (re.search(rf"\+{key}=({_DECIMAL})", text) for key in ("lat_0", "lon_0"))
    return (float(latitude[1]), float(longitude[1])) if latitude and longitude else DEFAULT_ORIGIN


def _number(element: ElementTree.Element, key: str, default: float | None = None) -> float:
    text = element.get(key)
    if text is None or not text.strip():
        if default is None:
            raise KeyError(f"{key} of <{element.tag}>")
        return default
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{key}={text!r} of <{element.tag}> is not finite")
    return value


def _cubics(parent: ElementTree.Element | None, tag: str, start: str) -> list[Cubic]:
    if parent is None:
        return []
    found = [
        (
            _number(e, start, 0.0),
            _number(e, "a", 0.0),
            _number(e, "b", 0.0),
            _number(e, "c", 0.0),
            _number(e, "d", 0.0),
        )
        for e in parent.iter(tag)
    ]
    return sorted(found, key=lambda cubic: cubic[0])


def _road(element: ElementTree.Element) -> Road:
    road = Road(
        id=int(element.attrib["id"]),
        name=element.get("name") or "",
        length=_number(element, "length"),
        junction=int(element.get("junction") or -1),
    )
    plan = element.find("planView")
    road.geometry = [_geometry(piece) for piece in plan.iter("geometry")] if plan is not None else []
    road.geometry.sort(key=lambda piece: piece.s)
    road.elevation = _cubics(element.find("elevationProfile"), "elevation", "s")
    lanes = element.find("lanes")
    if lanes is not None:
        road.lane_offset = _cubics(lanes, "laneOffset", "s")
        road.sections = sorted((_section(e) for e in lanes.iter("laneSection")), key=lambda section: section.s)
    link = element.find("link")
    if link is not None:
        road.predecessor = _link(link.find("predecessor"))
        road.successor = _link(link.find("successor"))
    for holder in element.findall("signals"):
        road.signals += [_signal(e) for e in holder.iter("signal")]
        road.references += [_signal(e) for e in holder.iter("signalReference")]
    for holder in element.findall("objects"):
        road.objects += [_object(e) for e in holder.iter("object")]
    return road


def _geometry(element: ElementTree.Element) -> Geometry:
    kind = LINE
    shape: tuple[float, ...] = (0.0, 0.0)
    arc, spiral = element.find("arc"), element.find("spiral")
    cubic, parametric = element.find("poly3"), element.find("paramPoly3")
    length = _number(element, "length")
    if arc is not None:
        curvature = _number(arc, "curvature")
        shape = (curvature, curvature)
    elif spiral is not None:
        kind, shape = SPIRAL, (_number(spiral, "curvStart"), _number(spiral, "curvEnd"))
    elif cubic is not None:
        numbers = [_number(cubic, key, 0.0) for key in "abcd"]
        kind, shape = PARAM_POLY, (0.0, 1.0, 0.0, 0.0, *numbers, length)
    elif parametric is not None:
        keys = ("aU", "bU", "cU", "dU", "aV", "bV", "cV", "dV")
        numbers = [_number(parametric, key, 0.0) for key in keys]
        reach = length if parametric.get("pRange") == "arcLength" else 1.0
        kind, shape = PARAM_POLY, (*numbers, reach)
    return Geometry(
        _number(element, "s"),
        _number(element, "x"),
        _number(element, "y"),
        _number(element, "hdg"),
        length,
        kind,
        shape,
    )


def _section(element: ElementTree.Element) -> Section:
    section = Section(_number(element, "s"))
    for item in element.iter("lane"):
        lane = Lane(int(item.attrib["id"]), item.get("type") or "none")
        lane.widths = _cubics(item, "width", "sOffset")
        lane.marks = [_mark(mark) for mark in item.iter("roadMark")]
        lane.marks.sort(key=lambda mark: mark.s)
        link = item.find("link")
        if link is not None:
            lane.predecessor = _lane_link(link.find("predecessor"))
            lane.successor = _lane_link(link.find("successor"))
        section.lanes[lane.id] = lane
    return section


def _mark(element: ElementTree.Element) -> RoadMark:
    return RoadMark(
        _number(element, "sOffset", 0.0),
        (element.get("type") or "none").strip().lower(),
        (element.get("color") or "standard").strip().lower(),
        _number(element, "width", 0.15) or 0.15,
        (element.get("laneChange") or "both").strip().lower(),
    )


def _lane_link(element: ElementTree.Element | None) -> int | None:
    return None if element is None else int(element.attrib["id"])


def _link(element: ElementTree.Element | None) -> Link | None:
    if element is None:
        return None
    kind = element.get("elementType") or "road"
    return Link(kind, element.attrib["elementId"], element.get("contactPoint") or "")


def _signal(element: ElementTree.Element) -> SignalRecord:
    return SignalRecord(
        id=element.attrib["id"],
        s=_number(element, "s"),
        t=_number(element, "t", 0.0),
        orientation=element.get("orientation") or "none",
        validities=[(int(item.attrib["fromLane"]), int(item.attrib["toLane"])) for item in element.iter("validity")],
        name=element.get("name") or "",
        type=element.get("type") or "",
        subtype=element.get("subtype") or "",
        value=_number(element, "value", -1.0),
        z_offset=_number(element, "zOffset", 0.0),
        h_offset=_number(element, "hOffset", 0.0),
        width=_number(element, "width", 0.0),
        height=_number(element, "height", 0.0),
    )


def _object(element: ElementTree.Element) -> RoadObject:
    outline = [
        (_number(corner, "u"), _number(corner, "v"), _number(corner, "z", 0.0))
        for corner in element.iter("cornerLocal")
    ]
    return RoadObject(
        id=element.get("id") or "",
        name=element.get("name") or "",
        type=element.get("type") or "",
        s=_number(element, "s"),
        t=_number(element, "t", 0.0),
        z_offset=_number(element, "zOffset", 0.0),
        heading=_number(element, "hdg", 0.0),
        orientation=element.get("orientation") or "none",
        length=_number(element, "length", 0.0),
        width=_number(element, "width", 0.0),
        height=_number(element, "height", 0.0),
        outline=outline,
    )


def _junction(element: ElementTree.Element) -> Junction:
    junction = Junction(int(element.attrib["id"]))
    for connection in element.iter("connection"):
        if connection.get("incomingRoad") and connection.get("connectingRoad"):
            junction.connections.append(
                Connection(
                    int(connection.attrib["incomingRoad"]),
                    int(connection.attrib["connectingRoad"]),
                    connection.get("contactPoint") or "start",
                    [(int(link.attrib["from"]), int(link.attrib["to"])) for link in connection.iter("laneLink")],
                )
            )
    junction.controllers = [controller.attrib["id"] for controller in element.iter("controller")]
    return junction
