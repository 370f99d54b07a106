"""What the virtual lidar costs and how exact it is, compared with rays through a picture of the road.

178 rays of 40 m from poses all round a race track. The reference paints the bird view's road mask, four pixels a metre,
and walks along each ray in steps of a pixel to the first one off the road, as DeepRacer programs for CARLA do. Errors
are those against the exact edges. The two are measured in turns.

    python benchmarks/virtual_lidar.py [--town Racetrack01] [--poses 200] [--rounds 15]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.sensors.actor_roster import NO_ACTORS, Box
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid
from rllib_integration.sensors.bird_view.painter import BirdviewPainter, Scene
from rllib_integration.sensors.road_field import EdgeRays, RoadField
from rllib_integration.sensors.virtual_lidar import ray_angles
from rllib_integration.tracks import RACETRACKS, Track, racetrack_opendrive

FAR = 40.0
RADIUS = 42.0  # [m] half width of the reference's picture
SCALE = 4  # [px/m]
AIM = 40.0  # [us]
NEAR = 18.0  # [m] as far as the picture sees astern
Pose = tuple[float, float, float]


@njit(cache=True)
def walk(mask: NDArray[np.uint8], angles: NDArray[np.float64], row: float, column: float) -> NDArray[np.float64]:
    """Pixels along each ray to the first one off the road."""
    found = np.zeros(len(angles))
    for n in range(len(angles)):
        di, dj = -math.cos(angles[n]), math.sin(angles[n])
        while found[n] < FAR * SCALE:
            i, j = int(row + found[n] * di), int(column + found[n] * dj)
            if i < 0 or j < 0 or i >= mask.shape[0] or j >= mask.shape[1] or mask[i, j] < 128:
                break
            found[n] += 1.0
    return found


def exact(track: Track, pose: Pose, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (m) to the course's edges, taken as very short straight pieces."""
    at = np.array([track.at(distance) for distance in np.arange(0.0, track.length, 0.05)])
    aside = np.stack([-np.sin(at[:, 3]), np.cos(at[:, 3])], axis=1) * at[:, 4:5] / 2.0
    begin = np.concatenate([at[:, :2] - aside, at[:, :2] + aside])
    end = np.concatenate([np.roll(line, -1, axis=0) for line in (at[:, :2] - aside, at[:, :2] + aside)])
    begin, way = begin - pose[:2], end - begin
    found = []
    for angle in pose[2] + angles:
        c, s = math.cos(angle), math.sin(angle)
        across = c * way[:, 1] - s * way[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (begin[:, 0] * way[:, 1] - begin[:, 1] * way[:, 0]) / across
            share = (begin[:, 0] * s - begin[:, 1] * c) / across
        found.append(along[(along > 0.0) & (share >= 0.0) & (share <= 1.0)].min(initial=FAR))
    return np.array(found)


def main() -> None:
    """Measure both, print times, ratio and errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--town", default=RACETRACKS[0], choices=RACETRACKS)
    parser.add_argument("--poses", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    carla_map = carla.Map(options.town, racetrack_opendrive(options.town))
    track, angles = Track.of_map(carla_map), ray_angles(tuple(range(2, 89, 2)), rear=True)
    rng = np.random.default_rng(0)
    transforms = [track.transform_at(rng.uniform(0, track.length), rng.uniform(-2, 2)) for _ in range(options.poses)]
    poses = [(t.location.x, t.location.y, math.radians(t.rotation.yaw)) for t in transforms]
    rays = EdgeRays(RoadField.of_map(carla_map), angles, FAR)
    size = int(2 * RADIUS * SCALE)
    painter = BirdviewPainter(MapPyramid.of_map(carla_map), size, RADIUS, ("road",))

    def by_field(pose: Pose) -> NDArray[np.float64]:
        return rays.cast(pose[0], pose[1], 0.0, pose[2]).astype(np.float64)

    def by_picture(pose: Pose) -> NDArray[np.float64]:
        mask = painter.paint(Scene(*pose[:2], 0.0, pose[2], 0.0, Box(1.0, 1.0, 0.0, 0.0), NO_ACTORS))[..., 0]
        return walk(mask, angles, 0.75 * size, 0.5 * size) / SCALE

    ways: dict[str, Callable[[Pose], NDArray[np.float64]]] = {"virtual lidar": by_field, "picture": by_picture}
    best = dict.fromkeys(ways, math.inf)
    for _ in range(options.rounds + 1):  # the first round compiles
        for name, way in ways.items():
            began = time.perf_counter()
            for pose in poses:
                way(pose)
            best[name] = min(best[name], (time.perf_counter() - began) / len(poses))
    print(f"{len(angles)} rays, {options.town}, best of {options.rounds} rounds")
    for name, way in ways.items():
        true = np.array([exact(track, pose, angles) for pose in poses[:60]])
        errors = np.abs(np.array([way(pose) for pose in poses[:60]]) - true)[true < NEAR]
        print(
            f"{name:<14} {1e6 * best[name]:7.1f} us, {best[name] / best['picture']:.3f} of the picture's; rays below "
            f"{NEAR:.0f} m: median error {np.median(errors):.3f} m, 95 % within {np.quantile(errors, 0.95):.3f} m"
        )
    print(f"aim: {AIM:.0f} us")


if __name__ == "__main__":
    main()
