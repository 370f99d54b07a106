"""The lamps along the streets: what `carla.LightManager` shows and changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STREET_GROUP = 2
"""carla.LightGroup.Street"""
_INTENSITY = 10000.0
"""[lm]"""
_COLOUR = (255, 214, 170)
_BRIGHTEST = 100.0
"""Times the light that a lamp gives by default; what a client asks for beyond is not brighter."""


class Lamp(NamedTuple):
    """State of one lamp.

    Attributes:
        location: x, y, z in metres.
        intensity: Lumen.
        group: carla.LightGroup.
        colour: Red, green, blue.
        on: Whether it shines.
    """

    location: tuple[float, float, float]
    intensity: float
    group: int
    colour: tuple[int, int, int]
    on: bool


class StreetLights:
    """All lamps of a town. With the day and night cycle they shine while the sun is below the horizon.

    Attributes:
        lamps: State by id; ids begin at 1.
        cycle: Whether the sun switches them.
        changes: How often the state of any was changed.
    """

    def __init__(self, positions: NDArray[np.float64]) -> None:
        self.lamps = {
            index + 1: Lamp((x, y, z), _INTENSITY, STREET_GROUP, _COLOUR, False)
            for index, (x, y, z) in enumerate(positions.tolist())
        }
        self.cycle = True
        self.changes = 0
        self._missing = np.zeros(len(self.lamps), bool)
        self._glow: NDArray[np.float32] | None = None

    @property
    def glow(self) -> NDArray[np.float32]:
        """Linear light of each lamp as `View.lamps` wants it; another array after every change."""
        if self._glow is None:
            lamps = self.lamps.values()
            strength = [lamp.on * lamp.intensity / _INTENSITY for lamp in lamps]
            colours = np.array([lamp.colour for lamp in lamps], np.float64).reshape(-1, 3) / 255.0
            glow = np.array(strength).reshape(-1, 1) * colours**2.2
            glow[self._missing] = 0.0
            self._glow = glow.clip(0.0, _BRIGHTEST).astype(np.float32)
        return self._glow

    def follow_sun(self, altitude: float) -> bool:
        """Switch all lamps by the sun's altitude in degrees, if the cycle is on; whether any lamp was switched."""
        on = altitude < 0.0
        if not self.cycle or all(lamp.on == on for lamp in self.lamps.values()):
            return False
        self.lamps = {number: lamp._replace(on=on) for number, lamp in self.lamps.items()}
        self.changes += 1
        self._glow = None
        return True

    def change(self, number: int, lamp: Lamp) -> None:
        """Take over the state of one lamp, but not its place; unknown numbers change nothing."""
        known = self.lamps.get(number)
        if known is not None:
            self.lamps[number] = lamp._replace(location=known.location)
            self.changes += 1
            self._glow = None

    def take_down(self, missing: NDArray[np.bool_]) -> None:
        """Note which lamps, in the order of their ids, give no light because their poles are hidden."""
        if not np.array_equal(missing, self._missing):
            self._missing, self._glow = missing, None
