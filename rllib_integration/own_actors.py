"""The actors that one environment has in a world, so that none of them outlives it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import carla

from rllib_integration.config.merging import ConfigError, nearest_sentence
from rllib_integration.connection import Connection
from rllib_integration.sensors import SensorInterface
from rllib_integration.traffic.town_traffic import TownTraffic


class OwnActors:
    """Spawns what belongs to an episode, and knows all that is to be destroyed with its environment.

    Args:
        connection: The server, its client and the world.
        traffic: The traffic in it.

    Attributes:
        extras: Spawned for the episode, beside hero, sensors and traffic.
    """

    def __init__(self, connection: Connection, traffic: TownTraffic) -> None:
        self.extras: list[carla.Actor] = []
        self._connection = connection
        self._traffic = traffic
        self._orphans: dict[int, list[int]] = {}

    def ids(self, hero: carla.Actor | None, sensors: SensorInterface) -> list[int]:
        """Ids of the traffic, the extras, the sensors and the hero, each after what is attached to it."""
        of_carla = (getattr(sensor, "sensor", None) for sensor in sensors.sensors.values())
        attached = [actor.id for actor in of_carla if actor is not None]
        extras = [actor.id for actor in self.extras]
        return [*self._traffic.all_actors, *extras, *attached, *([hero.id] if hero is not None else [])]

    def note(self, hero: carla.Actor | None, sensors: SensorInterface) -> None:
        """Tell the server's handle which actors are ours, should this process be killed."""
        assert self._connection.world is not None
        self._connection.server.note_actors(self._connection.world.id, self.ids(hero, sensors))

    def spawn(self, type_id: str, pose: carla.Transform, **attributes: float | str) -> carla.Actor:
        """Do what `CarlaCore.spawn` does, but tell nobody of the actor: `note` has to follow."""
        connection = self._connection
        assert connection.world is not None
        assert connection.blueprints is not None
        try:
            blueprint = connection.blueprints.find(type_id)
        except IndexError:
            names = [known.id for known in connection.blueprints]
            raise ConfigError(f"There is no blueprint '{type_id}'. {nearest_sentence(type_id, names)}") from None
        for name, value in attributes.items():
            if not blueprint.has_attribute(name):
                raise ConfigError(f"{type_id} has no attribute '{name}'.")
            blueprint.set_attribute(name, str(value))
        actor = connection.call(connection.world.spawn_actor, blueprint, pose)
        self.extras.append(actor)
        return actor

    def remove(self, actor: carla.Actor) -> None:
        """Do what `CarlaCore.remove` does."""
        if actor in self.extras:
            self.extras.remove(actor)
            self._end([actor])

    def clear(self) -> bool:
        """Destroy the extras; return whether there were any.

        Raises:
            ServerError: The server failed.
        """
        extras, self.extras = self.extras, []
        if extras:
            self._end(extras)
        return bool(extras)

    def _end(self, actors: Sequence[carla.Actor]) -> None:
        """Destroy actors, some of which may have vanished, as walkers do some time after their death."""
        assert self._connection.client is not None
        commands = [carla.command.DestroyActor(actor) for actor in actors]
        self._connection.call(self._connection.client.apply_batch_sync, commands, False)

    def lose(self, hero: carla.Actor | None, sensors: SensorInterface) -> list[carla.Actor]:
        """Let go of all in a world that is lost, and remember whose they were.

        Returns:
            The extras. Keep them until the next client is there, as `Connection.forget` says.
        """
        assert self._connection.world is not None
        self._orphans = {self._connection.world.id: self.ids(hero, sensors)}
        extras, self.extras = self.extras, []
        return extras

    def remove_orphans(self) -> None:
        """Destroy what was ours on a server that hung and answers again; one that we started would have been ended.

        Raises:
            ServerError: The server failed.
        """
        connection = self._connection
        assert connection.world is not None
        ours = self._orphans.pop(connection.world.id, [])
        self._orphans = {}
        if ours and not connection.server.started_here:
            for actor in cast("Iterable[carla.Actor]", connection.call(connection.world.get_actors, ours)):
                connection.call(actor.destroy)
