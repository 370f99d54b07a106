"""Signs as the bird view shows them: words on the road, discs with a speed limit."""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import cv2
import numpy as np
from numpy.typing import NDArray

_TEXT_COLOUR = (186, 189, 182)  # Tango aluminium 2
_DISC_COLOURS = ((204, 0, 0), (238, 238, 236), (46, 52, 54))  # scarlet red 1, aluminium 0, aluminium 5
_DISC_RADIUS = 2.0  # [m]
_DISC_INNER = 0.75  # share of the radius
_LETTER = (0.7, 2.0)  # [m] width and height of a letter on the road
_LINE_AHEAD = 1.5  # [m] of the sign's waypoint
_LINE_SHARE = 0.7  # of the lane's width
_DRAWN_AT = 40  # [points/m] before stamps are averaged down


class Stamp(NamedTuple):
    """A small picture somewhere.

    Attributes:
        x: Middle, m.
        y: Same, m.
        z: Same, m.
        yaw: Where its top points, rad.
        upright: Whether its top points up in the picture, whatever the yaw.
        picture: `uint8 (h, w, 4)` RGBA at the bird view's resolution.
    """

    x: float
    y: float
    z: float
    yaw: float
    upright: bool
    picture: NDArray[np.uint8]


class SignStamps:
    """The signs of a town as stamps.

    Args:
        carla_map: The town, for the lanes that signs stand at.
        resolution: Pixels a metre of the bird view.

    Attributes:
        stop_lines: Lines to stop at before stop signs: x, y (m), yaw (rad), half depth, half width (m).
    """

    def __init__(self, carla_map: carla.Map, resolution: float) -> None:
        self._map = carla_map
        self._resolution = resolution
        self._pictures: dict[str, NDArray[np.uint8]] = {}
        self._stamps: list[Stamp] = []
        self._places = np.zeros((0, 2))
        self.stop_lines: list[tuple[float, float, float, float, float]] = []

    def place(self, signs: list[carla.TrafficSign]) -> None:
        """Note where signs are, for good: they do not move."""
        self._stamps, self.stop_lines = [], []
        for sign in signs:
            if sign.type_id in ("traffic.stop", "traffic.yield"):
                self._place_word(sign)
            elif sign.type_id.startswith("traffic.speed_limit."):
                self._place_disc(sign)
        self._places = np.array([(stamp.x, stamp.y) for stamp in self._stamps]).reshape(-1, 2)

    def near(self, x: float, y: float, reach: float) -> tuple[Stamp, ...]:
        """The stamps within `reach` metres of a place along each axis."""
        places = self._places
        close = (np.abs(places[:, 0] - x) < reach) & (np.abs(places[:, 1] - y) < reach)
        return tuple(self._stamps[number] for number in np.flatnonzero(close))

    def _place_word(self, sign: carla.TrafficSign) -> None:
        waypoint = self._map.get_waypoint(sign.get_location())
        if waypoint is None:
            return
        location, yaw = waypoint.transform.location, math.radians(waypoint.transform.rotation.yaw)
        word = sign.type_id.split(".")[1].upper()
        self._stamps.append(Stamp(location.x, location.y, location.z, yaw, False, self._picture(word)))
        x, y = location.x + _LINE_AHEAD * math.cos(yaw), location.y + _LINE_AHEAD * math.sin(yaw)
        half_width = waypoint.lane_width / 2.0 * _LINE_SHARE
        line = self._picture(f"line {half_width:.1f}")
        self._stamps.append(Stamp(x, y, location.z, yaw, False, line))
        if word == "STOP":
            self.stop_lines.append((x, y, yaw, 0.5, half_width))

    def _place_disc(self, sign: carla.TrafficSign) -> None:
        location = sign.get_location()
        picture = self._picture(sign.type_id.split(".")[2])
        self._stamps.append(Stamp(location.x, location.y, location.z, 0.0, True, picture))

    def _picture(self, text: str) -> NDArray[np.uint8]:
        if text not in self._pictures:
            if text.startswith("line "):
                large = _draw_line(float(text[5:]))
            elif text.isdigit():
                large = _draw_disc(text)
            else:
                large = _draw_word(text)
            height, width = (max(1, round(side * self._resolution / _DRAWN_AT)) for side in large.shape[:2])
            small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
            self._pictures[text] = small.astype(np.uint8, copy=False)
        return self._pictures[text]


def _draw_line(half_width: float) -> NDArray[np.uint8]:
    picture = np.full((round(0.3 * _DRAWN_AT), round(2 * half_width * _DRAWN_AT), 4), 255, np.uint8)
    picture[..., :3] = _TEXT_COLOUR
    return picture


def _draw_word(word: str) -> NDArray[np.uint8]:
    width, height = (round(side * _DRAWN_AT) for side in (_LETTER[0] * len(word), _LETTER[1]))
    picture = np.empty((height, width, 4), np.uint8)
    picture[..., :3] = _TEXT_COLOUR
    picture[..., 3] = _letters(word, width, height)
    return picture


def _draw_disc(number: str) -> NDArray[np.uint8]:
    side = round(2 * _DISC_RADIUS * _DRAWN_AT)
    ring, inside, ink = _DISC_COLOURS
    picture = np.zeros((side, side, 4), np.uint8)
    centre, radius = (side // 2, side // 2), side // 2 - 1
    cv2.circle(picture, centre, radius, (*ring, 255), cv2.FILLED)
    cv2.circle(picture, centre, round(radius * _DISC_INNER), (*inside, 255), cv2.FILLED)
    width, height = side // 2, side // 3
    top, left = (side - height) // 2, (side - width) // 2
    share = _letters(number, width, height)[..., None] / 255.0
    place = picture[top : top + height, left : left + width, :3]
    place[:] = place * (1.0 - share) + np.array(ink) * share
    return picture


def _letters(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """Coverage of a text that fills `(height, width)`."""
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 4.0, 12)
    canvas = np.zeros((text_height + 12, text_width + 12), np.uint8)
    cv2.putText(canvas, text, (6, text_height + 6), cv2.FONT_HERSHEY_DUPLEX, 4.0, 255, 12, cv2.LINE_AA)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
