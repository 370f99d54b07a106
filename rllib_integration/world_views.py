"""What people see of a world: the server's window, a picture from above, and what is drawn into the viewer's."""

from __future__ import annotations

import carla
import numpy as np

from rllib_integration.connection import Connection
from rllib_integration.roads.routes import Route
from rllib_integration.sensors import SensorFactory
from rllib_integration.sensors.bird_view_manager import BirdviewManager
from rllib_integration.telemetry.painter import Painter

_SPECTATOR_BEHIND = 5.0  # [m]
_SPECTATOR_ABOVE = 3.0  # [m]
_RADIUS = 25.0  # [m] shown from above


class WorldViews:
    """The views of a connection's world.

    Args:
        connection: The server, its client and the world.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._painter: Painter | None = None
        self._bird_view: BirdviewManager | None = None
        self._size = 0

    @property
    def painter(self) -> Painter:
        """Draws points, lines and texts into the viewer's picture of this world."""
        server = self._connection.server
        if self._painter is None or self._painter.port != server.port:
            self.close()
            self._painter = Painter(server.port, server.host, self._simulated_seconds)
        return self._painter

    def _simulated_seconds(self) -> float:
        world = self._connection.world
        return float(world.get_snapshot().timestamp.elapsed_seconds) if world is not None else 0.0

    def bird_view(self, hero: carla.Actor, route: Route | None, size: int) -> np.ndarray:
        """The hero's surroundings from above.

        Args:
            hero: In the middle.
            route: Drawn, if there is one.
            size: Width and height in pixels.

        Returns:
            uint8 (size, size, 3), RGB.

        Raises:
            ServerError: The server failed.
        """
        connection = self._connection
        if self._bird_view is None or self._size != size:
            assert connection.map is not None
            self._size = size
            SensorFactory.prepare({"type": "sensor.birdview", "size": size, "radius": _RADIUS}, connection.map)
            self._bird_view = connection.call(BirdviewManager, hero, connection.map, size, _RADIUS, None, True)
        return connection.call(self._bird_view.render, route)

    def follow(self, hero: carla.Actor) -> None:
        """Move the spectator behind and above the hero. Does not wait for the server."""
        assert self._connection.spectator is not None
        pose = hero.get_transform()
        forward = pose.get_forward_vector()
        place = carla.Location(
            pose.location.x - forward.x * _SPECTATOR_BEHIND,
            pose.location.y - forward.y * _SPECTATOR_BEHIND,
            pose.location.z - forward.z * _SPECTATOR_BEHIND + _SPECTATOR_ABOVE,
        )
        self._connection.spectator.set_transform(carla.Transform(place, pose.rotation))

    def forget_hero(self) -> None:
        """Let go of a hero that is removed or lost."""
        self._bird_view = None

    def close(self) -> None:
        """Draw no more. Twice is fine."""
        if self._painter is not None:
            self._painter.close()
            self._painter = None
