"""One hero's view of a shared world: the `core` of its experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Reading
from rllib_integration.config.merging import ConfigError
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.sensors import SensorInterface
from rllib_integration.sensors.base_sensor import BaseSensor
from rllib_integration.world_views import WorldViews

if TYPE_CHECKING:
    from rllib_integration.annotations import Settings
    from rllib_integration.carla_core import CarlaCore

_SEPARATOR = "/"  # between an agent and its sensor


class HeroSensors(SensorInterface):
    """One hero's sensors; all heroes' sensors report to a shared interface, so that a tick waits only once.

    Args:
        agent: Id of the hero's agent.
        shared: Collects the data of all heroes' sensors.
    """

    def __init__(self, agent: str, shared: SensorInterface) -> None:
        super().__init__(shared.ask)
        self._prefix = f"{agent}{_SEPARATOR}"
        self._shared = shared
        self._names: dict[str, str] = {}  # in the shared interface -> in the hero's configuration
        self.map, self.blueprints, self.memory = shared.map, shared.blueprints, shared.memory
        self.ticks_per_step, self.counts_events = shared.ticks_per_step, shared.counts_events

    @property
    def sensors(self) -> dict[str, BaseSensor]:
        """This hero's sensors by their names in its configuration."""
        shared = self._shared.sensors
        return {own: shared[name] for name, own in self._names.items() if name in shared}

    def register(self, name: str, sensor: BaseSensor) -> None:
        """Add a sensor under the name `agent/name`."""
        sensor.name = self._prefix + name
        self._shared.register(sensor.name, sensor)
        self._names[sensor.name] = name

    def unregister(self, name: str, sensor: BaseSensor | None = None) -> None:
        """Forget a sensor."""
        name = name if name in self._names else self._prefix + name
        self._shared.unregister(name, sensor)
        if name not in self._shared.sensors:
            self._names.pop(name, None)

    def push(self, sensor: BaseSensor, frame: int, data: object) -> None:
        """Pass on a sensor's raw message."""
        self._shared.push(sensor, frame, data)

    def wake(self, frame: int) -> None:
        """Check again whether all data of `frame` have arrived."""
        self._shared.wake(frame)

    def event_came(self) -> None:
        """Check again whether all events have arrived."""
        self._shared.event_came()

    def take(self, data: Mapping[str, Reading]) -> dict[str, Reading]:
        """This hero's part of the shared interface's data; sets `events`, too."""
        self.events = self._own(self._shared.events)
        return {name: reading for name, reading in self._own(data).items() if not name.startswith("_")}

    def _own(self, named: Mapping[str, Any]) -> dict[str, Any]:
        return {own: named[name] for name, own in self._names.items() if name in named}

    def get_data(self, frame: int | None = None, timeout: float = 10.0) -> dict[str, Reading]:
        """This hero's data of a frame, as from `SensorInterface.get_data`."""
        return self.take(self._shared.get_data(frame, timeout))

    def destroy(self) -> None:
        """Destroy this hero's sensors. Twice is fine."""
        for sensor in self.sensors.values():
            sensor.destroy()
        self.route = None


class HeroView:
    """The `core` of an experiment whose hero shares its world with others.

    The attributes below and the methods are this hero's own. All others, such as `world`, `map`, `town` or `spawn`, are
    those of the world's `CarlaCore`.

    Args:
        core: The world.
        agent: Id of the agent.
        heroes: Views of all active agents by id; the caller keeps them up to date.
        rng: This hero's random numbers in the episode.

    Attributes:
        agent: Id of the agent.
        hero: Its vehicle or walker.
        sensor_interface: Its sensors.
        metrics: Its metrics of the episode.
        rng: As above.
        readings: Its sensors' last data.
    """

    def __init__(self, core: CarlaCore, agent: str, heroes: Mapping[str, HeroView], rng: np.random.Generator) -> None:
        self._core = core
        self._heroes = heroes
        self.agent = agent
        self.rng = rng
        self.hero = cast(carla.Vehicle, None)
        self.metrics: EpisodeMetrics | None = None
        self.sensor_interface = HeroSensors(agent, core.sensor_interface)
        self.readings: dict[str, Reading] = {}
        self.start: tuple[carla.Transform, float] | None = None
        self._views = WorldViews(core.connection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    @property
    def others(self) -> dict[str, HeroView]:
        """The views of the other active agents, by id."""
        return {agent: view for agent, view in self._heroes.items() if view is not self}

    def start_hero(self, pose: carla.Transform, speed: float) -> None:
        """Move the hero to a pose, at a speed [m/s] along its heading, as `CarlaCore.start_hero` does.

        The heroes of a world start together, when each has been placed.
        """
        self.start = pose, speed
        self.hero.set_transform(pose)

    def apply_hero_control(self, control: carla.VehicleControl | carla.WalkerControl) -> None:
        """Set the hero's control for the next ticks, without waiting for the server."""
        self.hero.apply_control(control)  # type: ignore[arg-type]

    def set_route(self, route_config: Settings | None) -> None:
        """Give the hero a route from its place, as `CarlaCore.set_route` does, without a tick."""
        route = self._core.route_from(self.hero, route_config, self.rng) if route_config else None
        self.sensor_interface.route = route

    def bird_view(self, size: int) -> NDArray[np.uint8]:
        """This hero's surroundings from above, as from `CarlaCore.bird_view`."""
        return self._views.bird_view(self.hero, self.sensor_interface.route, size)

    def tick(self, *arguments: object, **options: object) -> None:
        """Refused: the world is ticked for all agents together."""
        raise ConfigError(f"{self.agent} can't tick the world, which several agents share.")
