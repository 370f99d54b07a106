"""How much of a radio signal arrives: the path loss models of CARLA's V2X sensors.

Sources: ETSI TR 103 257-1 (the WINNER+ model and its shadow fading), and the free-space, log-distance, two-ray and
knife-edge formulas (Rappaport, Wireless Communications, chapter 4). Powers are in dBm, losses and gains in dB.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import NamedTuple

from minicarla.sensing.sensor import Value

SPEED_OF_LIGHT = 299_792_458.0  # [m/s]
GROUND_PERMITTIVITY = 1.02
"""Relative permittivity of the ground, of which the two-ray model reflects."""

_NEAREST = 0.01
"""[m] Antennas nearer than this count as so far apart: all models go to infinity at no distance."""


class Path(enum.Enum):
    """What is between two antennas."""

    FREE = "LOS"
    BUILDING = "NLOSb"
    VEHICLE = "NLOSv"


SHADOW_FADING = {
    (Path.FREE, "highway"): 3.3, (Path.FREE, "rural"): 4.25, (Path.FREE, "urban"): 5.2,
    (Path.BUILDING, "highway"): 6.8, (Path.BUILDING, "rural"): 6.8, (Path.BUILDING, "urban"): 6.8,
    (Path.VEHICLE, "highway"): 3.8, (Path.VEHICLE, "rural"): 4.55, (Path.VEHICLE, "urban"): 5.3,
}  # fmt: skip
"""[dB] Standard deviations; ETSI has none for rural roads, CARLA takes the mean of its neighbours."""


class Obstacle(NamedTuple):
    """A vehicle between two antennas.

    Attributes:
        from_sender, to_receiver: [m] horizontal distances.
        height: [m] of its roof, over the lower one of the two stations.
    """

    from_sender: float
    to_receiver: float
    height: float


class Link(NamedTuple):
    """Where the signal goes.

    Attributes:
        distance: [m] between the antennas.
        sender_height, receiver_height: [m] of the antennas, over the lower one of the two stations.
        path: What is between them.
        vehicles: Those between them.
    """

    distance: float
    sender_height: float
    receiver_height: float
    path: Path
    vehicles: tuple[Obstacle, ...] = ()


class Propagation:
    """The radio of one V2X sensor.

    Args:
        values: Its attributes: CARLA's names.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        def number(name: str) -> float:
            return float(values[name])

        self.transmit_power = number("transmit_power")
        self.reach = number("filter_distance")
        self._sensitivity = number("receiver_sensitivity")
        self._gain = number("combined_antenna_gain")
        self._gigahertz = number("frequency_ghz")
        self._wavelength = SPEED_OF_LIGHT / (1e9 * self._gigahertz)
        self._scenario = str(values["scenario"])
        self._is_winner = values["path_loss_model"] == "winner"
        self._exponent = number("path_loss_exponent")
        self._reference = number("d_ref")
        self._fading = None if values["use_etsi_fading"] else number("custom_fading_stddev")

    def received(self, power: float, link: Link, deviate: float) -> float | None:
        """Power of a signal at the receiver [dBm], None if it is too weak to be heard.

        Args:
            power: [dBm] of the sender.
            link: Where it goes.
            deviate: Standard normal number, from which the shadow fading is made.
        """
        arriving = power + self._gain - self.loss(link) - deviate * self._deviation(link.path)
        return arriving if arriving >= self._sensitivity else None

    def loss(self, link: Link) -> float:
        """Path loss without shadow fading [dB]."""
        distance = max(link.distance, _NEAREST)
        behind_vehicles = self._behind_vehicles(link.vehicles) if link.path is Path.VEHICLE else 0.0
        if self._is_winner:
            return self._winner(distance, link.path) + behind_vehicles
        if link.path is Path.FREE:
            return self._two_rays(distance, link.sender_height, link.receiver_height)
        if link.path is Path.BUILDING:
            return self._free_space(self._reference) + 10.0 * self._exponent * math.log10(distance / self._reference)
        return self._free_space(distance) + behind_vehicles

    def _deviation(self, path: Path) -> float:
        return SHADOW_FADING[path, self._scenario] if self._fading is None else self._fading

    def _winner(self, distance: float, path: Path) -> float:
        """ETSI TR 103 257-1, table 5; rural roads as urban ones."""
        far, frequency = math.log10(distance), math.log10(self._gigahertz)
        if path is Path.BUILDING:
            return 36.85 + 30.0 * far + 18.9 * frequency
        if self._scenario == "highway":
            return 32.4 + 20.0 * far + 20.0 * frequency
        return 38.77 + 16.7 * far + 18.2 * frequency

    def _free_space(self, distance: float) -> float:
        return 20.0 * math.log10(4.0 * math.pi * distance / self._wavelength)

    def _two_rays(self, distance: float, sender: float, receiver: float) -> float:
        """The direct ray and the one that the ground reflects, with its phase."""
        ground = math.sqrt(max(distance**2 - (sender - receiver) ** 2, _NEAREST**2))
        reflected = math.sqrt(distance**2 + 4.0 * sender * receiver)
        sine, cosine = (sender + receiver) / reflected, ground / reflected
        bent = math.sqrt(GROUND_PERMITTIVITY - min(cosine, 1.0) ** 2)
        share = (sine - bent) / (sine + bent)
        phase = 2.0 * math.pi / self._wavelength * (distance - reflected)
        together = math.hypot(1.0 + share * math.cos(phase), share * math.sin(phase))
        return 20.0 * math.log10(4.0 * math.pi * ground / self._wavelength / max(together, 1e-9))

    def _behind_vehicles(self, vehicles: tuple[Obstacle, ...]) -> float:
        """Loss at the edge of the worst vehicle: knife-edge diffraction (ITU-R P.526).

        As in CARLA, the edge is as high over the line of sight as the vehicle is over the ground.
        """
        worst = 0.0
        for vehicle in vehicles:
            before, behind = max(vehicle.from_sender, _NEAREST), max(vehicle.to_receiver, _NEAREST)
            edge = vehicle.height * math.sqrt(2.0 * (before + behind) / (self._wavelength * before * behind))
            if edge >= -0.78:
                worst = max(worst, 6.9 + 20.0 * math.log10(math.sqrt((edge - 0.1) ** 2 + 1.0) + edge - 0.1))
        return worst
