"""What colour the surfaces have that `raster` found: light, weather, markings and small structure.

Everything is computed in linear light and turned into the picture's bytes by a table, which also holds exposure and
tone curve. Structure too fine for a pixel is averaged over the pixel's footprint rather than sampled, so that
markings, windows and seams do not flicker from frame to frame.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rllib_integration.embedded import labels
from rllib_integration.embedded.kernel_cache import njit

from .compiling import BARE, INLINE, INNER
from .mesh import GLASS, HEADLIGHT, LEFT_BLINKER, PAINT, RIGHT_BLINKER, SIREN, TAIL_LIGHT
from .raster import MeshPool
from .scene import (
    FAR_CELL,
    GRASS,
    LAMP,
    LAMP_STEPS,
    LEAVES,
    PANE,
    PAVEMENT,
    PLAIN,
    ROAD,
    WALL,
    GroundLight,
    Markings,
    Surfaces,
)
from .weather import SKY_SIZE, SUN_COSINE, Light

TABLE = 16384
TABLE_RANGE = 4.0
"""Linear light 0..TABLE_RANGE in TABLE steps is what a tone table covers."""

LAMP_HEAD, LAMP_TAIL, LAMP_BRAKE, LAMP_LEFT, LAMP_RIGHT, LAMP_SIREN = 1, 2, 4, 8, 16, 32
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


@njit(**INNER)
def _texture(noise, u, v):
    """Smooth repeating noise, 0..1, one value a unit."""
    iu, iv = math.floor(u), math.floor(v)
    fu, fv = u - iu, v - iv
    i, j, k, m = iu & 255, iv & 255, (iu + 1) & 255, (iv + 1) & 255
    low = noise[j, i] + fu * (noise[j, k] - noise[j, i])
    high = noise[m, i] + fu * (noise[m, k] - noise[m, i])
    return low + fv * (high - low)


@njit(**INNER)
def _pulse(x, low, high):
    """Integral from 0 to x of a train of pulses of period 1 that is 1 between low and high."""
    whole = math.floor(x)
    return whole * (high - low) + min(max(x - whole - low, 0.0), high - low)


@njit(**INNER)
def _striped(x, width, low, high):
    """Share of [x - width / 2, x + width / 2] that lies on the pulses of period 1 between low and high."""
    width = max(width, 1e-3)
    return (_pulse(x + 0.5 * width, low, high) - _pulse(x - 0.5 * width, low, high)) / width


@njit(**INNER)
def _overlap(x, width, half):
    """Share of [x - width / 2, x + width / 2] that lies within [-half, half]."""
    return max(min(x + 0.5 * width, half) - max(x - 0.5 * width, -half), 0.0) / width


@njit(**INLINE)
def marking_cover(markings, x, y, z, ax, ay, bx, by):
    """Share of a patch of ground that is painted, and the mean colour of the paint (0..255).

    x, y, z: the patch's middle [m]; (ax, ay), (bx, by): its sides [m].
    """
    size = max(abs(ax) + abs(bx), abs(ay) + abs(by), 0.004)
    grid = markings.near if size < 0.6 else markings.far
    if size > FAR_CELL:
        shrink = FAR_CELL / size
        ax, ay, bx, by = ax * shrink, ay * shrink, bx * shrink, by * shrink
    u, v = (x - grid.origin_x) / grid.cell, (y - grid.origin_y) / grid.cell
    if not (u >= 0.0 and v >= 0.0 and u < grid.columns and v < grid.rows):
        return 0.0, 0.0, 0.0, 0.0
    cell = int(v) * grid.columns + int(u)
    cover, red, green, blue = 0.0, 0.0, 0.0, 0.0
    for item in range(grid.starts[cell], grid.starts[cell + 1]):
        marking = grid.items[item]
        place = markings.place[marking]
        if abs(place[2] - z) > 1.0:
            continue
        px, py, ux, uy = x - place[0], y - place[1], place[3], place[4]
        ahead, aside = px * ux + py * uy, py * ux - px * uy
        # The patch reaches no further than `size` in any direction: most markings are out of its reach.
        if abs(aside) < place[6] + size and abs(ahead) < place[5] + size:
            along = max(abs(ax * ux + ay * uy) + abs(bx * ux + by * uy), 0.004)
            across = max(abs(ay * ux - ax * uy) + abs(by * ux - bx * uy), 0.004)
            share = _overlap(ahead, along, place[5]) * _overlap(aside, across, place[6])
            if share > 0.0:
                cover += share
                red += share * markings.colour[marking, 0]
                green += share * markings.colour[marking, 1]
                blue += share * markings.colour[marking, 2]
    if cover <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    return min(cover, 1.0), red / cover, green / cover, blue / cover


@njit(**INNER)
def _within(value, high):
    """The value between 0 and `high`; 0 for NaN."""
    if not value > 0.0:
        return 0.0
    return min(value, high)


@njit(**INNER)
def _lookup(field, origin_x, origin_y, cell, x, y):
    """Bilinear value, 0..1, of a uint8 map of the ground."""
    u, v = (x - origin_x) / cell - 0.5, (y - origin_y) / cell - 0.5
    rows, columns = field.shape
    u, v = _within(u, columns - 1.001), _within(v, rows - 1.001)
    i, j = int(u), int(v)
    fu, fv = u - i, v - j
    low = field[j, i] + fu * (float(field[j, i + 1]) - field[j, i])
    high = field[j + 1, i] + fu * (float(field[j + 1, i + 1]) - field[j + 1, i])
    return (low + fv * (high - low)) / 255.0


@njit(**INLINE)
def _lamp_light(ground, x, y):
    """Light (3) of street lamps on the ground, 1 right below one; bilinear."""
    field = ground.lamp
    u, v = (x - ground.origin_x) / ground.cell - 0.5, (y - ground.origin_y) / ground.cell - 0.5
    u, v = _within(u, field.shape[1] - 1.001), _within(v, field.shape[0] - 1.001)
    i, j = int(u), int(v)
    fu, fv = (u - i) / LAMP_STEPS, v - j
    gu = 1.0 / LAMP_STEPS - fu
    s, t, p, q = gu * (1.0 - fv), fu * (1.0 - fv), gu * fv, fu * fv
    a, b, c, d = field[j, i], field[j, i + 1], field[j + 1, i], field[j + 1, i + 1]
    return (
        s * a[0] + t * b[0] + p * c[0] + q * d[0],
        s * a[1] + t * b[1] + p * c[1] + q * d[1],
        s * a[2] + t * b[2] + p * c[2] + q * d[2],
    )


@njit(**INNER)
def _sky(sky, x, y, z):
    """Sky in a direction (any length), without the sun's disc; below the horizon the far air."""
    upward = max(z, 0.0)
    scale = 1.0 / (abs(x) + abs(y) + upward + 1e-9)
    u = ((x + y) * scale + 1.0) * 0.5 * SKY_SIZE - 0.5
    v = ((x - y) * scale + 1.0) * 0.5 * SKY_SIZE - 0.5
    u, v = _within(u, SKY_SIZE - 1.001), _within(v, SKY_SIZE - 1.001)
    i, j = int(u), int(v)
    fu, fv = np.float32(u - i), np.float32(v - j)
    a, b, c, d = sky[j, i], sky[j, i + 1], sky[j + 1, i], sky[j + 1, i + 1]
    gu, gv = np.float32(1.0) - fu, np.float32(1.0) - fv
    s, t, p, q = gu * gv, fu * gv, gu * fv, fu * fv
    return (
        s * a[0] + t * b[0] + p * c[0] + q * d[0],
        s * a[1] + t * b[1] + p * c[1] + q * d[1],
        s * a[2] + t * b[2] + p * c[2] + q * d[2],
    )


