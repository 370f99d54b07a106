"""What colour the surfaces have that `raster` found, in linear light.

Structure too fine for a pixel is averaged over the pixel's footprint rather than sampled, so that markings, windows
and seams do not flicker from frame to frame.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import INLINE, INNER
from minicarla.sensing.ground_colour import ground_colour, ground_terms, is_ground
from minicarla.sensing.lighting import background, clearness, lamp_light, lit, mirrored
from minicarla.sensing.mesh import (
    GLASS,
    HEADLIGHT,
    LEFT_BLINKER,
    PAINT,
    REVERSE_LIGHT,
    RIGHT_BLINKER,
    SIREN,
    TAIL_LIGHT,
)
from minicarla.sensing.patterns import lookup, striped, texture
from minicarla.sensing.raster import MeshPool
from minicarla.sensing.scene import LAMP, LEAVES, PANE, PLAIN, WALL, GroundLight, Markings, Surfaces
from minicarla.sensing.weather import Light

LAMP_HEAD, LAMP_TAIL, LAMP_BRAKE, LAMP_LEFT, LAMP_RIGHT, LAMP_SIREN = 1, 2, 4, 8, 16, 32
LAMP_REVERSE, LAMP_HIGH = 64, 128
"""Bits of raster.INSTANCE's `lamps`."""


class Stage(NamedTuple):
    """All that a picture is made of besides the camera.

    Attributes:
        surfaces: looks of the static triangles.
        markings: road markings.
        ground: light on the ground.
        light: light, sky and air.
        pool: meshes of the actors.
        instances: structured array raster.INSTANCE.
        owner: int32, instance of each number from `base` on.
        base: number of the first triangle of an actor.
        beams: float32 (n, 6): x, y, z, forward x, forward y, strength of lit head lamps.
        noise: float32 (256, 256), 0..1, repeating.
        linear: float32 (256,), linear light of a colour byte.
    """

    surfaces: Surfaces
    markings: Markings
    ground: GroundLight
    light: Light
    pool: MeshPool
    instances: NDArray[np.void]
    owner: NDArray[np.int32]
    base: int
    beams: NDArray[np.float32]
    noise: NDArray[np.float32]
    linear: NDArray[np.float32]


@njit(**INLINE)
def mesh_triangle(stage, number):
    """The instance and the row in the pool of an actor's triangle."""
    instance = stage.owner[number - stage.base]
    body = stage.instances[instance]
    local = number - stage.base - body["slot"]
    near = body["near_mesh"]
    count = stage.pool.first[near + 1] - stage.pool.first[near]
    if local < count:
        return instance, stage.pool.first[near] + local
    return instance, stage.pool.first[body["far_mesh"]] + local - count


@njit(**INLINE)
def world_normal(stage, number):
    """Unit normal of a triangle in the world."""
    if number < stage.base:
        normal = stage.surfaces.normal[number]
        return normal[0], normal[1], normal[2]
    instance, triangle = mesh_triangle(stage, number)
    turn, normal = stage.instances[instance]["rotation"], stage.pool.normal[triangle]
    return (
        turn[0, 0] * normal[0] + turn[0, 1] * normal[1] + turn[0, 2] * normal[2],
        turn[1, 0] * normal[0] + turn[1, 1] * normal[1] + turn[1, 2] * normal[2],
        turn[2, 0] * normal[0] + turn[2, 1] * normal[1] + turn[2, 2] * normal[2],
    )


@njit(**INLINE)
def _pane(noise, night, x, y, z, nx, ny, size, identity):
    """A band of windows: share of frame, and light from inside (0..1)."""
    along = (y * nx - x * ny) / 1.3
    frame = striped(along, size / 1.3, 0.0, 0.07)
    lit = 0.0
    if night > 0.0:
        room = noise[(math.floor(z / 3.1 - 0.3) * 7 + identity * 3) & 255, (math.floor(along) * 5 + identity) & 255]
        lit = night * (0.3 if size > 2.5 else (1.0 if room > 0.66 else 0.02))
    return frame, lit


@njit(**INNER)
def lamp_glow(material, lamps, night):
    """Light that a lamp of a vehicle gives off: red, green, blue."""
    bright = 1.6 + 1.6 * night
    if material == HEADLIGHT and lamps & LAMP_HEAD:
        return bright * 1.5, bright * 1.45, bright * 1.25
    if material == TAIL_LIGHT and lamps & LAMP_BRAKE:
        return bright, 0.06, 0.04
    if material == TAIL_LIGHT and lamps & LAMP_TAIL:
        return 0.45, 0.02, 0.02
    if (material == LEFT_BLINKER and lamps & LAMP_LEFT) or (material == RIGHT_BLINKER and lamps & LAMP_RIGHT):
        return bright, 0.14 * bright, 0.01 * bright
    if material == REVERSE_LIGHT and lamps & LAMP_REVERSE:
        return bright, 0.97 * bright, 0.9 * bright
    return 0.0, 0.0, 0.0


