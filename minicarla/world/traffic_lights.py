"""Traffic lights in time.

As in CARLA the lights of a junction are a group whose phases (OpenDRIVE controllers) take turns: green, yellow, red,
and when the red time has passed the next phase becomes green. All other phases are red meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.calls import DirectCall
from minicarla.physics.kernels import bare_entry
from minicarla.physics.state import Rows
from minicarla.town.town import Signal

RED, YELLOW, GREEN, OFF, UNKNOWN = range(5)
"""CARLA's TrafficLightState."""

GREEN_TIME, YELLOW_TIME, RED_TIME = 10.0, 3.0, 2.0
"""[s] CARLA's default times; red is the time until the next phase becomes green."""


LIGHT = np.dtype(
    [
        ("state", np.uint8),
        ("frozen", np.uint8),
        ("green", np.float32),
        ("yellow", np.float32),
        ("red", np.float32),
        ("elapsed", np.float32),
    ],
    align=True,
)
"""A traffic light: CARLA's state, the times of its phase [s] and the time [s] since it took its state."""


class TrafficLights:
    """The traffic lights of a town.

    Attributes:
        rows: structured array `LIGHT`, one row for each traffic light, in the order of the town's signals.
        group: int32 (rows,), index of the group that a light switches with.
        phase: int32 (rows,), its turn within the group.
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        lights = [signal for signal in signals if signal.is_traffic_light]
        self.group = np.array([light.group for light in lights], np.int32)
        self.phase = np.array([light.controller for light in lights], np.int32)
        self.rows = np.zeros(len(lights), LIGHT)
        groups = int(self.group.max(initial=-1)) + 1
        self._members = np.argsort(self.group, kind="stable").astype(np.int32)
        self._starts = np.zeros(groups + 1, np.int32)
        self._starts[1:] = np.cumsum(np.bincount(self.group, minlength=groups))
        phases = [self.phase[self._group_rows(group)].max(initial=0) + 1 for group in range(groups)]
        self._cycle = np.zeros(groups, _CYCLE)
        self._cycle["phases"] = phases
        self._advance = DirectCall(_advance)
        self._shown = False
        self.restore()

    def restore(self) -> None:
        """Back to how the lights are when an episode begins: default times, nothing frozen, first phases green."""
        self.rows["green"], self.rows["yellow"], self.rows["red"] = GREEN_TIME, YELLOW_TIME, RED_TIME
        self.freeze_all(False)
        self.reset_all()

    def tick(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        if self._shown:
            return
        self._advance((self.rows, self._members, self._starts, self.phase, self._cycle), float(dt))

    def group_rows(self, row: int) -> list[int]:
        """Rows of all lights that switch together with this one, itself included."""
        return [int(member) for member in self._group_rows(int(self.group[row]))]

    def set_state(self, row: int, state: int) -> None:
        """Show a state on one light until its phase changes next (for good if frozen)."""
        self.rows["state"][row] = state
        self.rows["elapsed"][row] = 0.0

    def show(self, state: NDArray[np.uint8], frozen: NDArray[np.uint8], elapsed: NDArray[np.float32]) -> None:
        """Show what was recorded of all lights; their cycles stand until `resume`."""
        self.rows["state"], self.rows["frozen"], self.rows["elapsed"] = state, frozen, elapsed
        self._shown = True

    def resume(self) -> None:
        """Let the cycles go on from what the lights show now."""
        if not self._shown:
            return
        self._shown = False
        for group, cycle in enumerate(self._cycle):
            members = self._group_rows(group)
            if not len(members):
                continue
            rows = self.rows[members]
            open_ones = np.isin(rows["state"], (GREEN, YELLOW))
            # Of lights that are all red, the one whose turn has just passed became so last.
            last = int(np.argmax(open_ones)) if open_ones.any() else int(np.argmin(rows["elapsed"]))
            cycle["active"], cycle["timer"] = self.phase[members[last]], rows["elapsed"][last]
            cycle["stage"] = rows["state"][last] if open_ones.any() else RED
            cycle["frozen"] = rows["frozen"].any()

    def set_green_time(self, row: int, seconds: float) -> None:
        """Set the green time of the light's phase [s]."""
        self.rows["green"][self._same_phase(row)] = max(seconds, 0.0)

    def set_yellow_time(self, row: int, seconds: float) -> None:
        """Set the yellow time of the light's phase [s]."""
        self.rows["yellow"][self._same_phase(row)] = max(seconds, 0.0)

    def set_red_time(self, row: int, seconds: float) -> None:
        """Set the red time of the light's phase [s]: from its yellow to the next phase's green."""
        self.rows["red"][self._same_phase(row)] = max(seconds, 0.0)

    def freeze(self, row: int, frozen: bool) -> None:
        """Stop the cycle of the light's group, or let it go on."""
        group = int(self.group[row])
        self._cycle["frozen"][group] = frozen
        self.rows["frozen"][self._group_rows(group)] = frozen

    def freeze_all(self, frozen: bool) -> None:
        """Stop all cycles, or let them go on."""
        self._cycle["frozen"] = frozen
        self.rows["frozen"] = frozen

    def reset_group(self, row: int) -> None:
        """Begin the cycle of the light's group anew."""
        self._reset(int(self.group[row]))

    def reset_all(self) -> None:
        """Begin all cycles anew."""
        for group in range(len(self._cycle)):
            self._reset(group)

    def _reset(self, group: int) -> None:
        members = self._group_rows(group)
        self._cycle["active"][group], self._cycle["stage"][group], self._cycle["timer"][group] = 0, GREEN, 0.0
        self.rows["state"][members] = np.where(self.phase[members] == 0, GREEN, RED)
        self.rows["elapsed"][members] = 0.0

    def _group_rows(self, group: int) -> NDArray[np.int32]:
        return self._members[self._starts[group] : self._starts[group + 1]]

    def _same_phase(self, row: int) -> NDArray[np.bool_]:
        return np.asarray((self.group == self.group[row]) & (self.phase == self.phase[row]))


_CYCLE = np.dtype(
    [("phases", np.int32), ("active", np.int32), ("stage", np.uint8), ("frozen", np.uint8), ("timer", np.float64)],
    align=True,
)


@bare_entry
def _advance(
    rows: Rows,
    members: NDArray[np.int32],
    starts: NDArray[np.int32],
    phase: NDArray[np.int32],
    cycles: Rows,
    dt: float,
) -> None:
    for row in range(rows.shape[0]):
        rows[row].elapsed += dt
    for group in range(cycles.shape[0]):
        cycle = cycles[group]
        if cycle.frozen:
            continue
        cycle.timer += dt
        # A long tick may pass several stages; times of zero must not keep it here for ever.
        for _ in range(3 * cycle.phases):
            limit = 0.0
            for k in range(starts[group], starts[group + 1]):
                row = members[k]
                if phase[row] == cycle.active:
                    if cycle.stage == GREEN:
                        limit = rows[row].green
                    elif cycle.stage == YELLOW:
                        limit = rows[row].yellow
                    else:
                        limit = rows[row].red
                    break
            if cycle.timer < limit - 1e-9:
                break
            cycle.timer = max(0.0, cycle.timer - limit)
            if cycle.stage == RED:
                cycle.stage = GREEN
                cycle.active = (cycle.active + 1) % cycle.phases
            else:
                cycle.stage -= 1
            for k in range(starts[group], starts[group + 1]):
                row = members[k]
                if phase[row] == cycle.active:
                    rows[row].state = cycle.stage
                    rows[row].elapsed = cycle.timer
