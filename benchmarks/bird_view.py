"""What a bird view costs, compared with redrawing the whole town's surface by pygame as the original integration did.

50 cars in Town05, through the real client; reading all actors' states is part of both. The reference follows the
original's way: every actor asked for its box, the town as one pygame surface, copied whole in every frame, actors
drawn onto the copy, the part around the hero cut out, rotated and cut again. "Boxes known" is the same without the
asking, which is a request to the server for each vehicle. It needs pygame, which nothing else here does.

    python benchmarks/bird_view.py [--town Town05] [--vehicles 50] [--seconds 1.5]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import carla
import numpy as np

from rllib_integration.annotations import Record
from rllib_integration.roads.lanes import sample_lanes
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.sensors.bird_view.map_drawing import PALETTE, draw_map
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid
from rllib_integration.sensors.bird_view.painter import COLOURS
from rllib_integration.sensors.bird_view_manager import BirdviewManager, BirdviewSensor
from rllib_integration.servers import create_server

VIEWS = ((84, 15.0, 0.08), (300, 15.0, 0.12))
"""Size (px), radius (m) and the ratio to the reference aimed at."""


class PygameView:
    """The original's way: the whole town's surface in every frame."""

    def __init__(self, carla_map: carla.Map, hero: carla.Actor, size: int, radius: float, ask_boxes: bool) -> None:
        try:
            import pygame
        except ImportError:
            sys.exit("The reference is drawn by pygame, which is not installed: pip install pygame")

        self._pygame = pygame
        self._world, self._hero, self._size, self._radius = hero.get_world(), hero, size, radius
        drawing = draw_map(sample_lanes(carla_map))
        low = drawing.quads.reshape(-1, 2).min(axis=0) - 50.0
        high = drawing.quads.reshape(-1, 2).max(axis=0) + 50.0
        self._offset, self._scale = low, size / (2.0 * radius) / math.sqrt(2.0)
        side = int(max(high - low) * self._scale)
        self._town = pygame.Surface((side, side), depth=32)
        self._town.fill(tuple(PALETTE[0]))
        for quad, surface in zip(drawing.quads, drawing.surfaces):
            pygame.draw.polygon(self._town, tuple(PALETTE[surface]), self._points(quad))
        self._actors = pygame.Surface((side, side), depth=32)
        self._ask_boxes = ask_boxes
        self._boxes = {actor.id: actor.bounding_box.extent for actor in self._actors_like("vehicle.*")}

    def _actors_like(self, pattern: str) -> list[carla.Actor]:
        return cast("list[carla.Actor]", list(self._world.get_actors().filter(pattern)))

    def _points(self, places: Any) -> list[tuple[int, int]]:
        return [(int((x - self._offset[0]) * self._scale), int((y - self._offset[1]) * self._scale)) for x, y in places]

    def render(self) -> np.ndarray:
        """The picture, ``uint8 (size, size, 3)``."""
        pygame = self._pygame
        self._actors.blit(self._town, (0, 0))
        actors = [(actor, actor.get_transform()) for actor in self._actors_like("*")]
        for actor, pose in actors:
            if isinstance(actor, carla.TrafficLight):
                colour = {carla.TrafficLightState.Red: 4, carla.TrafficLightState.Yellow: 5}.get(actor.state, 6)
                place = self._points([(pose.location.x, pose.location.y)])[0]
                pygame.draw.circle(self._actors, tuple(COLOURS[colour]), place, int(1.4 * self._scale))
        for actor, pose in actors:
            if actor.type_id.startswith("vehicle."):
                box = actor.bounding_box.extent if self._ask_boxes else self._boxes[actor.id]
                corners = [(-box.x, -box.y), (box.x - 0.8, -box.y), (box.x, 0), (box.x - 0.8, box.y), (-box.x, box.y)]
                places = [pose.transform(carla.Location(x, y)) for x, y in corners]
                colour = COLOURS[0 if actor.id == self._hero.id else 1]
                pygame.draw.polygon(self._actors, tuple(colour), self._points([(p.x, p.y) for p in places]))
        pose = self._hero.get_transform()
        forward = pose.get_forward_vector()
        x, y = pose.location.x + forward.x * self._radius / 2, pose.location.y + forward.y * self._radius / 2
        side = int(2.0 * self._radius * math.sqrt(2.0) * self._scale)
        column, row = self._points([(x, y)])[0]
        cut = pygame.Surface((side, side), depth=32)
        cut.blit(self._actors, (side // 2 - column, side // 2 - row))
        turned = pygame.transform.rotozoom(cut, pose.rotation.yaw + 90.0, math.sqrt(2.0))
        result = pygame.Surface((self._size, self._size), depth=32)
        result.blit(turned, ((self._size - turned.get_width()) // 2, (self._size - turned.get_height()) // 2))
        return np.swapaxes(pygame.surfarray.array3d(result), 0, 1)


def populated(client: carla.Client, vehicles: int) -> tuple[carla.World, carla.Actor]:
    """A synchronous world with a hero and parked cars."""
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    cars = [b for b in world.get_blueprint_library().filter("vehicle.*") if b.get_attribute("base_type") == "car"]
    actors: list[carla.Actor] = []
    for number, point in enumerate(world.get_map().get_spawn_points()):
        actor = world.try_spawn_actor(cars[number % len(cars)], point)
        actors += [actor] if actor else []
        if len(actors) > vehicles:
            break
    world.tick()
    return world, actors[0]


def bird_view(attributes: Record, interface: SensorInterface, hero: carla.Actor) -> BirdviewManager:
    """What draws a hero's bird view."""
    sensor = SensorFactory.spawn(attributes["format"], attributes, interface, hero)
    assert isinstance(sensor, BirdviewSensor)
    return sensor.manager


