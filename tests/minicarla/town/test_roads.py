"""OpenDRIVE texts in and out, and what is said about bad ones."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from minicarla.physics.ground import ground_at
from minicarla.town import TownError, build_town
from minicarla.town.lanes import ReferenceLines, sample_lanes
from minicarla.town.minitown import minitown
from minicarla.town.opendrive import parse_opendrive
from minicarla.town.road_builder import Path, Profile, RoadBuilder
from minicarla.town.writer import write_opendrive
from tests.known import present


def road_text(geometry: str, elevation: str = '<elevation s="0" a="0" b="0" c="0" d="0"/>', length: float = 60) -> str:
    """One road with one lane each way over a piece of reference line."""
    lane = '<lane id="{}" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    return (
        '<OpenDRIVE><header revMajor="1" revMinor="4" name="t" version="1"/>'
        f'<road name="r" length="{length}" id="7" junction="-1"><planView>'
        f'<geometry s="0" x="10" y="20" hdg="0.3" length="{length}">{geometry}</geometry></planView>'
        f"<elevationProfile>{elevation}</elevationProfile><lanes><laneSection s='0'>"
        f"<left>{lane.format(1)}</left><center><lane id='0' type='none'/></center><right>{lane.format(-1)}</right>"
        "</laneSection></lanes></road></OpenDRIVE>"
    )


@pytest.mark.parametrize(
    "geometry",
    [
        "<line/>",
        '<arc curvature="-0.03"/>',
        '<spiral curvStart="0.0" curvEnd="0.04"/>',
        '<paramPoly3 aU="0" bU="60" cU="0" dU="0" aV="0" bV="0" cV="12" dV="-4" pRange="normalized"/>',
    ],
)
def test_reference_lines_are_the_clients(geometry: str) -> None:
    text = road_text(geometry, '<elevation s="0" a="1" b="0.02" c="0.001" d="0"/>')
    network = parse_opendrive(text)
    lanes = sample_lanes(network, ReferenceLines(network))
    town_map = carla.Map("t", text)
    for station in range(0, len(lanes.s), 5):
        row = lanes.lane[station]
        s = min(max(float(lanes.s[station]), 0.01), 59.9)
        if abs(s - lanes.s[station]) > 1e-9:
            continue
        location = present(town_map.get_waypoint_xodr(7, int(lanes.lane_id[row]), s)).transform.location
        assert np.linalg.norm(lanes.centre[station] - (location.x, location.y, location.z)) < 0.02


def test_a_spiral_of_even_curvature_is_an_arc() -> None:
    arc, spiral = (
        sample_lanes(network, ReferenceLines(network)).centre
        for network in map(
            parse_opendrive,
            (road_text('<arc curvature="0.02"/>'), road_text('<spiral curvStart="0.02" curvEnd="0.02"/>')),
        )
    )
    assert np.isfinite(spiral).all()
    assert np.abs(arc - spiral).max() < 1e-6


def test_a_single_road_becomes_a_town() -> None:
    town = build_town("Single", road_text("<line/>"))
    assert len(town.spawn_points) >= 1
    assert town.map_name == "Carla/Maps/Single"
    x, y, z = town.spawn_points[0, :3]
    assert ground_at(town.surface, x, y, z)[0] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not well-formed"),
        ("<OpenDRIVE><road>", "not well-formed"),
        ("<OpenDRIVE></OpenDRIVE>", "no road"),
        (road_text("<line/>").replace('x="10"', 'x="here"'), "here"),
        (road_text("<line/>").replace('x="10"', 'x="nan"'), "not finite"),
        (road_text("<line/>").replace('x="10"', ""), "x of <geometry>"),
    ],
)
def test_texts_that_are_no_roads_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(TownError, match=sentence):
        build_town("Bad", text)


@pytest.mark.parametrize(
    ("projection", "origin"),
    [
        ("+proj=tmerc +lat_0=4.9e1 +lon_0=-8.5 +k=1", (49.0, -8.5)),
        ("+proj=tmerc +lat_0=0 +lon_0=0", (0.0, 0.0)),
        ("+proj=tmerc +lat_0=49", (42.0, 2.0)),
        ("", (42.0, 2.0)),
    ],
)
def test_the_origin_is_where_the_client_has_it(projection: str, origin: tuple[float, float]) -> None:
    reference = f"<geoReference><![CDATA[{projection}]]></geoReference>"
    text = road_text("<line/>").replace('version="1"/>', f'version="1">{reference}</header>')
    place = carla.Map("t", text).transform_to_geolocation(carla.Location())
    assert parse_opendrive(text).geo_reference == origin == pytest.approx((place.latitude, place.longitude))


def test_what_is_written_is_read_again() -> None:
    text = minitown()
    again = write_opendrive(parse_opendrive(text), "Minitown")
    assert parse_opendrive(again) == parse_opendrive(text)


def test_the_built_in_town_holds_together() -> None:
    waypoints = carla.Map("Minitown", minitown()).generate_waypoints(2.0)
    assert len(waypoints) > 2000
    for waypoint in waypoints:
        following = waypoint.next(1.0)
        assert following, f"road {waypoint.road_id} lane {waypoint.lane_id} ends"
        here = waypoint.transform
        for other in following:
            assert here.location.distance(other.transform.location) < 1.7
            turn = (other.transform.rotation.yaw - here.rotation.yaw + 180.0) % 360.0 - 180.0
            assert abs(turn) < 15.0


def test_paths_lead_where_they_are_told() -> None:
    for goal in ((50.0, 20.0, math.pi / 2), (60.0, -10.0, 0.0), (40.0, -25.0, -math.pi / 2), (30.0, 0.0, 0.0)):
        path = Path((0.0, 0.0, 0.0)).to(goal)
        assert path.pose == pytest.approx(goal, abs=1e-9)
    with pytest.raises(ValueError, match="no line, arc and line"):
        Path((0.0, 0.0, 0.0)).to((-20.0, -20.0, math.pi / 2))


def test_only_lines_and_arcs_are_written() -> None:
    builder = RoadBuilder()
    builder.add_road(Path((0.0, 0.0, 0.0)).line(50.0), Profile())
    builder.network.roads[0].geometry[0].shape = (0.0, 0.1)
    with pytest.raises(TownError, match="Only lines and arcs"):
        write_opendrive(builder.network, "t")
