"""The versions of CARLA whose protocol is spoken here, and what sets them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ProtocolVersion:
    """What a client of one version expects.

    Nothing that a client sends tells its version before the first world message, which it may not survive: so a server
    speaks one version from its start.

    Attributes:
        name: As the call `version` answers it.
        world_stream_type: First field of world messages.
        first_attribute_type: Wire value of the attribute type Bool; Int, Float, String and RGBColor follow it.
        resubscribes_after_load: Whether a client opens a new world stream after it loaded a world.
        latitude_falls_along_y: Whether the latitude that GNSS sensors measure falls along +y; else it rises.
        lacks: Blueprints whose messages the client cannot read.
    """

    name: str
    world_stream_type: int
    first_attribute_type: int
    resubscribes_after_load: bool
    latitude_falls_along_y: bool
    lacks: frozenset[str] = frozenset()


V0_9_15 = ProtocolVersion(
    "0.9.15",
    world_stream_type=16,
    first_attribute_type=0,
    resubscribes_after_load=False,
    latitude_falls_along_y=True,
    lacks=frozenset({"sensor.camera.cosmos_visualization", "sensor.other.v2x", "sensor.other.v2x_custom"}),
)
V0_9_16 = ProtocolVersion(
    "0.9.16",
    world_stream_type=17,
    first_attribute_type=1,
    resubscribes_after_load=True,
    latitude_falls_along_y=False,
)
VERSIONS = {version.name: version for version in (V0_9_15, V0_9_16)}
"""All that are spoken, by their names, the newest last."""


class VersionError(ValueError):
    """A version of CARLA whose protocol is not spoken here."""


def version_named(name: str) -> ProtocolVersion:
    """The version that a text such as "0.9.15" or "0.9.15-21-gabcdef" names; builds of one release are alike.

    Raises:
        VersionError: It is not spoken here.
    """
    match = re.match(r"\d+\.\d+\.\d+(?!\d|\.)", name)
    version = VERSIONS.get(match.group(0)) if match else None
    if version is None:
        raise VersionError(f"CARLA '{name:.40}' is not spoken here; the versions are {' and '.join(VERSIONS)}")
    return version


def version_of_client() -> ProtocolVersion:
    """The version of the `carla` package that is installed here; the newest one where there is none.

    Raises:
        VersionError: It is not spoken here.
    """
    try:
        import carla
    except ImportError:
        return V0_9_16
    # The library knows its version, the names of packages and folders do not; nothing is sent to that port.
    return version_named(carla.Client("127.0.0.1", 1, 1).get_client_version())
