"""The lanes as the server's own drivers know them."""

from __future__ import annotations

import carla
import numpy as np

from minicarla.town import load_town
from minicarla.town.lane_graph import build_lane_graph
from tests.known import present


def test_lanes_may_be_changed_where_carlas_client_says_so() -> None:
    town = load_town("Minitown", None)
    graph = build_lane_graph(town.opendrive, town.signals)
    known = carla.Map("Minitown", town.opendrive)
    compared, open_places = 0, 0
    for number in range(0, len(graph.point), 3):
        x, y, z = graph.point[number]
        waypoint = known.get_waypoint(carla.Location(x=x, y=y, z=z))
        if waypoint is None or waypoint.is_junction or graph.junction[graph.lane[number]] >= 0:
            continue
        sides = (
            (graph.left[number], carla.LaneChange.Left, waypoint.get_left_lane()),
            (graph.right[number], carla.LaneChange.Right, waypoint.get_right_lane()),
        )
        for lane, side, beside in sides:
            allowed = waypoint.lane_change in (side, carla.LaneChange.Both) and beside is not None
            if allowed:
                beside = present(beside)
                allowed = beside.lane_type == carla.LaneType.Driving and beside.lane_id * waypoint.lane_id > 0
            assert (lane >= 0) == allowed, (waypoint.road_id, waypoint.lane_id, waypoint.s)
            compared, open_places = compared + 1, open_places + allowed
    assert compared > 3000
    assert open_places > 100


def test_a_lane_that_may_be_changed_to_is_beside_the_point() -> None:
    town = load_town("Minitown", None)
    graph = build_lane_graph(town.opendrive, town.signals)
    for lanes, side in ((graph.left, -1.0), (graph.right, 1.0)):
        for number in np.flatnonzero(lanes >= 0):
            start, size = graph.start[lanes[number]], graph.size[lanes[number]]
            apart = graph.point[start : start + size, :2] - graph.point[number, :2]
            nearest = apart[np.argmin(np.hypot(*apart.T))]
            first = number - 1 if number and graph.lane[number - 1] == graph.lane[number] else number
            ahead = graph.point[first + 1, :2] - graph.point[first, :2]
            across = (nearest[1] * ahead[0] - nearest[0] * ahead[1]) / np.hypot(*ahead)
            assert 2.5 < side * across < 4.5
