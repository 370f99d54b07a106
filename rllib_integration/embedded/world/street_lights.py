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
    """

    def __init__(self, positions: NDArray[np.float64]) -> None:
        self.lamps = {
            index + 1: Lamp((x, y, z), _INTENSITY, STREET_GROUP, _COLOUR, False)
            for index, (x, y, z) in enumerate(positions.tolist())
        }
        self.cycle = True

    def follow_sun(self, altitude: float) -> None:
        """Switch all lamps by the sun's altitude in degrees, if the cycle is on."""
        if self.cycle:
            self.lamps = {number: lamp._replace(on=altitude < 0.0) for number, lamp in self.lamps.items()}

    def change(self, number: int, lamp: Lamp) -> None:
        """Take over the state of one lamp, but not its place; unknown numbers change nothing."""
        known = self.lamps.get(number)
        if known is not None:
            self.lamps[number] = lamp._replace(location=known.location)