@njit(**INLINE)
def _faded(thick):
    """Close to exp(-thick) for what is not negative, and several times as fast."""
    return 1.0 / (1.0 + thick * (1.0 + thick * (0.5 + 0.2 * thick)))


@njit(**INLINE)
def _background(light, x, y, z, length):
    """Sky, sun and fog in a direction of the given length."""
    red, green, blue = _sky(light.sky, x, y, z)
    rise = z / length
    if x * light.sun[0] + y * light.sun[1] + z * light.sun[2] > SUN_COSINE * length:
        red, green, blue = red + light.sun_disc[0], green + light.sun_disc[1], blue + light.sun_disc[2]
    if light.fog > 0.0:
        path = min(1500.0, 60.0 / max(rise, 0.01))
        clear = _faded(light.fog * max(path - light.fog_start, 0.0) * (0.2 if rise > 0.0 else 1.0))
        red = red * clear + light.fog_colour[0] * (1.0 - clear)
        green = green * clear + light.fog_colour[1] * (1.0 - clear)
        blue = blue * clear + light.fog_colour[2] * (1.0 - clear)
    if rise < 0.0:
        share = min(-rise * 8.0, 1.0) * 0.55
        red = red * (1.0 - share) + light.fog_colour[0] * 0.45 * share
        green = green * (1.0 - share) + light.fog_colour[1] * 0.45 * share
        blue = blue * (1.0 - share) + light.fog_colour[2] * 0.45 * share
    return red, green, blue


