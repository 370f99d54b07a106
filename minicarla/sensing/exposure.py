"""Exposure, white balance and tone curve of a camera, as one table from linear light to bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.pictures import TABLE, TABLE_RANGE
from minicarla.sensing.sensor import Attribute, Value
from minicarla.sensing.weather import Light

ATTRIBUTES: dict[str, Attribute] = {
    "exposure_mode": Attribute("histogram", choices=("histogram", "manual")),
    "exposure_compensation": Attribute(0.0, -15.0, 15.0),
    "exposure_min_bright": Attribute(10.0, -20.0, 30.0),
    "exposure_max_bright": Attribute(12.0, -20.0, 30.0),
    "exposure_speed_up": Attribute(3.0, 0.0, 1000.0),
    "exposure_speed_down": Attribute(1.0, 0.0, 1000.0),
    "calibration_constant": Attribute(16.0, 0.01, 1000.0),
    "shutter_speed": Attribute(200.0, 0.01, 1e6),
    "iso": Attribute(100.0, 0.1, 1e7),
    "fstop": Attribute(1.4, 0.1, 256.0),
    "gamma": Attribute(2.2, 0.1, 20.0),
    "slope": Attribute(0.88, 0.01, 10.0),
    "toe": Attribute(0.55, 0.0, 1.0),
    "shoulder": Attribute(0.26, 0.0, 1.0),
    "black_clip": Attribute(0.0, 0.0, 1.0),
    "white_clip": Attribute(0.04, 0.0, 1.0),
    "temp": Attribute(6500.0, 500.0, 50000.0),
    "tint": Attribute(0.0, -1.0, 1.0),
    "enable_postprocess_effects": Attribute(True),
}
"""Attributes of CARLA's RGB camera that act on brightness and colour."""

NOON_BRIGHTNESS = 11.0
"""[EV100] How bright a clear noon counts against `exposure_min_bright` and `exposure_max_bright`."""

_DEFAULTS = {name: spec.default for name, spec in ATTRIBUTES.items()}


class Exposure:
    """Keeps a camera's adaptation to the light and its table.

    With `exposure_mode` "histogram" the camera adapts to the light of the weather, within the two limits and at the
    two speeds (stops a second); with "manual" the exposure follows shutter, aperture and film speed alone. At their
    defaults, both show a clear noon alike. Without `enable_postprocess_effects` nothing adapts, and the curve is
    straight.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        effects = bool(values["enable_postprocess_effects"])
        self._values = dict(values) if effects else {**values, **_DEFAULTS, "exposure_mode": "manual"}
        self._is_film = effects
        self._numbers = {name: float(self._values[name]) for name in ATTRIBUTES if name != "exposure_mode"}
        self._light: Light | None = None
        self._wanted = 0.0
        self._brightness: float | None = None
        self._last_time = 0.0
        self._gain = math.nan
        self._table = np.zeros((3, TABLE), np.uint8)

    def table(self, light: Light, time: float) -> NDArray[np.uint8]:
        """Table uint8 (3, pictures.TABLE) for a picture taken at `time` [s]."""
        gain = round(self._stops(light, time) * 64.0) / 64.0
        if gain != self._gain:
            self._gain = gain
            self._table = tone_table(self._values, 2.0**gain, self._is_film)
        return self._table

    def _stops(self, light: Light, time: float) -> float:
        value = self._numbers
        if self._values["exposure_mode"] == "manual":
            return value["exposure_compensation"] - math.log2(
                value["fstop"] ** 2 * value["shutter_speed"] / value["iso"] / (1.4**2 * 200.0 / 100.0)
            )
        if light is not self._light:
            self._light, self._wanted = light, self._brightness_of(light)
        wanted = self._wanted
        if self._brightness is not None:
            elapsed = max(time - self._last_time, 0.0)
            change = wanted - self._brightness
            limit = elapsed * value["exposure_speed_up" if change > 0.0 else "exposure_speed_down"]
            wanted = self._brightness + min(max(change, -limit), limit)
        self._brightness, self._last_time = wanted, time
        return (
            NOON_BRIGHTNESS - wanted + value["exposure_compensation"] - math.log2(value["calibration_constant"] / 16.0)
        )

    def _brightness_of(self, light: Light) -> float:
        """[EV100] What the camera adapts to."""
        lowest = self._numbers["exposure_min_bright"]
        power = float(light.sky_colour.mean() + 0.5 * light.sun_colour.mean() * max(light.sun[2], 0.0))
        brightness = NOON_BRIGHTNESS + 0.75 * math.log2(max(power, 1e-4) / 1.1)
        return min(max(brightness, lowest), max(lowest, self._numbers["exposure_max_bright"]))


def tone_table(values: Mapping[str, Value], gain: float, is_film: bool = True) -> NDArray[np.uint8]:
    """Bytes uint8 (3, TABLE) of red, green and blue for linear light 0..TABLE_RANGE times `gain`.

    Light is compressed towards white by x / (1 + x^p)^(1/p), so that mid tones stay linear; slope, toe, shoulder and
    clips bend that curve away from their defaults, as Unreal's film curve does. What is no film cuts off at white.
    """
    value = {name: float(found) for name, found in values.items() if not isinstance(found, str)}
    light = (np.arange(TABLE) + 0.5) / TABLE * TABLE_RANGE * gain
    warm = math.log2(value["temp"] / 6500.0)
    balance = (1.0 + 0.22 * warm, 1.0 - 0.18 * value["tint"], 1.0 - 0.28 * warm)
    power = 1.6 * 2.0 ** ((0.26 - value["shoulder"]) * 2.0)
    table = np.empty((3, TABLE), np.uint8)
    for channel, factor in enumerate(balance):
        x = light * max(factor, 0.05)
        x = x / (1.0 + x**power) ** (1.0 / power) if is_film else np.minimum(x, 1.0)
        x = 0.18 * (np.maximum(x, 1e-9) / 0.18) ** (value["slope"] / 0.88)
        x = x - (value["toe"] - 0.55) * 0.12 * np.exp(-x * 8.0)
        x = (x - value["black_clip"]) * (1.0 + value["white_clip"] - 0.04)
        srgb = np.clip(x, 0.0, 1.0)
        srgb = np.where(srgb < 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1.0 / 2.4) - 0.055)
        table[channel] = np.clip(srgb ** (2.2 / value["gamma"]) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return table
