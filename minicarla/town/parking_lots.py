"""Parking lots of CARLA's towns, which their OpenDRIVE texts leave out: paved ground, kept free, with painted slots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicarla.physics.ground import Surface, ground_at
from minicarla.town.markings import ABOVE_ROAD
from minicarla.town.mesh import Array

SLOT_LENGTH, LINE_WIDTH = 5.6, 0.12
"""[m] Of a slot and of the lines beside it."""


@dataclass(frozen=True)
class ParkingLot:
    """Rows of slots side by side; the slots lie along x.

    Attributes:
        rows: [m] x of the middle of each row.
        first, spacing, slots: [m] y of the first slot, from one to the next, and how many a row has.
        margin: [m] how far the pavement goes on beyond the slots, as far as there is no lane.
    """

    rows: tuple[float, ...]
    first: float
    spacing: float
    slots: int
    margin: float = 4.0

    @property
    def area(self) -> tuple[float, float, float, float]:
        """[m] Low x and y, high x and y of the pavement."""
        y = sorted((self.first, self.first + self.spacing * (self.slots - 1)))
        x = min(self.rows) - 0.5 * SLOT_LENGTH, max(self.rows) + 0.5 * SLOT_LENGTH
        return x[0] - self.margin, y[0] - self.margin, x[1] + self.margin, y[1] + self.margin

    def lines(self, surface: Surface) -> Array:
        """The painted lines, as quadrilaterals (n, 4, 3) on the ground."""
        quads = []
        for row in self.rows:
            for number in range(self.slots + 1):
                y = self.first + self.spacing * (number - 0.5)
                x = row - 0.5 * SLOT_LENGTH, row + 0.5 * SLOT_LENGTH
                corners = [(x[0], y), (x[1], y), (x[1], y + LINE_WIDTH), (x[0], y + LINE_WIDTH)]
                quads.append([(a, b, ground_at(surface, a, b, 1e4)[0] + ABOVE_ROAD) for a, b in corners])
        return np.array(quads)


PARKING_LOTS: dict[str, tuple[ParkingLot, ...]] = {
    "Town04": (ParkingLot((272.5, 280.0, 290.9, 298.5), -235.73, 3.17, 16, 8.0),),
    "Town05": (ParkingLot((-29.2, -23.0, -13.0, -6.8, 3.2, 9.4), -18.8, -2.8, 10),),
}
