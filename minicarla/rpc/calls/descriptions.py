"""Actors and settings as the wire describes them."""

from __future__ import annotations

import dataclasses
import functools

from minicarla.physics.state import VEHICLE_KIND, WALKER_KIND
from minicarla.protocol.values import PackValue, pack_box
from minicarla.protocol.version import ProtocolVersion
from minicarla.sensing.view import Joints
from minicarla.world.actors import Actor
from minicarla.world.blueprints import AttributeType
from minicarla.world.settings import EpisodeSettings
from minicarla.world.simulation import Simulation

_DEFAULT_COLOUR = (128, 128, 128)


def describe(actor: Actor, version: ProtocolVersion, token: bytes = b"") -> list[PackValue]:
    """CARLA's Actor: id, parent, description, bounding box, semantic tags, stream token."""
    types, first = actor.attribute_types, version.first_attribute_type
    attributes: list[list[PackValue]] = [
        [name, first + types.get(name, AttributeType.STRING), text] for name, text in actor.attributes.items()
    ]
    description: list[PackValue] = [actor.definition, actor.type_id, attributes]
    return [actor.id, actor.parent_id, description, pack_box(actor.box, actor.id), actor.tags, token]


@functools.lru_cache(maxsize=1024)
def _colour_of(text: str) -> tuple[int, int, int]:
    """Red, green, blue of a blueprint's attribute."""
    try:
        red, green, blue = (int(part) for part in text.split(","))
    except ValueError:
        return _DEFAULT_COLOUR
    return red, green, blue


class Lookup:
    """Facts about actors for the sensors, by kind and row."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def _actor(self, kind: int, row: int) -> Actor:
        episode = self._simulation.episode
        if kind == VEHICLE_KIND:
            return episode.vehicles.actors[row]
        return (episode.walkers if kind == WALKER_KIND else episode.props).actors[row]

    def describe(self, kind: int, row: int) -> list[PackValue]:
        """The actor as the wire describes it."""
        return describe(self._actor(kind, row), self._simulation.version)

    def type_id(self, kind: int, row: int) -> str:
        """Id of the blueprint that it looks like."""
        actor = self._actor(kind, row)
        return actor.looks or actor.type_id

    def colour(self, kind: int, row: int) -> tuple[int, int, int]:
        """Its paint as red, green, blue."""
        actor = self._actor(kind, row)
        return actor.paint or _colour_of(actor.attributes.get("color", ""))

    def is_painted(self, kind: int, row: int) -> bool:
        """Whether a client put a texture on it."""
        return self._actor(kind, row).paint is not None

    def posture(self, row: int) -> Joints | None:
        """Joints of a walker that a client posed."""
        episode = self._simulation.episode
        return episode.skeletons.posture(episode.walkers.actors[row])

    def light_flags(self, row: int) -> int:
        """VehicleLightState bits of a vehicle."""
        return int(self._simulation.episode.vehicles.companion[row]["lamps"])

    def open_doors(self, row: int) -> int:
        """A bit for each open door of a vehicle."""
        return int(self._simulation.episode.vehicles.companion[row]["open_doors"])

    def is_emergency_vehicle(self, row: int) -> bool:
        """Whether its blueprint says so."""
        return self._actor(VEHICLE_KIND, row).attributes.get("special_type") == "emergency"


def settings_to_wire(settings: EpisodeSettings) -> list[PackValue]:
    """Wire form of the settings."""
    step = settings.fixed_delta_seconds
    fields = list(dataclasses.astuple(settings))
    fields[2] = [True, step] if step else [False]
    return fields
