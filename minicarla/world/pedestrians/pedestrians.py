"""Keeps the pedestrians of a simulation, and has them walk before each tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicarla.kernels.calls import DirectCall
from minicarla.physics.state import Integers, Rows
from minicarla.town.walk_mesh import WalkMesh, build_walk_mesh
from minicarla.world.pedestrians.pedestrian import PEDESTRIAN
from minicarla.world.pedestrians.walking import begin, walk
from minicarla.world.pedestrians.ways import Search, begin_search

if TYPE_CHECKING:
    from minicarla.town import Town
    from minicarla.world.actors import Actor
    from minicarla.world.simulation import Simulation

_ASIDE = 0.35  # of the width of a way, at most, that one walks beside its middle


class Pedestrians:
    """Walks walkers of a simulation, which it observes.

    Args:
        simulation: It has the walkers.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._begin, self._walk = DirectCall(begin), DirectCall(walk)
        self._town: Town | None = None
        self._mesh: WalkMesh
        self._search: Search
        self.episode_ends()

    def take(self, walkers: Sequence[tuple[Actor, float]], seed: int, crossing_share: float) -> bool:
        """Put walkers on random places of the sidewalks and walk them from now on, and no others.

        Args:
            walkers: Each with its speed [m/s].
            seed: Of places and ways.
            crossing_share: Of those that cross roads away from crossings, too.

        Returns:
            Whether the town has sidewalks; else the walkers stay where they are.
        """
        town = self._simulation.full_town if walkers else self._town
        if town is not None and town is not self._town:
            self._town, self._mesh = town, build_walk_mesh(town)
            self._search = begin_search(len(self._mesh.size))
        self._actors = [actor for actor, _ in walkers if len(self._mesh.share)]
        self._table: Rows | None = None
        self._rows: Integers = np.zeros(0, np.int64)
        count = len(self._actors)
        rng = np.random.default_rng(seed)
        self._pedestrians = np.zeros(count, PEDESTRIAN)
        self._pedestrians["ahead_count"] = -1
        self._pedestrians["random"] = rng.integers(1, 2**63, count, np.uint64)
        self._pedestrians["speed"] = [speed for _, speed in walkers[:count]]
        self._pedestrians["share"] = 0.5 + _ASIDE * rng.uniform(-1.0, 1.0, count)
        self._pedestrians["anywhere"] = rng.random(count) < crossing_share
        if count:
            self._find_rows()
            rows = self._simulation.episode.walkers.rows
            self._begin((self._mesh, self._pedestrians, self._rows, rows, self._simulation.episode.town.surface))
        return count == len(walkers)

    def before_tick(self, dt: float) -> None:
        """Place the walkers for the tick."""
        if not self._actors:
            return
        self._find_rows()
        episode = self._simulation.episode
        mine = (self._mesh, self._search, self._pedestrians, self._rows)
        bodies = (episode.walkers.rows, episode.vehicles.rows, episode.lights.rows)
        self._walk((*mine, *bodies, episode.town.surface), dt)

    def _find_rows(self) -> None:
        """Drop walkers that have ended, and find the rows of the others, which change with them."""
        walkers = self._simulation.episode.walkers
        if self._table is walkers.rows:  # a new view after every change
            return
        living = np.array([actor.row >= 0 for actor in self._actors], bool)
        self._actors = [actor for actor in self._actors if actor.row >= 0]
        self._pedestrians = self._pedestrians[living]
        self._rows = np.array([actor.row for actor in self._actors], np.int64)
        self._table = walkers.rows

    def after_tick(self) -> None:
        """Nothing: physics moves those who were knocked over."""

    def episode_ends(self) -> None:
        """Forget all walkers."""
        self.take([], seed=0, crossing_share=0.0)
