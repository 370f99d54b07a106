"""What light reaches a point or comes from a direction: sun, sky, lamps, mirrored sky, and the air in between."""

# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import INLINE, INNER
from minicarla.sensing.patterns import within
from minicarla.sensing.scene import LAMP_STEPS, LEAVES
from minicarla.sensing.weather import SKY_SIZE, SUN_COSINE


@njit(**INNER)
def sky_light(sky, x, y, z):
    """Sky in a direction (any length), without the sun's disc; below the horizon the far air."""
    upward = max(z, 0.0)
    scale = 1.0 / (abs(x) + abs(y) + upward + 1e-9)
    u = ((x + y) * scale + 1.0) * 0.5 * SKY_SIZE - 0.5
    v = ((x - y) * scale + 1.0) * 0.5 * SKY_SIZE - 0.5
    u, v = within(u, SKY_SIZE - 1.001), within(v, SKY_SIZE - 1.001)
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
def lamp_light(ground, x, y):
    """Light (3) of street lamps on the ground, 1 right below one; bilinear."""
    field = ground.lamp
    u, v = (x - ground.origin_x) / ground.cell - 0.5, (y - ground.origin_y) / ground.cell - 0.5
    u, v = within(u, field.shape[1] - 1.001), within(v, field.shape[0] - 1.001)
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


@njit(**INLINE)
def faded(thick):
    """Close to exp(-thick) for what is not negative, and several times as fast."""
    return 1.0 / (1.0 + thick * (1.0 + thick * (0.5 + 0.2 * thick)))


@njit(**INLINE)
def background(light, x, y, z, length):
    """Sky, sun and fog in a direction of the given length."""
    red, green, blue = sky_light(light.sky, x, y, z)
    rise = z / length
    if x * light.sun[0] + y * light.sun[1] + z * light.sun[2] > SUN_COSINE * length:
        red, green, blue = red + light.sun_disc[0], green + light.sun_disc[1], blue + light.sun_disc[2]
    if light.fog > 0.0:
        path = min(1500.0, 60.0 / max(rise, 0.01))
        clear = faded(light.fog * max(path - light.fog_start, 0.0) * (0.2 if rise > 0.0 else 1.0))
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
def beam_light(beams, x, y, z, nx, ny, nz):
    """Light of head lamps on a point."""
    total = 0.0
    for beam in range(len(beams)):
        lamp = beams[beam]
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
def lit(light, ground, beams, surface, on_ground, x, y, z, nx, ny, nz, sun_share):
    """Light (3) that falls on a point from sun, sky, ground and lamps."""
    towards_sun = nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2]
    if surface == LEAVES:
        towards_sun = 0.3 + 0.6 * towards_sun
    direct = sun_share * max(towards_sun, 0.0)
    above = (0.5 + 0.5 * nz) * (0.8 + 0.2 * sun_share if on_ground else 1.0)
    below = 0.5 - 0.5 * nz
    lamp_red = lamp_green = lamp_blue = 0.0
    if light.night > 0.0:
        lamp_red, lamp_green, lamp_blue = lamp_light(ground, x, y)
        share = 0.63 * light.night
        lamp_red, lamp_green, lamp_blue = share * lamp_red, share * lamp_green, share * lamp_blue
        if len(beams):
            beam = light.night * beam_light(beams, x, y, z, nx, ny, nz)
            lamp_red, lamp_green, lamp_blue = lamp_red + beam, lamp_green + 0.78 * beam, lamp_blue + 0.5 * beam
    sun, sky, floor = light.sun_colour, light.sky_colour, light.ground_colour
    return (
        sun[0] * direct + sky[0] * above + floor[0] * below + lamp_red,
        sun[1] * direct + sky[1] * above + floor[1] * below + lamp_green,
        sun[2] * direct + sky[2] * above + floor[2] * below + lamp_blue,
    )


@njit(**INLINE)
def mirrored(light, x, y, z, length, glint_share):
    """Light (3) that comes from a mirrored direction: sky, ground, or a glint of the sun."""
    floor = light.ground_colour
    # Houses and trees stand before the horizon, which is no sharp line in what is mirrored.
    above = min(max(5.0 * z / length + 0.5, 0.0), 1.0)
    below = 0.5 * (1.0 - above)
    if above <= 0.0:
        return 0.5 * floor[0], 0.5 * floor[1], 0.5 * floor[2]
    red, green, blue = sky_light(light.sky, x, y, z)
    red, green, blue = above * red + below * floor[0], above * green + below * floor[1], above * blue + below * floor[2]
    glint = (x * light.sun[0] + y * light.sun[1] + z * light.sun[2]) / length
    if glint > 0.97 and glint_share > 0.0:
        shine = 2.0 * glint_share * ((glint - 0.97) / 0.03) ** 3
        red += shine * light.sun_colour[0]
        green += shine * light.sun_colour[1]
        blue += shine * light.sun_colour[2]
    return red, green, blue


@njit(**INLINE)
def clearness(light, distance, height):
    """Share of light that passes the air on a way of the given length [m], at a mean height [m]."""
    thick = light.haze * distance
    if light.fog > 0.0 and distance > light.fog_start:
        thick += light.fog * (distance - light.fog_start) * faded(light.fog_falloff * max(height, 0.0))
    return faded(thick)
