"""Where the traffic lights and signs of a town are, and which of them a bird view may show."""

from __future__ import annotations

import math

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.sensors.bird_view.painter import BirdviewPainter, Signals
from rllib_integration.sensors.bird_view.road_signs import SignStamps

_STOP_LINE_DEPTH = 0.5  # [m] half of a stop line's depth in the masks
_SIGN_MARGIN = 4.0  # [m] signs whose middle is this far beyond the picture may reach into it
_LINE_MARGIN = 40.0  # [m] a light's post may be this far from its stop lines
_CELL = 10.0  # [m] heroes of one such square share what may be shown
_CELLS_KEPT = 256


class SignalBook:
    """Keeps what never changes about lights and signs, which takes long to look up.

    Args:
        carla_map: The town.
        painter: Draws the pictures; what they show decides what is looked up.
    """

    def __init__(self, carla_map: carla.Map, painter: BirdviewPainter) -> None:
        self._reach = painter.reach + _CELL / 2.0
        self._as_masks = painter.planes is not None
        self._stamps = SignStamps(carla_map, painter.scale)
        self._sign_ids: set[int] = set()
        self._lights: list[carla.TrafficLight] = []
        self._known: dict[int, tuple[tuple[float, float, float], NDArray[np.float64]]] = {}
        self._places = np.zeros((0, 3))
        self._cells: dict[tuple[int, int], tuple[list[carla.TrafficLight], Signals]] = {}

    def meet(self, lights: list[carla.TrafficLight], signs: list[carla.TrafficSign]) -> None:
        """Note the lights and signs that there are now."""
        self._lights = lights
        for light in lights:
            if light.id not in self._known:
                place = light.get_location()
                lines = _stop_lines(light) if self._as_masks else np.zeros((0, 5))
                self._known[light.id] = (place.x, place.y, place.z), lines
        self._places = np.array([self._known[light.id][0] for light in lights]).reshape(-1, 3)
        sign_ids = {sign.id for sign in signs}
        if sign_ids != self._sign_ids:
            self._stamps.place(signs)
            self._sign_ids = sign_ids
        self._cells.clear()

    def near(self, x: float, y: float) -> Signals:
        """What a picture of a hero at a place (m) may show, with the lights' states in the newest frame."""
        cell = round(x / _CELL), round(y / _CELL)
        if cell not in self._cells:
            if len(self._cells) >= _CELLS_KEPT:
                self._cells.clear()
            self._cells[cell] = self._look_around(_CELL * cell[0], _CELL * cell[1])
        lights, signals = self._cells[cell]
        return signals._replace(states=tuple(int(light.state) for light in lights))

    def _look_around(self, x: float, y: float) -> tuple[list[carla.TrafficLight], Signals]:
        """The lights that a picture from around a place may show, and all that it may show, without states."""
        margin = _LINE_MARGIN if self._as_masks else _SIGN_MARGIN
        off = np.abs(self._places[:, :2] - (x, y)).max(axis=1, initial=0.0)
        rows = np.flatnonzero(off < self._reach + margin)
        near = [self._lights[row] for row in rows]
        if self._as_masks:
            lines = tuple(self._known[light.id][1] for light in near)
            return near, Signals(self._places[rows], (), lines, tuple(self._stamps.stop_lines))
        stamps = self._stamps.near(x, y, self._reach + _SIGN_MARGIN)
        return near, Signals(self._places[rows], stamps=stamps)


def _stop_lines(light: carla.TrafficLight) -> NDArray[np.float64]:
    """`(n, 5)` boxes across the lanes that a light stops: x, y, yaw, half length, half width."""
    rows = []
    for waypoint in light.get_stop_waypoints() or light.get_affected_lane_waypoints():
        location, rotation = waypoint.transform.location, waypoint.transform.rotation
        half = waypoint.lane_width / 2.0
        rows.append((location.x, location.y, math.radians(rotation.yaw), _STOP_LINE_DEPTH, half))
    return np.array(rows, np.float64).reshape(-1, 5)
