"""Calls of the debug helper. There is no window to draw in: shapes are kept for viewers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import value, void

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


@void
def draw_debug_shape(server: Server, shape: PackValue) -> None:
    """Keep a shape that a window would show."""
    episode = server.simulation.episode
    server.drawn_shapes.draw(episode.id, episode.elapsed, shape)


@void
def clear_debug_shape(server: Server) -> None:
    """End all shapes."""
    episode = server.simulation.episode
    server.drawn_shapes.clear(episode.id, episode.elapsed, "shapes")


@void
def clear_debug_string(server: Server) -> None:
    """End all texts."""
    episode = server.simulation.episode
    server.drawn_shapes.clear(episode.id, episode.elapsed, "texts")


@value
def minicarla_drawn_shapes(server: Server, number: int = 0) -> list[PackValue]:
    """What was drawn in this episode after the shape of a number; CARLA's protocol has no such call."""
    episode = server.simulation.episode
    return [list(shape) for shape in server.drawn_shapes.since(episode.id, episode.elapsed, values.integer(number))]


@void
def set_annotations_traverse_translucency(server: Server, enabled: bool) -> None:
    """Accept how a renderer would treat glass in annotations; there is none to look through here."""


@void
def show_vehicle_debug_telemetry(server: Server, actor_id: int, enabled: bool) -> None:
    """Accept the wish for an overlay that a window would show."""