@njit(**INLINE)
def _beam_light(stage, x, y, z, nx, ny, nz):
    """Light of head lamps on a point."""
    total = 0.0
    for beam in range(len(stage.beams)):
        lamp = stage.beams[beam]
        px, py, pz = x - lamp[0], y - lamp[1], z - lamp[2]
        along = px * lamp[3] + py * lamp[4]
        if along < 0.3 or along > 70.0:
            continue
        across = (py * lamp[3] - px * lamp[4]) / (0.9 + 0.22 * along)
        height = pz / (0.7 + 0.06 * along)
        facing = -(nx * px + ny * py + nz * pz) / math.sqrt(px * px + py * py + pz * pz + 0.01)
        spread = math.exp(-across * across - (height * height if height > 0.0 else 0.0))
        # The ground right in front of a lamp lies under its beam.
        rise = min((along - 0.3) / 3.5, 1.0)
        spread *= rise * rise * (3.0 - 2.0 * rise)
        total += lamp[5] * spread * (0.35 + 0.65 * max(facing, 0.0)) / (1.0 + (along / 13.0) ** 2)
    return total


@njit(**INLINE)
def _ground_albedo(stage, surface, x, y, z, ax, ay, bx, by, size, red, green, blue):
    """Albedo of road, pavement and grass from their plain albedo; (ax, ay), (bx, by): sides of the pixel's patch."""
    noise = stage.noise
    if surface == ROAD:
        rough = 0.84 + 0.3 * _texture(noise, 0.31 * x, 0.31 * y)
        if size < 0.3:
            rough += (_texture(noise, 22.0 * x, 22.0 * y) - 0.5) * 0.3 * (1.0 - size / 0.3)
        red, green, blue = red * rough, green * rough, blue * rough
        cover, paint_red, paint_green, paint_blue = marking_cover(stage.markings, x, y, z, ax, ay, bx, by)
        if cover > 0.0:
            worn = cover * (0.8 + 0.2 * rough)
            red += worn * (stage.linear[int(paint_red)] - red)
            green += worn * (stage.linear[int(paint_green)] - green)
            blue += worn * (stage.linear[int(paint_blue)] - blue)
    elif surface == PAVEMENT:
        seams = max(
            _striped(x / 1.4, (abs(ax) + abs(bx)) / 1.4, 0.0, 0.03),
            _striped(y / 1.4, (abs(ay) + abs(by)) / 1.4, 0.0, 0.03),
        )
        rough = (0.88 + 0.22 * _texture(noise, 0.9 * x, 0.9 * y)) * (1.0 - 0.45 * seams)
        if size < 0.3:
            rough += (noise[int(y * 18.0) & 255, int(x * 18.0) & 255] - 0.5) * 0.14 * (1.0 - size / 0.3)
        red, green, blue = red * rough, green * rough, blue * rough
    else:
        broad = _texture(noise, 0.11 * x, 0.11 * y)
        rough = 0.7 + 0.5 * broad
        if size < 1.2:
            rough += (_texture(noise, 2.3 * x, 2.3 * y) - 0.5) * 0.5 * (1.0 - size / 1.2)
        if size < 0.2:
            rough += (noise[int(y * 30.0) & 255, int(x * 30.0) & 255] - 0.5) * 0.5 * (1.0 - size / 0.2)
        red, green, blue = red * rough * (0.85 + 0.3 * broad), green * rough, blue * rough
    return red, green, blue


@njit(**INLINE)
def _pane(stage, x, y, z, nx, ny, size, identity):
    """A band of windows: share of frame, and light from inside (0..1)."""
    along = (y * nx - x * ny) / 1.3
    frame = _striped(along, size / 1.3, 0.0, 0.07)
    lit = 0.0
    if stage.light.night > 0.0:
        room = stage.noise[
            (math.floor(z / 3.1 - 0.3) * 7 + identity * 3) & 255, (math.floor(along) * 5 + identity) & 255
        ]
        lit = stage.light.night * (0.3 if size > 2.5 else (1.0 if room > 0.66 else 0.02))
    return frame, lit


