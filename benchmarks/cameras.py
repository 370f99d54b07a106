"""How many pictures a second the real client receives from the embedded server's cameras.

Client and server share one CPU. The reference of every figure is the same car in the same street with no sensor at
all, in the same run; the picture's own cost is the difference.

    python benchmarks/cameras.py [--town Minitown] [--seconds 3] [--vehicles 20]
"""

from __future__ import annotations

from collections.abc import Sequence

import carla
from sensor_rates import Mounting, compare

Setup = tuple[str, Sequence[str], int, int, bool]
"""Name, kinds of camera, width, height, whether they all look the same way."""

SETUPS: tuple[Setup, ...] = (
    ("84x84 rgb", ("rgb",), 84, 84, True),
    ("84x84 semantic", ("semantic_segmentation",), 84, 84, True),
    ("320x240 rgb", ("rgb",), 320, 240, True),
    ("800x600 rgb", ("rgb",), 800, 600, True),
    ("800x600 depth", ("depth",), 800, 600, True),
    ("84x84 rgb, depth, semantic, instance", ("rgb", "depth", "semantic_segmentation",
                                                       "instance_segmentation"), 84, 84, True),
    ("84x84 four rgb around the car", ("rgb",) * 4, 84, 84, False),
)  # fmt: skip


def mountings(setup: Setup) -> list[Mounting]:
    """The cameras of a setup."""
    _, kinds, width, height, same = setup
    size = {"image_size_x": str(width), "image_size_y": str(height)}
    found = []
    for number, kind in enumerate(kinds):
        turn = carla.Rotation(pitch=-8.0, yaw=0.0 if same else 90.0 * number)
        place = carla.Transform(carla.Location(x=-4.0 if same else 0.0, z=3.0), turn)
        found.append((f"sensor.camera.{kind}", size, place))
    return found


def main() -> None:
    compare(str(__doc__).splitlines()[0], [(setup[0], mountings(setup)) for setup in SETUPS])


if __name__ == "__main__":
    main()
