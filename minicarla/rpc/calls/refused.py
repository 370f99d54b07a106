"""Calls that exist in CARLA and will not work here, each refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.rpc.registry import RemoteError, value, void

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

_GBUFFERS = "G-buffers are not available: this server does not render with Unreal Engine"
_ROS = "ROS 2 is not available: this server does not publish to ROS 2"


@void
def enable_carsim(server: Server, actor_id: int, simfile: str) -> None:
    """CarSim physics."""
    raise RemoteError("CarSim is not available: this server only has its own vehicle physics")


@void
def use_carsim_road(server: Server, actor_id: int, enabled: bool) -> None:
    """CarSim's road description."""
    raise RemoteError("CarSim is not available: this server only has its own roads")


@void
def enable_chrono_physics(
    server: Server, actor_id: int, substeps: int, step: float, vehicle: str, powertrain: str, tire: str, base: str
) -> None:
    """Chrono physics."""
    raise RemoteError("Chrono is not available: this server only has its own vehicle physics")


@void
def restore_physx_physics(server: Server, actor_id: int) -> None:
    """Back from Chrono or CarSim to the only physics there is: nothing to do."""
    server.simulation.episode.get(values.actor_id(actor_id))


@void
def enable_gbuffers(server: Server, actor_id: int, enabled: bool) -> None:
    """G-buffers."""
    if enabled:
        raise RemoteError(_GBUFFERS)


@value
def are_gbuffers_enabled(server: Server, actor_id: int) -> bool:
    """Never."""
    return False


@value
def get_gbuffer_token(server: Server, actor_id: int, buffer: int) -> bytes:
    """G-buffers."""
    raise RemoteError(_GBUFFERS)


@void
def enable_sensor_for_ros(server: Server, stream_id: int) -> None:
    """ROS 2."""
    raise RemoteError(_ROS)


@void
def disable_sensor_for_ros(server: Server, stream_id: int) -> None:
    """No sensor ever publishes to ROS 2: nothing to do."""


@value
def is_sensor_enabled_for_ros(server: Server, stream_id: int) -> bool:
    """Never."""
    return False