@njit(**INNER)
def _lamp_glow(material, lamps, night):
    """Light that a lamp of a vehicle gives off: red, green, blue."""
    bright = 1.6 + 1.6 * night
    if material == HEADLIGHT and lamps & LAMP_HEAD:
        return bright * 1.5, bright * 1.45, bright * 1.25
    if material == TAIL_LIGHT and lamps & LAMP_BRAKE:
        return bright, 0.06, 0.04
    if material == TAIL_LIGHT and lamps & LAMP_TAIL:
        return 0.45, 0.02, 0.02
    if (material == LEFT_BLINKER and lamps & LAMP_LEFT) or (material == RIGHT_BLINKER and lamps & LAMP_RIGHT):
        return bright, 0.5 * bright, 0.05
    return 0.0, 0.0, 0.0


@njit(**INLINE)
def _matter(stage, number):
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
    glow_red, glow_green, glow_blue = _lamp_glow(material, body["lamps"], stage.light.night)
    return PLAIN, red, green, blue, mirror, glow_red, glow_green, glow_blue


@njit(**INLINE)
def _patch(axes, rx, ry, rz, nx, ny, nz, scale):
    """Sides (ax, ay), (bx, by) on the ground of a pixel that is `scale` wide at the depth of what it shows."""
    facing = min(nx * rx + ny * ry + nz * rz, -1e-3)
    right = (nx * axes[1, 0] + ny * axes[1, 1] + nz * axes[1, 2]) / facing
    up = (nx * axes[2, 0] + ny * axes[2, 1] + nz * axes[2, 2]) / facing
    ax, ay = scale * (axes[1, 0] - right * rx), scale * (axes[1, 1] - right * ry)
    bx, by = scale * (axes[2, 0] - up * rx), scale * (axes[2, 1] - up * ry)
    return ax, ay, bx, by


@njit(**INLINE)
def _wetted(stage, surface, x, y, graze, red, green, blue):
    """Albedo and share of mirrored light of ground in rain; graze: 0 seen from above, 1 along the ground."""
    light = stage.light
    mirror = 0.0
    if light.wet > 0.0:
        dry = 1.0 - 0.5 * light.wet
        red, green, blue = red * dry, green * dry, blue * dry
        mirror = light.wet * (0.04 + 0.5 * graze**4)
    if light.puddles > 0.0 and surface == ROAD:
        level = _texture(stage.noise, 0.17 * x, 0.17 * y) - 1.0 + 0.62 * light.puddles
        pool = min(max(level * 9.0, 0.0), 1.0)
        mirror = max(mirror, pool * (0.25 + 0.6 * graze * graze))
        red, green, blue = red * (1.0 - 0.5 * pool), green * (1.0 - 0.5 * pool), blue * (1.0 - 0.5 * pool)
    return red, green, blue, mirror


@njit(**INLINE)
def _leaf(noise, x, y, z, size):
    """Brightness of foliage around 1."""
    leaf = 0.5 + 0.85 * _texture(noise, 2.7 * x + 1.3 * z, 2.7 * y + 1.9 * z)
    if size < 0.15:
        leaf += (_texture(noise, 9.0 * x + 5.0 * z, 9.0 * y - 7.0 * z) - 0.5) * 0.9 * (1.0 - size / 0.15)
    return leaf


@njit(**INLINE)
def _lit(stage, surface, on_ground, x, y, z, nx, ny, nz, sun_share):
    """Light (3) that falls on a point from sun, sky, ground and lamps."""
    light, ground = stage.light, stage.ground
    towards_sun = nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2]
    if surface == LEAVES:
        towards_sun = 0.3 + 0.6 * towards_sun
    direct = sun_share * max(towards_sun, 0.0)
    above = (0.5 + 0.5 * nz) * (0.8 + 0.2 * sun_share if on_ground else 1.0)
    below = 0.5 - 0.5 * nz
    lamp_red = lamp_green = lamp_blue = 0.0
    if light.night > 0.0:
        lamp_red, lamp_green, lamp_blue = _lamp_light(ground, x, y)
        share = 0.63 * light.night
        lamp_red, lamp_green, lamp_blue = share * lamp_red, share * lamp_green, share * lamp_blue
        if len(stage.beams):
            beam = light.night * _beam_light(stage, x, y, z, nx, ny, nz)
            lamp_red, lamp_green, lamp_blue = lamp_red + beam, lamp_green + 0.78 * beam, lamp_blue + 0.5 * beam
    sun, sky, floor = light.sun_colour, light.sky_colour, light.ground_colour
    return (
        sun[0] * direct + sky[0] * above + floor[0] * below + lamp_red,
        sun[1] * direct + sky[1] * above + floor[1] * below + lamp_green,
        sun[2] * direct + sky[2] * above + floor[2] * below + lamp_blue,
    )


