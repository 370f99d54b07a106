"""Sleep of the vehicles and walkers of large maps that are far from every hero.

CARLA's large maps hold their actors in memory only near the heroes: vehicles whose `role_name` says so or, without
any, the spectator. The others are dormant: listed, but moved by nobody except who places them, and a Traffic Manager
may put them back on the road near the hero.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from minicarla.world.actors import Actor, Table
from minicarla.world.episode import Episode
from minicarla.world.settings import EpisodeSettings

logger = logging.getLogger(__name__)

LARGE_MAPS = frozenset({"Town11", "Town12", "Town13"})
"""Those that CARLA builds of tiles."""
_HEROES = ("hero", "ego_vehicle")


class Dormancy:
    """Puts the actors of one episode to sleep and wakes them.

    Args:
        episode: The episode.
        spectator: Its spectator.
    """

    def __init__(self, episode: Episode, spectator: Actor) -> None:
        self._episode = episode
        self._spectator = spectator
        self._heroes: list[Actor] = []
        self._rows_of_heroes = episode.vehicles.rows
        self._was_told = False

    def update(self, settings: EpisodeSettings) -> None:
        """Let sleep who is farther than the active distance from all heroes, and only those."""
        episode = self._episode
        if self._rows_of_heroes is not episode.vehicles.rows:  # as they are until a vehicle comes or goes
            self._rows_of_heroes = episode.vehicles.rows
            self._heroes = [actor for actor in episode.vehicles.actors if _is_hero(actor)]
        centres = self._centres(settings)
        for table in (episode.vehicles, episode.walkers):
            if len(table):
                self._update_table(table, _are_far(table, centres, settings.actor_active_distance))

    def _centres(self, settings: EpisodeSettings) -> NDArray[np.float64]:
        heroes = self._heroes or ([self._spectator] if settings.spectator_as_ego else [])
        return np.array([self._episode.pose(hero)[0] for hero in heroes]).reshape(-1, 3)

    def _update_table(self, table: Table, far: NDArray[np.bool_]) -> None:
        for actor, is_far in zip(table.actors, far.tolist()):
            if actor.dormant != is_far:
                self._put(actor, is_far)

    def _put(self, actor: Actor, to_sleep: bool) -> None:
        row = self._episode.row(actor)
        if to_sleep:
            actor.wakes_with_physics = bool(row["physics"])
        actor.dormant = to_sleep
        row["physics"], row["asleep"] = not to_sleep and actor.wakes_with_physics, 0
        for name in ("vx", "vy", "vz", "wx", "wy", "wz") if to_sleep else ():
            row[name] = 0.0
        self._episode.changed = True
        if to_sleep and not self._was_told:
            self._was_told = True
            logger.info(
                "this is a large map: vehicles and walkers farther than actor_active_distance from every vehicle with"
                " the role_name hero (without one: from the spectator, if spectator_as_ego is set) are dormant"
            )


def _is_hero(actor: Actor) -> bool:
    role = actor.attributes.get("role_name", "")
    return any(word in role for word in _HEROES)


def _are_far(table: Table, centres: NDArray[np.float64], distance: float) -> NDArray[np.bool_]:
    """Which rows are out of reach of all centres; none if there are no centres."""
    if not len(centres):
        return np.zeros(len(table), bool)
    rows = table.rows
    places = np.stack((rows["x"], rows["y"], rows["z"]), axis=1)
    squares = ((places[:, None, :] - centres) ** 2).sum(axis=2)
    return squares.min(axis=1) > distance * distance
