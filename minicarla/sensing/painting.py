"""Pictures of what the surfaces are rather than of how they look: labels, depths, normals, motion; and falling rain."""

# mypy: allow-untyped-defs

from __future__ import annotations

from minicarla import labels
from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import BARE, INLINE
from minicarla.sensing.ground_colour import marking_cover
from minicarla.sensing.scene import ROAD
from minicarla.sensing.shading import mesh_triangle, world_normal


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
def draw_stars(camera, samples, stars, bright, ids, picture):
    """Add the stars to the sky of a picture; stars: as of `weather.stars`; bright: 0..255, of the brightest.

    A star's light is spread over the four pixels around it, so that it glides rather than jumps when the camera turns.
    """
    axes, height, width = camera.axes, picture.shape[0], picture.shape[1]
    for star in range(len(stars)):
        x, y, z = stars[star, 0], stars[star, 1], stars[star, 2]
        ahead = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
        if ahead < 0.05:
            continue
        right = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
        up = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z
        across = (0.5 * camera.width + camera.focal * right / ahead) / samples - 0.5
        down = (0.5 * camera.height - camera.focal * up / ahead) / samples - 0.5
        if not (0.0 <= across < width - 1.0 and 0.0 <= down < height - 1.0):
            continue
        left, top = int(across), int(down)
        for corner in range(4):
            column, row = left + (corner & 1), top + (corner >> 1)
            if ids[row * samples + samples // 2, column * samples + samples // 2] >= 0:
                continue
            share = (1.0 - abs(across - column)) * (1.0 - abs(down - row)) * bright * stars[star, 3]
            for channel in range(3):
                picture[row, column, channel] = int(min(picture[row, column, channel] + share, 255.0))


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
