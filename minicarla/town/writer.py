"""A road network -> OpenDRIVE 1.4 text: the inverse of `opendrive.parse_opendrive`, for towns of our own."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from minicarla.town.opendrive import (
    LINE,
    Controller,
    Cubic,
    Geometry,
    Junction,
    Lane,
    Link,
    Road,
    RoadNetwork,
    RoadObject,
    SignalRecord,
)
from minicarla.town.sources import TownError


def write_opendrive(network: RoadNetwork, name: str, speed: float = 50.0) -> str:
    """Write a network of lines and arcs.

    Args:
        network: the roads; their reference lines hold lines and arcs only.
        name: the town's name, for the header.
        speed: [km/h] speed of all roads where no sign says otherwise.

    Raises:
        TownError: a reference line holds something else.
    """
    root = Element("OpenDRIVE")
    header = SubElement(root, "header", revMajor="1", revMinor="4", name=name, version="1.00", vendor="")
    latitude, longitude = network.geo_reference
    SubElement(
        header, "geoReference"
    ).text = f"+proj=tmerc +lat_0={latitude:g} +lon_0={longitude:g} +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m +no_defs"
    for road in network.roads:
        _write_road(root, road, speed)
    for controller in network.controllers.values():
        _write_controller(root, controller)
    for junction in network.junctions.values():
        _write_junction(root, junction)
    indent(root, space=" ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _number(value: float) -> str:
    return repr(round(float(value), 12))


def _write_road(root: Element, road: Road, speed: float) -> None:
    element = SubElement(
        root, "road", name=road.name, length=_number(road.length), id=str(road.id), junction=str(road.junction)
    )
    link = SubElement(element, "link")
    _write_link(link, "predecessor", road.predecessor)
    _write_link(link, "successor", road.successor)
    SubElement(SubElement(element, "type", s="0", type="town"), "speed", max=_number(speed), unit="km/h")
    plan = SubElement(element, "planView")
    for piece in road.geometry:
        _write_geometry(plan, piece)
    profile = SubElement(element, "elevationProfile")
    for cubic in road.elevation or [(0.0, 0.0, 0.0, 0.0, 0.0)]:
        _write_cubic(profile, "elevation", "s", cubic)
    lanes = SubElement(element, "lanes")
    for cubic in road.lane_offset or [(0.0, 0.0, 0.0, 0.0, 0.0)]:
        _write_cubic(lanes, "laneOffset", "s", cubic)
    for section in road.sections:
        holder = SubElement(lanes, "laneSection", s=_number(section.s))
        sides = {"left": lambda i: i > 0, "center": lambda i: i == 0, "right": lambda i: i < 0}
        for side, belongs in sides.items():
            ids = sorted((i for i in section.lanes if belongs(i)), reverse=True)
            if ids:
                group = SubElement(holder, side)
                for identity in ids:
                    _write_lane(group, section.lanes[identity])
    if road.objects:
        objects = SubElement(element, "objects")
        for item in road.objects:
            _write_object(objects, item)
    if road.signals or road.references:
        signals = SubElement(element, "signals")
        for record in road.signals:
            _write_signal(signals, record)
        for record in road.references:
            reference = SubElement(
                signals,
                "signalReference",
                id=record.id,
                s=_number(record.s),
                t=_number(record.t),
                orientation=record.orientation,
            )
            _write_validities(reference, record)


def _write_link(parent: Element, tag: str, link: Link | None) -> None:
    if link is not None:
        element = SubElement(parent, tag, elementType=link.kind, elementId=link.id)
        if link.contact:
            element.set("contactPoint", link.contact)


def _write_geometry(plan: Element, piece: Geometry) -> None:
    start, end = piece.shape[:2]
    if piece.kind != LINE or start != end:
        raise TownError("Only lines and arcs can be written as reference lines.")
    element = SubElement(
        plan,
        "geometry",
        s=_number(piece.s),
        x=_number(piece.x),
        y=_number(piece.y),
        hdg=_number(piece.heading),
        length=_number(piece.length),
    )
    if start == 0.0:
        SubElement(element, "line")
    else:
        SubElement(element, "arc", curvature=_number(start))


def _write_cubic(parent: Element, tag: str, start: str, cubic: Cubic) -> None:
    s, a, b, c, d = cubic
    SubElement(parent, tag, {start: _number(s), "a": repr(a), "b": repr(b), "c": repr(c), "d": repr(d)})


def _write_lane(group: Element, lane: Lane) -> None:
    element = SubElement(group, "lane", id=str(lane.id), type=lane.type, level="false")
    link = SubElement(element, "link")
    for tag, neighbour in (("predecessor", lane.predecessor), ("successor", lane.successor)):
        if neighbour is not None:
            SubElement(link, tag, id=str(neighbour))
    for cubic in lane.widths:
        _write_cubic(element, "width", "sOffset", cubic)
    for mark in lane.marks:
        change = {"broken": "both", "broken solid": "decrease", "solid broken": "increase"}.get(mark.type, "none")
        SubElement(
            element,
            "roadMark",
            sOffset=_number(mark.s),
            type=mark.type,
            weight="standard",
            color=mark.color,
            material="standard",
            width=_number(mark.width),
            laneChange=change,
        )


def _write_object(parent: Element, item: RoadObject) -> None:
    element = SubElement(
        parent,
        "object",
        id=item.id,
        name=item.name,
        type=item.type,
        s=_number(item.s),
        t=_number(item.t),
        zOffset=_number(item.z_offset),
        hdg=_number(item.heading),
        roll="0",
        pitch="0",
        orientation=item.orientation,
        length=_number(item.length),
        width=_number(item.width),
    )
    if item.outline:
        outline = SubElement(element, "outline")
        for u, v, z in item.outline:
            SubElement(outline, "cornerLocal", u=_number(u), v=_number(v), z=_number(z))


def _write_signal(parent: Element, record: SignalRecord) -> None:
    element = SubElement(
        parent,
        "signal",
        name=record.name,
        id=record.id,
        s=_number(record.s),
        t=_number(record.t),
        zOffset=_number(record.z_offset),
        hOffset=_number(record.h_offset),
        roll="0",
        pitch="0",
        orientation=record.orientation,
        dynamic="yes" if record.type == "1000001" else "no",
        country="OpenDRIVE",
        type=record.type,
        subtype=record.subtype,
        value=_number(record.value),
        text="",
        height=_number(record.height),
        width=_number(record.width),
    )
    _write_validities(element, record)


def _write_validities(parent: Element, record: SignalRecord) -> None:
    for first, last in record.validities:
        SubElement(parent, "validity", fromLane=str(first), toLane=str(last))


def _write_controller(root: Element, controller: Controller) -> None:
    element = SubElement(
        root,
        "controller",
        name=f"ctrl{controller.id}",
        id=controller.id,
        sequence=str(controller.sequence),
    )
    for signal in controller.signals:
        SubElement(element, "control", signalId=signal, type="")


def _write_junction(root: Element, junction: Junction) -> None:
    element = SubElement(root, "junction", id=str(junction.id), name=f"junction{junction.id}")
    for index, connection in enumerate(junction.connections):
        child = SubElement(
            element,
            "connection",
            id=str(index),
            incomingRoad=str(connection.incoming),
            connectingRoad=str(connection.connecting),
            contactPoint=connection.contact,
        )
        for first, last in connection.lanes:
            SubElement(child, "laneLink", {"from": str(first), "to": str(last)})
    for identity in junction.controllers:
        SubElement(element, "controller", id=identity, type="")