def milliseconds(function: Callable[[], Any], seconds: float) -> float:
    """Median time of a call."""
    function()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1000.0 * statistics.median(times)


def report_drawing(carla_map: carla.Map) -> None:
    """Time of a town's first drawing and of taking it out of the cache."""
    with tempfile.TemporaryDirectory() as folder:
        MapPyramid.draw(draw_map(sample_lanes(carla_map)))  # compiles
        start = time.perf_counter()
        MapPyramid._load_or_draw(carla_map, Path(folder))
        drawn = time.perf_counter()
        MapPyramid._load_or_draw(carla_map, Path(folder))
        print(f"first drawing {drawn - start:.2f} s (aim: 3), from the cache {time.perf_counter() - drawn:.3f} s")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--town", default="Town05")
    parser.add_argument("--vehicles", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    server = create_server({"server": {"kind": "embedded"}})
    server.start()
    try:
        client = carla.Client(server.host, server.port, 1)
        client.set_timeout(120.0)
        client.load_world(arguments.town)
        world, hero = populated(client, arguments.vehicles)
        carla_map = world.get_map()
        print(f"{arguments.town}, {len(world.get_actors().filter('vehicle.*'))} vehicles, the hero among them")
        report_drawing(carla_map)
        for size, radius, aim in VIEWS:
            interface = SensorInterface()
            interface.map = carla_map
            attributes = {"type": "sensor.birdview", "size": size, "radius": radius}
            colours, masks = (bird_view({**attributes, "format": form}, interface, hero) for form in ("rgb", "masks"))
            reference, known = (
                milliseconds(PygameView(carla_map, hero, size, radius, ask).render, arguments.seconds)
                for ask in (True, False)
            )
            print(f"{size:3d} px pygame   {reference:6.3f} ms, boxes known {known:.3f} ms")
            for name, render in (("colours", colours.render), ("11 masks", masks.render)):
                own = milliseconds(render, arguments.seconds)
                print(
                    f"{size:3d} px {name:8s} {own:6.3f} ms, ratio {own / reference:.3f}"
                    + (f" (aim: {aim})" if name == "colours" else "")
                    + f", to boxes known {own / known:.3f}"
                )
            interface.destroy()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