@njit(**INLINE)
def _mirrored(light, x, y, z, length, glint_share):
    """Light (3) that comes from a mirrored direction: sky, ground, or a glint of the sun."""
    if z < 0.0:
        return light.ground_colour[0] * 0.5, light.ground_colour[1] * 0.5, light.ground_colour[2] * 0.5
    red, green, blue = _sky(light.sky, x, y, z)
    glint = (x * light.sun[0] + y * light.sun[1] + z * light.sun[2]) / length
    if glint > 0.97 and glint_share > 0.0:
        shine = 2.0 * glint_share * ((glint - 0.97) / 0.03) ** 3
        red += shine * light.sun_colour[0]
        green += shine * light.sun_colour[1]
        blue += shine * light.sun_colour[2]
    return red, green, blue


@njit(**INLINE)
def _clearness(light, distance, height):
    """Share of light that passes the air on a way of the given length [m], at a mean height [m]."""
    thick = light.haze * distance
    if light.fog > 0.0 and distance > light.fog_start:
        thick += light.fog * (distance - light.fog_start) * _faded(light.fog_falloff * max(height, 0.0))
    return _faded(thick)


@njit(**INLINE)
def _radiance(stage, camera, number, u, v, near, spread, shadow):
    """Linear colour seen along one ray.

    number, near: the triangle and its nearness; u, v: right and up components of the ray with forward 1; spread: the
    pixel's side at depth 1; shadow: share of it that lies in an actor's shadow.
    """
    axes, light, ground = camera.axes, stage.light, stage.ground
    rx = axes[0, 0] + u * axes[1, 0] + v * axes[2, 0]
    ry = axes[0, 1] + u * axes[1, 1] + v * axes[2, 1]
    rz = axes[0, 2] + u * axes[1, 2] + v * axes[2, 2]
    length = math.sqrt(rx * rx + ry * ry + rz * rz)
    if number < 0:
        return _background(light, rx, ry, rz, length)
    depth = 1.0 / near
    x, y, z = camera.position[0] + depth * rx, camera.position[1] + depth * ry, camera.position[2] + depth * rz
    surface, red, green, blue, mirror, glow_red, glow_green, glow_blue = _matter(stage, number)
    nx, ny, nz = world_normal(stage, number)
    facing = nx * rx + ny * ry + nz * rz
    if facing > 0.0:
        nx, ny, nz, facing = -nx, -ny, -nz, -facing
    graze = 1.0 + facing / length
    scale = depth * spread
    sun_share, polished = 1.0, number >= stage.base
    on_ground = surface in (ROAD, PAVEMENT, GRASS)
    if on_ground or polished:
        sun_share = _lookup(ground.sun, ground.origin_x, ground.origin_y, ground.cell, x, y)
    if on_ground:
        sun_share *= 1.0 - shadow
        ax, ay, bx, by = _patch(axes, rx, ry, rz, nx, ny, nz, scale)
        size = max(abs(ax) + abs(ay), abs(bx) + abs(by))
        red, green, blue = _ground_albedo(stage, surface, x, y, z, ax, ay, bx, by, size, red, green, blue)
        red, green, blue, mirror = _wetted(stage, surface, x, y, graze, red, green, blue)
    elif surface == PANE:
        frame, lit = _pane(stage, x, y, z, nx, ny, scale * 1.2, int(stage.surfaces.object_id[number]))
        red, green, blue = red * 0.5 + 0.3 * frame, green * 0.5 + 0.3 * frame, blue * 0.5 + 0.29 * frame
        mirror, lit, polished = 0.35 * (1.0 - frame), lit * (1.0 - frame), True
        glow_red, glow_green, glow_blue = 0.8 * lit, 0.55 * lit, 0.26 * lit
    elif surface == WALL:
        plaster = 0.9 + 0.2 * _texture(stage.noise, 0.4 * (x + y), 0.4 * (z + 0.3 * x))
        red, green, blue = red * plaster, green * plaster, blue * plaster
    elif surface == LAMP:
        if light.night > 0.0:
            glow_red, glow_green, glow_blue = _lamp_light(ground, x, y)
            share = 2.4 * light.night
            glow_red, glow_green, glow_blue = share * glow_red, share * glow_green, share * glow_blue
    elif surface == LEAVES:
        leaf = _leaf(stage.noise, x, y, z, scale)
        red, green, blue = red * leaf, green * leaf, blue * leaf
    light_red, light_green, light_blue = _lit(stage, surface, on_ground, x, y, z, nx, ny, nz, sun_share)
    red, green, blue = red * light_red, green * light_green, blue * light_blue
    if mirror > 0.004:
        if polished and mirror > 0.05:
            mirror += 0.55 * graze**4
        mirror = min(mirror, 0.9)
        bounce = 2.0 * facing
        far_red, far_green, far_blue = _mirrored(
            light, rx - bounce * nx, ry - bounce * ny, rz - bounce * nz, length, 0.0 if on_ground else sun_share
        )
        red += mirror * (far_red - red)
        green += mirror * (far_green - green)
        blue += mirror * (far_blue - blue)
    clear = _clearness(light, depth * length, 0.5 * (z + camera.position[2]))
    return (
        (red + glow_red) * clear + light.fog_colour[0] * (1.0 - clear),
        (green + glow_green) * clear + light.fog_colour[1] * (1.0 - clear),
        (blue + glow_blue) * clear + light.fog_colour[2] * (1.0 - clear),
    )


