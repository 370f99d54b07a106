"""Seconds to load a town, first from its OpenDRIVE text and then from the cache, and asking its ground.

The reference of the loads is the client library's own parsing of the same text, that of the ground is the client
library's look-up of the waypoint below a point. The kernels are compiled before anything is timed.

    python benchmarks/town_load.py [--town Town05]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np

from minicarla.physics.ground import ground_heights
from minicarla.town import BUILT_IN_TOWN, build_town, load_town


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--town", default="Town05")
    town = parser.parse_args().town
    text = load_town(town).opendrive
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        build_town("compiles", load_town(BUILT_IN_TOWN).opendrive)
        reference = _seconds(lambda: carla.Map(town, text))
        print(f"{town}: carla.Map alone {reference:.3f} s")
        for label in ("from the OpenDRIVE text", "from the cache"):
            seconds = _seconds(lambda: build_town(town, text))
            print(f"{town}: {label} {seconds:.3f} s, {seconds / reference:.1f} x carla.Map")
        loaded = build_town(town, text)
        seconds = _seconds(loaded.navigation_mesh)
        print(f"{town}: navigation mesh {seconds:.3f} s, {seconds / reference:.1f} x carla.Map")
    rng = np.random.default_rng(0)
    points = loaded.spawn_points[rng.integers(len(loaded.spawn_points), size=100_000), :3] + (0.3, 0.2, 0.0)
    x, y, z = (np.ascontiguousarray(points[:, k]) for k in range(3))
    ground_heights(loaded.surface, x, y, z)
    ground = _seconds(lambda: ground_heights(loaded.surface, x, y, z)) / len(points)
    town_map = loaded.carla_map
    locations = [carla.Location(*point) for point in points[:2000].tolist()]
    waypoint = _seconds(lambda: [town_map.get_waypoint(location) for location in locations]) / len(locations)
    print(f"ground: {ground * 1e9:.0f} ns a point, {ground / waypoint:.5f} x get_waypoint ({waypoint * 1e6:.0f} us)")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
