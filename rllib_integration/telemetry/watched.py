"""What telemetry needs of an environment's world, so that it stands below what owns one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import carla


class WatchedWorld(Protocol):
    """A `CarlaCore`, as far as it is told about.

    Attributes:
        frame: Of the last tick.
        world: The client's world; None while there is none.
        map: Its town.
        hero: The vehicle that is driven.
        metrics: What has happened in the episode.
        sensor_interface: The hero's sensors, and its route.
        server_port: RPC port of the server.
    """

    frame: int

    @property
    def world(self) -> carla.World:
        """The simulated world."""

    @property
    def map(self) -> carla.Map:
        """The town's roads."""

    hero: carla.Vehicle
    metrics: Any
    sensor_interface: Any
    server_port: int

    @property
    def server(self) -> Any:
        """The present server; None while there is none."""

    @property
    def town(self) -> str:
        """Plain name of the town."""