@njit(**INNER)
def _tone(value, table):
    if not value > 0.0:
        return table[0]
    if value >= TABLE_RANGE:
        return table[TABLE - 1]
    return table[int(value * (TABLE / TABLE_RANGE))]


@njit(**INLINE)
def _alike(stage, one, other):
    """Whether two triangles can be shaded as one."""
    if one == other:
        return True
    if one < 0 or other < 0 or one >= stage.base or other >= stage.base:
        return False
    return stage.surfaces.look[one] == stage.surfaces.look[other]


@njit(**INLINE)
def _is_even(stage, ids, row, column, down, aside):
    """Whether a pixel lies amid one surface without fine structure: a triangle of a wall, or of an actor.

    It does if the pixels `down` rows below and `aside` columns beside it, and those opposite, show the same triangle.
    """
    number = ids[row, column]
    if number < 0 or ids[row - down, column - aside] != number or ids[row + down, column + aside] != number:
        return False
    return number >= stage.base or stage.surfaces.surface[number] == WALL


@njit(**INLINE)
def _lies_between(stage, ids, row, column):
    """Which neighbours' mean a pixel of a large picture is: 0 none, 1 those above and below, 2 those beside it."""
    if row & 1 and row + 1 < ids.shape[0] and _is_even(stage, ids, row, column, 1, 0):
        return 1
    if column & 1 and column + 1 < ids.shape[1] and _is_even(stage, ids, row, column, 0, 1):
        return 2
    return 0


@njit(**INNER)
def _fill_between(stage, ids, row, picture):
    """Colour those pixels of a row that are the mean of others, first by the rows above and below."""
    for way in range(1, 3):
        down, aside = 2 - way, way - 1
        for column in range(ids.shape[1]):
            if _lies_between(stage, ids, row, column) == way:
                for channel in range(4):
                    low = int(picture[row - down, column - aside, channel])
                    high = int(picture[row + down, column + aside, channel])
                    picture[row, column, channel] = (low + high) >> 1


