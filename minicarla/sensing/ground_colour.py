"""What the ground looks like: road with its markings, pavement with its seams, grass; dry, wet or under water.

Light, air and broad patches of the ground change slowly from pixel to pixel. They are its terms, which a row of a
large picture takes at every few pixels only; fine structure is then found for each.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import INLINE, INNER
from minicarla.sensing.lighting import clearness, lit, mirrored
from minicarla.sensing.patterns import lookup, overlap, striped, texture
from minicarla.sensing.scene import FAR_CELL, GRASS, PAVEMENT, ROAD

TERMS = 11
"""Terms of a place on the ground: how much of its albedo is seen (red, green, blue), light that is added to it (3),
brightness of its broad patches, and the sides (ax, ay), (bx, by) of the pixel on the ground [m]."""

FINE = 0.6
"""[m] Pixels that are smaller on the ground look for markings in the fine grid."""


@njit(**INLINE)
def is_ground(surface):
    """Whether a surface is coloured here."""
    return surface in (ROAD, PAVEMENT, GRASS)


@njit(**INLINE)
def marking_cover(markings, x, y, z, ax, ay, bx, by):
    """Share of a patch of ground that is painted, and the mean colour of the paint (0..255).

    x, y, z: the patch's middle [m]; (ax, ay), (bx, by): its sides [m].
    """
    size = max(abs(ax) + abs(bx), abs(ay) + abs(by), 0.004)
    grid = markings.near if size < FINE else markings.far
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
            share = overlap(ahead, along, place[5]) * overlap(aside, across, place[6])
            if share > 0.0:
                cover += share
                red += share * markings.colour[marking, 0]
                green += share * markings.colour[marking, 1]
                blue += share * markings.colour[marking, 2]
    if cover <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    return min(cover, 1.0), red / cover, green / cover, blue / cover


@njit(**INNER)
def _is_beyond(place, x, y, other_x, other_y, size):
    """Whether the way between two places passes a marking on one of its sides, by more than `size` [m]."""
    ux, uy = place[3], place[4]
    px, py, qx, qy = x - place[0], y - place[1], other_x - place[0], other_y - place[1]
    ahead, other_ahead = px * ux + py * uy, qx * ux + qy * uy
    aside, other_aside = py * ux - px * uy, qy * ux - qx * uy
    length, width = place[5] + size, place[6] + size
    return (
        min(aside, other_aside) > width
        or max(aside, other_aside) < -width
        or min(ahead, other_ahead) > length
        or max(ahead, other_ahead) < -length
    )


@njit(**INLINE)
def is_bare_between(markings, x, y, other_x, other_y, terms):
    """Whether nothing is painted on the way between two places near each other; terms: of one of them."""
    size = max(abs(terms[7]) + abs(terms[9]), abs(terms[8]) + abs(terms[10]))
    grid = markings.near if size < FINE else markings.far
    last = -1
    column, row = int((x - grid.origin_x) / grid.cell), int((y - grid.origin_y) / grid.cell)
    other_column, other_row = int((other_x - grid.origin_x) / grid.cell), int((other_y - grid.origin_y) / grid.cell)
    if abs(column - other_column) + abs(row - other_row) > 1:
        return False
    for _ in range(2):
        cell = row * grid.columns + column
        if column < 0 or row < 0 or column >= grid.columns or row >= grid.rows:
            return False
        if cell != last:
            for item in range(grid.starts[cell], grid.starts[cell + 1]):
                if not _is_beyond(markings.place[grid.items[item]], x, y, other_x, other_y, size):
                    return False
        last, column, row = cell, other_column, other_row
    return True


@njit(**INLINE)
def patch(axes, rx, ry, rz, nx, ny, nz, scale):
    """Sides (ax, ay), (bx, by) on the ground of a pixel that is `scale` wide at the depth of what it shows."""
    facing = min(nx * rx + ny * ry + nz * rz, -1e-3)
    right = (nx * axes[1, 0] + ny * axes[1, 1] + nz * axes[1, 2]) / facing
    up = (nx * axes[2, 0] + ny * axes[2, 1] + nz * axes[2, 2]) / facing
    ax, ay = scale * (axes[1, 0] - right * rx), scale * (axes[1, 1] - right * ry)
    bx, by = scale * (axes[2, 0] - up * rx), scale * (axes[2, 1] - up * ry)
    return ax, ay, bx, by


@njit(**INLINE)
def _wetted(light, noise, surface, x, y, graze):
    """Shares of albedo that is left and of mirrored light in rain; graze: 0 seen from above, 1 along the ground."""
    left, mirror = 1.0, 0.0
    if light.wet > 0.0:
        left = 1.0 - 0.5 * light.wet
        mirror = light.wet * (0.04 + 0.5 * graze**4)
    if light.puddles > 0.0 and surface == ROAD:
        level = texture(noise, 0.17 * x, 0.17 * y) - 1.0 + 0.62 * light.puddles
        pool = min(max(level * 9.0, 0.0), 1.0)
        mirror = max(mirror, pool * (0.25 + 0.6 * graze * graze))
        left *= 1.0 - 0.5 * pool
    return left, min(mirror, 0.9)


@njit(**INLINE)
def _broad(noise, surface, x, y):
    """Brightness of broad patches, and how much redder they are."""
    if surface == ROAD:
        return 0.84 + 0.3 * texture(noise, 0.31 * x, 0.31 * y), 1.0
    if surface == PAVEMENT:
        return 0.88 + 0.22 * texture(noise, 0.9 * x, 0.9 * y), 1.0
    broad = texture(noise, 0.11 * x, 0.11 * y)
    return 0.7 + 0.5 * broad, 0.85 + 0.3 * broad


@njit(**INLINE)
def ground_terms(stage, camera, surface, x, y, z, rx, ry, rz, length, nx, ny, nz, depth, spread, shadow, terms):
    """Find the terms of a place on the ground.

    Args:
        stage, camera: the scene and who looks at it.
        surface: `ROAD`, `PAVEMENT` or `GRASS`.
        x, y, z: [m] the place.
        rx, ry, rz, length: the ray to it, 1 long along the optical axis.
        nx, ny, nz: its normal, towards the camera.
        depth: [m] along the optical axis.
        spread: the pixel's side at depth 1.
        shadow: share of the pixel that lies in an actor's shadow.
        terms: float64 (TERMS,), receives them.
    """
    light, ground = stage.light, stage.ground
    facing = nx * rx + ny * ry + nz * rz
    rough, redder = _broad(stage.noise, surface, x, y)
    left, mirror = _wetted(light, stage.noise, surface, x, y, 1.0 + facing / length)
    sun_share = lookup(ground.sun, ground.origin_x, ground.origin_y, ground.cell, x, y) * (1.0 - shadow)
    red, green, blue = lit(light, ground, stage.beams, surface, True, x, y, z, nx, ny, nz, sun_share)
    far_red, far_green, far_blue = 0.0, 0.0, 0.0
    if mirror > 0.004:
        bounce = 2.0 * facing
        far_red, far_green, far_blue = mirrored(
            light, rx - bounce * nx, ry - bounce * ny, rz - bounce * nz, length, 0.0
        )
    else:
        mirror = 0.0
    clear = clearness(light, depth * length, 0.5 * (z + camera.position[2]))
    seen, mirror, air = left * (1.0 - mirror) * clear, mirror * clear, 1.0 - clear
    terms[0], terms[1], terms[2] = redder * red * seen, green * seen, blue * seen
    terms[3] = mirror * far_red + light.fog_colour[0] * air
    terms[4] = mirror * far_green + light.fog_colour[1] * air
    terms[5] = mirror * far_blue + light.fog_colour[2] * air
    terms[6] = rough
    terms[7], terms[8], terms[9], terms[10] = patch(camera.axes, rx, ry, rz, nx, ny, nz, depth * spread)


@njit(**INLINE)
def ground_colour(markings, noise, linear, surface, red, green, blue, x, y, z, terms, is_bare):
    """Linear colour of a pixel of the ground; red, green, blue: plain albedo; is_bare: nothing is painted there."""
    ax, ay, bx, by, rough = terms[7], terms[8], terms[9], terms[10], terms[6]
    size = max(abs(ax) + abs(ay), abs(bx) + abs(by))
    if surface == ROAD:
        if size < 0.3:
            rough += (texture(noise, 22.0 * x, 22.0 * y) - 0.5) * (0.3 - size)
        red, green, blue = red * rough, green * rough, blue * rough
        if not is_bare:
            cover, paint_red, paint_green, paint_blue = marking_cover(markings, x, y, z, ax, ay, bx, by)
            if cover > 0.0:
                worn = cover * (0.8 + 0.2 * rough)
                red += worn * (linear[int(paint_red)] - red)
                green += worn * (linear[int(paint_green)] - green)
                blue += worn * (linear[int(paint_blue)] - blue)
    elif surface == PAVEMENT:
        seams = max(
            striped(x / 1.4, (abs(ax) + abs(bx)) / 1.4, 0.0, 0.03),
            striped(y / 1.4, (abs(ay) + abs(by)) / 1.4, 0.0, 0.03),
        )
        rough *= 1.0 - 0.45 * seams
        if size < 0.3:
            rough += (noise[int(y * 18.0) & 255, int(x * 18.0) & 255] - 0.5) * 0.14 * (1.0 - size / 0.3)
        red, green, blue = red * rough, green * rough, blue * rough
    else:
        if size < 1.2:
            rough += (texture(noise, 2.3 * x, 2.3 * y) - 0.5) * 0.5 * (1.0 - size / 1.2)
        if size < 0.2:
            rough += (noise[int(y * 30.0) & 255, int(x * 30.0) & 255] - 0.5) * 0.5 * (1.0 - size / 0.2)
        red, green, blue = red * rough, green * rough, blue * rough
    return red * terms[0] + terms[3], green * terms[1] + terms[4], blue * terms[2] + terms[5]
