"""Calls of the debug helper. There is no window to draw in: shapes are checked and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import void

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


@void
def draw_debug_shape(server: Server, shape: PackValue) -> None:
    """Accept a shape that a window would show."""
    if not isinstance(shape, list) or not shape or not isinstance(shape[0], list):
        raise values.MalformedValueError("a debug shape must be a primitive, a colour, a life time and a flag")


@void
def clear_debug_shape(server: Server) -> None:
    """Forget all shapes."""


@void
def clear_debug_string(server: Server) -> None:
    """Forget all texts."""


@void
def set_annotations_traverse_translucency(server: Server, enabled: bool) -> None:
    """Accept how a renderer would treat glass in annotations; there is none to look through here."""


@void
def show_vehicle_debug_telemetry(server: Server, actor_id: int, enabled: bool) -> None:
    """Accept the wish for an overlay that a window would show."""
