"""From metres on the map to degrees: the projections that versions of CARLA use for their GNSS sensors.

Both are spherical and take the map's origin from `lat_0` and `lon_0` of its PROJ string, whatever else that says.
"""

from __future__ import annotations

import math
from collections.abc import Callable

EARTH_RADIUS = 6378137.0
"""[m] Equatorial radius of WGS 84."""
_TRANSVERSE_RADIUS = 0.9996 * EARTH_RADIUS
"""[m] The scale is that of UTM."""

Projection = Callable[[tuple[float, float], float, float], tuple[float, float]]
"""(origin's latitude and longitude [degrees], x [m], y [m]) -> latitude and longitude [degrees]."""


def transverse_mercator(origin: tuple[float, float], x: float, y: float) -> tuple[float, float]:
    """CARLA 0.9.16's: the latitude rises along +y."""
    north = math.radians(origin[0]) + y / _TRANSVERSE_RADIUS
    east = x / _TRANSVERSE_RADIUS
    latitude = math.asin(math.sin(north) / math.cosh(east))
    longitude = math.atan2(math.sinh(east), math.cos(north))
    return math.degrees(latitude), origin[1] + math.degrees(longitude)


def mercator(origin: tuple[float, float], x: float, y: float) -> tuple[float, float]:
    """CARLA's up to 0.9.15: the latitude falls along +y, as the axis points south."""
    radius = EARTH_RADIUS * math.cos(math.radians(origin[0]))
    northing = math.asinh(math.tan(math.radians(origin[0]))) - y / radius
    return math.degrees(math.atan(math.sinh(northing))), origin[1] + math.degrees(x / radius)