@njit(**INLINE)
def matter(stage, number):
    """What a triangle is made of: surface, albedo (3), share of mirrored light, light it gives off (3)."""
    if number < stage.base:
        colour = stage.surfaces.colour[number]
        surface = int(stage.surfaces.surface[number])
        red, green, blue = stage.linear[colour[0]], stage.linear[colour[1]], stage.linear[colour[2]]
        return surface, red, green, blue, 0.0, 0.0, 0.0, 0.0
    instance, triangle = mesh_triangle(stage, number)
    body, material = stage.instances[instance], stage.pool.material[triangle]
    if material == PAINT:
        paint = body["colour"]
        red, green, blue = stage.linear[paint[0]], stage.linear[paint[1]], stage.linear[paint[2]]
    else:
        colours = stage.pool.colour
        red = stage.linear[colours[triangle, 0]]
        green = stage.linear[colours[triangle, 1]]
        blue = stage.linear[colours[triangle, 2]]
    mirror = 0.07 if material == PAINT else 0.3 if material == GLASS else 0.0
    glow = body["glow"]
    if glow[0] + glow[1] + glow[2] > 0.0:
        return PLAIN, red, green, blue, mirror, float(glow[0]), float(glow[1]), float(glow[2])
    if material == SIREN and body["lamps"] & LAMP_SIREN:
        return PLAIN, red, green, blue, mirror, 2.0 * red, 2.0 * green, 2.0 * blue
    glow_red, glow_green, glow_blue = lamp_glow(material, body["lamps"], stage.light.night)
    return PLAIN, red, green, blue, mirror, glow_red, glow_green, glow_blue


@njit(**INLINE)
def _leaf(noise, x, y, z, size):
    """Brightness of foliage around 1."""
    leaf = 0.5 + 0.85 * texture(noise, 2.7 * x + 1.3 * z, 2.7 * y + 1.9 * z)
    if size < 0.15:
        leaf += (texture(noise, 9.0 * x + 5.0 * z, 9.0 * y - 7.0 * z) - 0.5) * 0.9 * (1.0 - size / 0.15)
    return leaf


@njit(**INLINE)
def ray(axes, u, v):
    """The ray with forward 1, right u and up v in the world."""
    return (
        axes[0, 0] + u * axes[1, 0] + v * axes[2, 0],
        axes[0, 1] + u * axes[1, 1] + v * axes[2, 1],
        axes[0, 2] + u * axes[1, 2] + v * axes[2, 2],
    )


@njit(**INLINE)
def radiance(stage, camera, number, u, v, near, spread, shadow, terms):
    """Linear colour seen along one ray.

    Args:
        stage, camera: the scene and who looks at it.
        number, near: the triangle and its nearness.
        u, v: right and up components of the ray with forward 1.
        spread: the pixel's side at depth 1.
        shadow: share of it that lies in an actor's shadow.
        terms: float64 (ground_colour.TERMS,), scratch.
    """
    light, ground = stage.light, stage.ground
    rx, ry, rz = ray(camera.axes, u, v)
    length = math.sqrt(rx * rx + ry * ry + rz * rz)
    if number < 0:
        return background(light, rx, ry, rz, length)
    depth = 1.0 / near
    x, y, z = camera.position[0] + depth * rx, camera.position[1] + depth * ry, camera.position[2] + depth * rz
    surface, red, green, blue, mirror, glow_red, glow_green, glow_blue = matter(stage, number)
    nx, ny, nz = world_normal(stage, number)
    facing = nx * rx + ny * ry + nz * rz
    if facing > 0.0:
        nx, ny, nz, facing = -nx, -ny, -nz, -facing
    if is_ground(surface):
        ground_terms(
            stage, camera, surface, x, y, z, rx, ry, rz, length, nx, ny, nz, depth, spread, shadow, terms
        )  # fmt: skip
        return ground_colour(
            stage.markings, stage.noise, stage.linear, surface, red, green, blue, x, y, z, terms, False
        )  # fmt: skip
    scale = depth * spread
    sun_share, polished = 1.0, number >= stage.base
    if polished:
        sun_share = lookup(ground.sun, ground.origin_x, ground.origin_y, ground.cell, x, y)
    elif surface == PANE:
        frame, light_inside = _pane(
            stage.noise, light.night, x, y, z, nx, ny, scale * 1.2, int(stage.surfaces.object_id[number])
        )
        red, green, blue = red * 0.5 + 0.3 * frame, green * 0.5 + 0.3 * frame, blue * 0.5 + 0.29 * frame
        mirror, light_inside, polished = 0.35 * (1.0 - frame), light_inside * (1.0 - frame), True
        glow_red, glow_green, glow_blue = 0.8 * light_inside, 0.55 * light_inside, 0.26 * light_inside
    elif surface == WALL:
        plaster = 0.9 + 0.2 * texture(stage.noise, 0.4 * (x + y), 0.4 * (z + 0.3 * x))
        red, green, blue = red * plaster, green * plaster, blue * plaster
    elif surface == LAMP:
        if light.night > 0.0:
            share = 2.4 * light.night
            glow_red, glow_green, glow_blue = lamp_light(ground, x, y)
            glow_red, glow_green, glow_blue = share * glow_red, share * glow_green, share * glow_blue
    elif surface == LEAVES:
        leaf = _leaf(stage.noise, x, y, z, scale)
        red, green, blue = red * leaf, green * leaf, blue * leaf
    light_red, light_green, light_blue = lit(light, ground, stage.beams, surface, False, x, y, z, nx, ny, nz, sun_share)
    red, green, blue = red * light_red, green * light_green, blue * light_blue
    if mirror > 0.004:
        if polished and mirror > 0.05:
            mirror += 0.55 * (1.0 + facing / length) ** 4
        mirror = min(mirror, 0.9)
        bounce = 2.0 * facing
        far_red, far_green, far_blue = mirrored(
            light, rx - bounce * nx, ry - bounce * ny, rz - bounce * nz, length, sun_share
        )
        red += mirror * (far_red - red)
        green += mirror * (far_green - green)
        blue += mirror * (far_blue - blue)
    clear = clearness(light, depth * length, 0.5 * (z + camera.position[2]))
    return (
        (red + glow_red) * clear + light.fog_colour[0] * (1.0 - clear),
        (green + glow_green) * clear + light.fog_colour[1] * (1.0 - clear),
        (blue + glow_blue) * clear + light.fog_colour[2] * (1.0 - clear),
    )
