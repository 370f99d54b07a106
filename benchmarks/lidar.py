"""How many ticks a second the real client gets with a lidar of 56 000 points a second, and what a ray costs.

Client and server share one CPU; the reference is the same world with no sensor, in the same run.

    python benchmarks/lidar.py [--town Minitown] [--seconds 3] [--vehicles 20]
"""

from __future__ import annotations

import carla
from sensor_rates import compare

SETUPS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("lidar, 10 m", "sensor.lidar.ray_cast", {"range": "10"}),
    ("lidar, 50 m", "sensor.lidar.ray_cast", {"range": "50"}),
    ("lidar, 100 m", "sensor.lidar.ray_cast", {"range": "100"}),
    ("semantic lidar, 50 m", "sensor.lidar.ray_cast_semantic", {"range": "50"}),
    ("radar", "sensor.other.radar", {}),
)


def main() -> None:
    place = carla.Transform(carla.Location(z=2.4))
    setups = [(name, [(type_id, attributes, place)]) for name, type_id, attributes in SETUPS]
    compare(str(__doc__).splitlines()[0], setups)


if __name__ == "__main__":
    main()
