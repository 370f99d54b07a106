"""Keeps the drivers of a simulation, and has them drive before each tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicarla.kernels.calls import DirectCall
from minicarla.physics.state import Integers, Rows
from minicarla.town.lane_graph import LaneGraph, build_lane_graph
from minicarla.world.autopilot.driver import DRIVER
from minicarla.world.autopilot.driving import drive
from minicarla.world.autopilot.manners import Manners, write_manners

if TYPE_CHECKING:
    from minicarla.town import Town
    from minicarla.world.actors import Actor
    from minicarla.world.simulation import Simulation

_STUCK, _BETWEEN_ENDS = 90.0, 10.0  # [s]


class Autopilot:
    """Drives vehicles of a simulation, which it observes.

    Args:
        simulation: It has the vehicles.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._drive = DirectCall(drive)
        self._town: Town | None = None
        self._graph: LaneGraph
        self.episode_ends()

    def take(self, actors: Sequence[Actor], seed: int, manners: Sequence[Manners]) -> None:
        """Drive these vehicles from now on, and no others.

        Args:
            actors: The vehicles.
            seed: Of their turns, and of all else that they do at random.
            manners: Of each of them.
        """
        self._actors = list(actors)
        town = self._simulation.full_town if actors else self._town
        if town is not None and town is not self._town:
            self._town, self._graph = town, build_lane_graph(town.opendrive, town.signals)
        self._table: Rows | None = None
        self._rows: Integers = np.zeros(0, np.int64)
        self._drivers = np.zeros(len(actors), DRIVER)
        self._drivers["lane"] = -1
        self._drivers["since_change"] = np.inf
        write_manners(self._drivers, manners)
        self._drivers["random"] = np.random.default_rng(seed).integers(1, 2**63, len(actors), np.uint64)
        self._next_end = 0.0

    def before_tick(self, dt: float) -> None:
        """Set pedals and wheels of the vehicles."""
        if not self._actors:
            return
        self._forget_ended()
        episode = self._simulation.episode
        vehicles = episode.vehicles
        bodies = (vehicles.rows, vehicles.companion, episode.walkers.rows, episode.lights.rows)
        self._drive((self._graph, self._drivers, self._rows, *bodies), dt)

    def _forget_ended(self) -> None:
        """Drop vehicles that have ended, and find the rows of the others, which change with them."""
        vehicles = self._simulation.episode.vehicles
        if self._table is vehicles.rows:  # a new view after every change
            return
        living = np.array([actor.row >= 0 for actor in self._actors], bool)
        self._actors = [actor for actor in self._actors if actor.row >= 0]
        self._drivers = self._drivers[living]
        self._rows = np.array([actor.row for actor in self._actors], np.int64)
        self._table = vehicles.rows

    def after_tick(self) -> None:
        """Remove the vehicle that has stood longest, if it is stuck, as the Traffic Manager does."""
        elapsed = self._simulation.episode.elapsed
        if not self._actors or elapsed < self._next_end:
            return
        longest = int(self._drivers["standing"].argmax())
        self._next_end = elapsed + 1.0
        if self._drivers["standing"][longest] > _STUCK:
            self._simulation.destroy(self._actors[longest])
            self._next_end = elapsed + _BETWEEN_ENDS

    def episode_ends(self) -> None:
        """Forget all vehicles."""
        self.take([], seed=0, manners=[])
