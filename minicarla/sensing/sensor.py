"""The base of all sensors: attributes checked once, bodies captured every due tick."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from minicarla.sensing.view import Mount, View

logger = logging.getLogger(__name__)

Value = bool | int | float | str


class SensorError(ValueError):
    """A sensor was asked for something it cannot do; the text says what is allowed."""


class Attribute(NamedTuple):
    """One blueprint attribute of a sensor.

    Attributes:
        default: value when the blueprint does not set it; its type is the attribute's type.
        low, high: smallest and largest number allowed.
        choices: for texts, the words allowed (empty: any).
    """

    default: Value
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


SENSOR_TICK = {"sensor_tick": Attribute(0.0, 0.0)}
NOISE_SEED = {"noise_seed": Attribute(0)}
_PASSIVE = {"role_name", "ros_name", "object_type", "size"}
BOOLEAN_TEXTS = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}
"""How a client may write a truth value, in upper or lower case."""


class Sensor:
    """A sensor of one actor.

    Args:
        attributes: blueprint attributes as the client sent them, all texts.
        seed: of everything random in it; with the same seed and the same world it sends the same bytes.

    Attributes:
        ignored: ids of the actors through which its rays pass, if it sends any.

    Raises:
        SensorError: an attribute is unknown, malformed or out of range.
    """

    type_id: ClassVar[str]
    stream_type: ClassVar[int]
    sends_rays: ClassVar[bool] = False
    tells_events: ClassVar[bool] = False  # it speaks when something happens, and none of that may be missed
    transmits: ClassVar[bool] = False  # it has a radio
    needs_contact: ClassVar[bool] = False  # it has nothing to say of ticks in which no bodies touched
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {}

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        self.values = self._read(attributes)
        noise_seed = self.values.get("noise_seed", 0)
        self.ignored: frozenset[int] = frozenset()
        self._last_time: float | None = None
        self.random = np.random.Generator(np.random.SFC64([seed % 2**63, int(noise_seed) % 2**63]))

    @property
    def interval(self) -> float:
        """[s] Simulated time between captures (`sensor_tick`); 0 for every tick."""
        return float(self.values.get("sensor_tick", 0.0))

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Perceive the world.

        Returns:
            Bodies of the messages to send, each of which follows the 48-byte sensor header; often one, for
            event sensors none or several.
        """
        raise NotImplementedError

    def blank(self) -> tuple[bytes, ...]:
        """What it sends while nothing is rendered (`no_rendering_mode`)."""
        return ()

    def transmit(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """What it sends by radio, before the physics of a tick in which it is due; see `Transmission`."""
        return ()

    @property
    def power(self) -> float:
        """[dBm] With which it sends."""
        return 0.0

    def elapsed(self, view: View) -> float:
        """[s] Since the last capture; call it once a capture.

        A sensor that was not asked for a while, because nobody listened, takes up its work as if it had just begun.
        """
        last, self._last_time = self._last_time, view.time
        if last is None or not 0.0 <= view.time - last <= self.interval + view.dt + 1e-6:
            return view.dt
        # Whole ticks where they are all alike: the difference of two late times has lost digits that early ones have.
        ticks = round((view.time - last) / view.dt) if view.dt > 0.0 else 0
        return ticks * view.dt if abs(view.time - last - ticks * view.dt) < 1e-6 else view.time - last

    def number(self, name: str) -> float:
        """The value of a numeric attribute."""
        return float(self.values[name])

    @classmethod
    def _read(cls, attributes: Mapping[str, str]) -> dict[str, Value]:
        values: dict[str, Value] = {name: spec.default for name, spec in cls.ATTRIBUTES.items()}
        for name, text in attributes.items():
            if name in _PASSIVE:
                continue
            spec = cls.ATTRIBUTES.get(name)
            if spec is None:
                near = difflib.get_close_matches(name, cls.ATTRIBUTES, 1)
                hint = f"; did you mean '{near[0]}'?" if near else "; it has none" if not cls.ATTRIBUTES else "."
                raise SensorError(f"{cls.type_id} has no attribute '{name}'{hint}")
            values[name] = cls._value(name, text, spec)
        return values

    @classmethod
    def _value(cls, name: str, text: str, spec: Attribute) -> Value:
        where = f"{cls.type_id}: attribute '{name}' is '{text}'"
        value = _parse(str(text), spec.default, where)
        if isinstance(value, str):
            if spec.choices and value.lower() not in spec.choices:
                raise SensorError(f"{where}, allowed are {', '.join(spec.choices)}.")
            return value.lower() if spec.choices else value
        if not spec.low <= value <= spec.high:
            raise SensorError(f"{where}, allowed is {_range(spec)}.")
        return value


def _parse(text: str, default: Value, where: str) -> Value:
    """Turn the client's text into the type of `default`."""
    text = text.strip()
    if isinstance(default, bool):
        if text.lower() in BOOLEAN_TEXTS:
            return BOOLEAN_TEXTS[text.lower()]
        raise SensorError(f"{where}, which is neither true nor false.")
    if isinstance(default, str):
        return text
    try:
        number = float(text)
    except ValueError:
        raise SensorError(f"{where}, which is not a number.") from None
    if not math.isfinite(number):
        raise SensorError(f"{where}; it has to be finite.")
    # As in CARLA, where programs set 64 channels as "64.0" and ask for half of 321 pixels.
    return int(number) if isinstance(default, int) else number


def _range(spec: Attribute) -> str:
    if spec.high == math.inf:
        return f"{spec.low:g} and more"
    if spec.low == -math.inf:
        return f"{spec.high:g} and less"
    return f"{spec.low:g} to {spec.high:g}"
