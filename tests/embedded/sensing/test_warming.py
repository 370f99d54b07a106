"""No client waits for a compiler: what is compiled ahead is all that sensors ever call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from rllib_integration.embedded.sensing import (
    SENSORS,
    actors,
    dvs,
    raster,
    rays,
    renderer,
    shading,
    warming,
)

from .world import WALL_AT_TEN_METRES, Town, make_mount, make_view, street


def compiled_variants():
    """How many variants of every kernel are there."""
    return {
        (module.__name__, name): len(kernel.signatures)
        for module in (actors, dvs, raster, rays, renderer, shading)
        for name, kernel in vars(module).items()
        if getattr(kernel, "signatures", None)
    }


def variants_compiled_by_use(folder):
    """Variants of kernels that using every sensor adds to those that warming up compiled."""
    town = Town([WALL_AT_TEN_METRES], scenery=street())
    town.spawn_points = np.zeros((1, 6))
    warming._compile(make_view(town), folder)
    before = compiled_variants()
    for weather in ({}, {"precipitation": 60.0, "sun_altitude_angle": -20.0}):
        view = make_view(
            town, vehicles=[{}, {"x": 8.0}], walkers=[{"x": 5.0, "vx": 1.0}], props=[{"x": 6.0}], **weather
        )
        for type_id in SENSORS:
            sensor = SENSORS[type_id]({})
            for time in (0.05, 0.1):
                sensor.capture(view._replace(time=time), make_mount(kind=0, row=0))
    return {kernel: count for kernel, count in compiled_variants().items() if before.get(kernel) != count}


def test_no_sensor_compiles_anything_that_warming_up_did_not(tmp_path):
    """In a process of its own: what other tests have used would be compiled here already."""
    command = [sys.executable, "-m", __name__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=Path(__file__).parents[3])
    assert done.stdout.strip() == "{}", done.stdout + done.stderr


def test_warming_up_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    (tmp_path / "sensors-compiled").touch()
    assert warming.warm_up_in_background(make_view()) is None


if __name__ == "__main__":
    print(variants_compiled_by_use(Path(sys.argv[1])))