@njit(**BARE)
def shade(stage, camera, samples, nearness, ids, shadow, table, seen, picture):
    """Colour a picture.

    Args:
        stage: what is seen.
        camera: over the samples, of which `samples` squared make a pixel.
        nearness, ids: of the samples, see `raster`.
        shadow: uint8 like `ids`, 1 in the shadow of an actor.
        table: uint8 (3, TABLE), bytes of red, green and blue by linear light.
        seen: int32 (samples squared,), scratch.
        picture: uint8 (height, width, 4), receives blue, green, red, alpha.
    """
    height, width = picture.shape[:2]
    focal = camera.focal
    centre_x, centre_y = 0.5 * camera.width, 0.5 * camera.height
    weight = 1.0 / (samples * samples)
    spread = samples / focal
    for row in range(height):
        for column in range(width):
            top, left = row * samples, column * samples
            number = ids[top, left]
            if samples == 1 and number < 0:
                # The sky is smooth: in large pictures, three of four pixels of it are their neighbour's.
                above = row & 1 and ids[top - 1, left] < 0
                if above or (column & 1 and ids[top, left - 1] < 0):
                    for channel in range(4):
                        beside = picture[row - 1, column, channel] if above else picture[row, column - 1, channel]
                        picture[row, column, channel] = beside
                    continue
            if samples == 1 and _lies_between(stage, ids, row, column):
                continue
            same = True
            near, dark = float(nearness[top, left]), float(shadow[top, left])
            if samples > 1:
                near, dark = 0.0, 0.0
                for j in range(samples):
                    for i in range(samples):
                        same = same and _alike(stage, number, ids[top + j, left + i])
                        near += nearness[top + j, left + i]
                        dark += shadow[top + j, left + i]
            red, green, blue = 0.0, 0.0, 0.0
            kinds = 0
            for first in range(1 if same else samples * samples):
                share = 1.0
                across, down = left + 0.5 * samples, top + 0.5 * samples
                if same:
                    near, dark = near * weight, dark * weight
                else:
                    number = ids[top + first // samples, left + first % samples]
                    known = False
                    for other in range(kinds):
                        known = known or _alike(stage, seen[other], number)
                    if known:
                        continue
                    seen[kinds] = number
                    kinds += 1
                    count, near, dark, across, down = 0, 0.0, 0.0, 0.0, 0.0
                    for place in range(first, samples * samples):
                        j, i = top + place // samples, left + place % samples
                        if _alike(stage, ids[j, i], number):
                            count += 1
                            near += nearness[j, i]
                            dark += shadow[j, i]
                            across += i + 0.5
                            down += j + 0.5
                    near, dark, across, down = near / count, dark / count, across / count, down / count
                    share = count * weight
                u, v = (across - centre_x) / focal, (centre_y - down) / focal
                part_red, part_green, part_blue = _radiance(stage, camera, number, u, v, near, spread, dark)
                if not same:
                    part_red, part_green, part_blue = min(part_red, 1.6), min(part_green, 1.6), min(part_blue, 1.6)
                red += share * part_red
                green += share * part_green
                blue += share * part_blue
            picture[row, column, 0] = _tone(blue, table[2])
            picture[row, column, 1] = _tone(green, table[1])
            picture[row, column, 2] = _tone(red, table[0])
            picture[row, column, 3] = 255
        if samples == 1 and not row & 1:
            _fill_between(stage, ids, row, picture)
            if row > 0:
                _fill_between(stage, ids, row - 1, picture)
    if samples == 1 and not height & 1:
        _fill_between(stage, ids, height - 1, picture)


@njit(**INLINE)
def label_at(stage, camera, number, u, v, near):
    """Semantic tag of what a ray meets."""
    if number < 0:
        return labels.SKY
    if number >= stage.base:
        instance, triangle = mesh_triangle(stage, number)
        label = stage.pool.label[triangle]
        return stage.instances[instance]["label"] if label == 255 else label
    label = stage.surfaces.label[number]
    if stage.surfaces.surface[number] == ROAD:
        axes, depth = camera.axes, 1.0 / near
        x = camera.position[0] + depth * (axes[0, 0] + u * axes[1, 0] + v * axes[2, 0])
        y = camera.position[1] + depth * (axes[0, 1] + u * axes[1, 1] + v * axes[2, 1])
        z = camera.position[2] + depth * (axes[0, 2] + u * axes[1, 2] + v * axes[2, 2])
        if marking_cover(stage.markings, x, y, z, 0.001, 0.0, 0.0, 0.001)[0] > 0.5:
            return labels.ROAD_LINES
    return label


@njit(**BARE)
def paint_labels(stage, camera, samples, nearness, ids, with_ids, picture):
    """Tags into red; with `with_ids` also the low and high byte of the object's id into green and blue."""
    height, width = picture.shape[:2]
    middle = samples // 2
    for row in range(height):
        for column in range(width):
            j, i = row * samples + middle, column * samples + middle
            number = ids[j, i]
            u = (i + 0.5 - 0.5 * camera.width) / camera.focal
            v = (0.5 * camera.height - j - 0.5) / camera.focal
            picture[row, column, 2] = label_at(stage, camera, number, u, v, nearness[j, i])
            identity = 0
            if with_ids and number >= stage.base:
                identity = int(stage.instances[stage.owner[number - stage.base]]["object_id"]) & 0xFFFF
            elif with_ids and number >= 0:
                identity = -int(stage.surfaces.object_id[number]) & 0xFFFF
            picture[row, column, 1] = identity & 0xFF
            picture[row, column, 0] = identity >> 8
            picture[row, column, 3] = 255


@njit(**BARE)
def paint_depth(samples, nearness, far, picture):
    """Depth [m] as CARLA's 24 bits: (red + 256 green + 65536 blue) / (256^3 - 1) * far."""
    height, width = picture.shape[:2]
    middle = samples // 2
    for row in range(height):
        for column in range(width):
            near = nearness[row * samples + middle, column * samples + middle]
            share = 1.0 if near * far <= 1.0 else 1.0 / (near * far)
            code = int(share * 16777215.0 + 0.5)
            picture[row, column, 2] = code & 0xFF
            picture[row, column, 1] = (code >> 8) & 0xFF
            picture[row, column, 0] = code >> 16
            picture[row, column, 3] = 255


@njit(**BARE)
def paint_normals(stage, samples, ids, picture):
    """World normals: red, green, blue = (x, y, z) mapped from -1..1 to 0..255; nothing is black."""
    height, width = picture.shape[:2]
    middle = samples // 2
    for row in range(height):
        for column in range(width):
            number = ids[row * samples + middle, column * samples + middle]
            picture[row, column, 3] = 255
            if number < 0:
                picture[row, column, :3] = 0
                continue
            nx, ny, nz = world_normal(stage, number)
            picture[row, column, 2] = int((nx + 1.0) * 127.5 + 0.5)
            picture[row, column, 1] = int((ny + 1.0) * 127.5 + 0.5)
            picture[row, column, 0] = int((nz + 1.0) * 127.5 + 0.5)


@njit(**BARE)
def paint_flow(stage, camera, before, elapsed, nearness, ids, flow):
    """How far every pixel's point moved across the picture since the camera was `before`, `elapsed` seconds ago.

    flow: float32 (height, width, 2), receives the motion to the right and up in units of half the picture's size.
    """
    height, width = ids.shape
    for row in range(height):
        for column in range(width):
            number = ids[row, column]
            u, v = (column + 0.5 - 0.5 * width) / camera.focal, (0.5 * height - row - 0.5) / camera.focal
            axes = camera.axes
            px = axes[0, 0] + u * axes[1, 0] + v * axes[2, 0]
            py = axes[0, 1] + u * axes[1, 1] + v * axes[2, 1]
            pz = axes[0, 2] + u * axes[1, 2] + v * axes[2, 2]
            if number >= 0:
                depth = 1.0 / nearness[row, column]
                px = px * depth + camera.position[0]
                py = py * depth + camera.position[1]
                pz = pz * depth + camera.position[2]
                if number >= stage.base:
                    body = stage.instances[stage.owner[number - stage.base]]
                    lx, ly, lz = px - body["position"][0], py - body["position"][1], pz - body["position"][2]
                    turn = body["turn"]
                    px -= elapsed * (body["velocity"][0] + turn[1] * lz - turn[2] * ly)
                    py -= elapsed * (body["velocity"][1] + turn[2] * lx - turn[0] * lz)
                    pz -= elapsed * (body["velocity"][2] + turn[0] * ly - turn[1] * lx)
                px, py, pz = px - before.position[0], py - before.position[1], pz - before.position[2]
            old = before.axes
            forward = old[0, 0] * px + old[0, 1] * py + old[0, 2] * pz
            if forward < 1e-3:
                flow[row, column, 0], flow[row, column, 1] = 0.0, 0.0
                continue
            old_u = (old[1, 0] * px + old[1, 1] * py + old[1, 2] * pz) / forward
            old_v = (old[2, 0] * px + old[2, 1] * py + old[2, 2] * pz) / forward
            flow[row, column, 0] = min(max((u - old_u) * camera.focal * 2.0 / width, -2.0), 2.0)
            flow[row, column, 1] = min(max((v - old_v) * camera.focal * 2.0 / height, -2.0), 2.0)


@njit(**BARE)
def draw_rain(starts, rain, slant, picture):
    """Blend streaks of falling rain into a picture; starts: float64 (n, 3): column, row, length, all 0..1."""
    height, width = picture.shape[:2]
    for drop in range(len(starts)):
        x, y = starts[drop, 0] * width, starts[drop, 1] * height
        length = int(height * (0.03 + 0.07 * starts[drop, 2])) + 1
        strength = (0.10 + 0.16 * starts[drop, 2]) * (0.5 + 0.5 * rain)
        for step in range(length):
            row, column = int(y) + step, int(x + slant * step)
            if 0 <= row < height and 0 <= column < width:
                for channel in range(3):
                    value = picture[row, column, channel]
                    picture[row, column, channel] = int(value + (205 - value) * strength)
