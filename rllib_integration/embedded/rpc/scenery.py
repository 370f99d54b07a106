"""Calls about what stands around: street lights, environment objects, bounding boxes, rays, textures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.rpc.registry import value, void

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server


@value
def query_lights_state(server: Server, client: str) -> list[Any]:
    """State of all street lights."""
    return []
