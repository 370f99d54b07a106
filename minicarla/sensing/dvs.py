"""The event camera: brightness changes of single pixels, with the time at which they happened.

Between two pictures every pixel's (logarithmic) brightness is taken to change linearly; each time it has moved on by a
threshold, an event is given (Rebecq, Gehrig, Scaramuzza: ESIM, CoRL 2018, as CARLA documents).
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.sensing.cameras import COLOUR_ATTRIBUTES, RgbCamera
from minicarla.sensing.compiling import BARE
from minicarla.sensing.sensor import Attribute
from minicarla.sensing.view import Mount, View

EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "<u1")])
"""Column, row, time [ns] and polarity (1 brighter, 0 darker) of an event; 13 bytes."""

MAX_EVENTS = 1_000_000
"""Events in one message; the latest beyond that are dropped."""

SMALLEST_THRESHOLD = 0.01
_STILL = 1e-6


@njit(**BARE)
def find_events(now, then, reference, last, rising, falling, start, elapsed, refractory, events):
    """Write the events of all pixels, row by row, as far as they fit; returns how many there are.

    Args:
        now, then: float64 (H, W), brightness at the end and the beginning.
        reference: float64 (H, W), brightness at the last threshold each pixel crossed; updated.
        last: int64 (H, W) [ns], time of its last event, -1 for none; updated.
        rising, falling: float64 (H, W), thresholds.
        start, elapsed: [ns] of the beginning, and from there to the end.
        refractory: [ns] after an event during which a pixel gives no other.
        events: structured array of `EVENT`.
    """
    count = 0
    height, width = now.shape
    for y in range(height):
        for x in range(width):
            change = now[y, x] - then[y, x]
            if abs(change) < _STILL:
                continue
            step = rising[y, x] if change > 0.0 else -falling[y, x]
            level = reference[y, x] + step
            while (change > 0.0 and level <= now[y, x]) or (change < 0.0 and level >= now[y, x]):
                share = (level - then[y, x]) / change
                if share > 0.0:
                    time = start + int(share * elapsed)
                    if last[y, x] < 0 or time - last[y, x] >= refractory:
                        if count < len(events):
                            event = events[count]
                            event["x"], event["y"], event["t"] = x, y, time
                            event["pol"] = 1 if change > 0.0 else 0
                        count += 1
                        last[y, x] = time
                    reference[y, x] = level
                level += step
    return count


class DvsCamera(RgbCamera):
    """Events since the last capture, in the order of time; the first capture has none."""

    type_id = "sensor.camera.dvs"
    stream_type = 3
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        **COLOUR_ATTRIBUTES,
        "positive_threshold": Attribute(0.3, SMALLEST_THRESHOLD, 255.0),
        "negative_threshold": Attribute(0.3, SMALLEST_THRESHOLD, 255.0),
        "sigma_positive_threshold": Attribute(0.0, 0.0, 1.0),
        "sigma_negative_threshold": Attribute(0.0, 0.0, 1.0),
        "refractory_period_ns": Attribute(0, 0, 1e12),
        "use_log": Attribute(True),
        "log_eps": Attribute(0.001, 1e-9, 1.0),
    }

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self._then: NDArray[np.float64] | None = None
        self._time = 0
        self._reference = np.zeros((self.height, self.width))
        self._last = np.full((self.height, self.width), -1, np.int64)
        self._events = np.zeros(4096, EVENT)

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: header, then the events; nothing at all without events."""
        events = self.events(view, mount)
        return (self._header + events.tobytes(),) if len(events) else ()

    def blank(self) -> tuple[bytes, ...]:
        """Nothing: where nothing is drawn, nothing changes."""
        return ()

    def events(self, view: View, mount: Mount) -> NDArray[np.void]:
        """The events since the last capture: structured array of `EVENT`."""
        now = self._brightness(self.picture(view, mount))
        time = round(view.time * 1e9)
        then, start = self._then, self._time
        self._then, self._time = now, time
        if then is None:
            self._reference[:] = now
            return self._events[:0]
        saved = self._reference.copy(), self._last.copy()
        thresholds = self._thresholds("positive"), self._thresholds("negative")
        refractory = int(self.number("refractory_period_ns"))
        while True:
            count = find_events(
                now, then, self._reference, self._last, *thresholds, start, time - start, refractory, self._events
            )
            if count <= len(self._events) or len(self._events) >= MAX_EVENTS:
                break
            self._events = np.zeros(min(2 * count, MAX_EVENTS), EVENT)
            self._reference[:], self._last[:] = saved
        found = self._events[: min(count, MAX_EVENTS)]
        return found[np.argsort(found["t"], kind="stable")]

    def _brightness(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Grey 0..255, or the logarithm of 0..1, as the thresholds are meant."""
        grey = picture[..., :3] @ np.array([0.114, 0.587, 0.299])
        return np.log(self.number("log_eps") + grey / 255.0) if self.values["use_log"] else grey

    def _thresholds(self, sign: str) -> NDArray[np.float64]:
        shape = (self.height, self.width)
        mean, sigma = self.number(f"{sign}_threshold"), self.number(f"sigma_{sign}_threshold")
        if sigma == 0.0:
            return np.full(shape, mean)
        return np.maximum(mean + sigma * self.random.standard_normal(shape), SMALLEST_THRESHOLD)


def compile_kernels() -> None:
    """Compile `find_events`, or read it from its cache."""
    still = np.zeros((1, 1))
    find_events(still, still, still, np.zeros((1, 1), np.int64), still, still, 0, 1, 0, np.zeros(1, EVENT))
