"""The same input gives the same bits, in this process and in another one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.minicarla.physics.scene import Scene, launch, obstacle, prop, vehicle_facts, vehicles, walker

_PROGRAM = "from tests.minicarla.physics.test_determinism import fingerprint; print(fingerprint())"


def fingerprint() -> str:
    """SHA-1 of everything after a crowded half minute."""
    names = list(vehicle_facts())
    rng = np.random.default_rng(1)
    scene = Scene(
        vehicles(*names),
        np.concatenate([walker(x, 5.0) for x in (-20.0, 0.0, 20.0)]),
        np.concatenate([prop(x, -5.0) for x in (-20.0, 0.0, 20.0)]),
        np.concatenate([obstacle(x, y, 0.2, 0.2) for x in (-30.0, 30.0) for y in (-30.0, 0.0, 30.0)]),
    )
    v = scene.vehicles
    v["x"], v["y"] = (np.arange(len(v)) % 7) * 14.0 - 45.0, (np.arange(len(v)) // 7) * 10.0 - 30.0
    launch(v, 8.0)
    scene.walkers["direction_y"], scene.walkers["speed"] = -1.0, 1.4
    digest = hashlib.sha1()
    for tick in range(400):
        if tick % 20 == 0:
            v["throttle"], v["steer"] = rng.uniform(0.0, 1.0, len(v)), rng.uniform(-0.6, 0.6, len(v))
            v["brake"] = np.where(rng.uniform(size=len(v)) < 0.2, 1.0, 0.0)
        _add(digest, scene.tick())
    for rows in (v, scene.walkers, scene.props):
        _add(digest, rows)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, rows: np.ndarray) -> None:
    # by field: what lies between the fields is nobody's
    for name in rows.dtype.names or ():
        digest.update(np.ascontiguousarray(rows[name]).tobytes())


def test_two_runs_and_two_processes_give_the_same_bits():
    here = fingerprint()
    assert fingerprint() == here
    root = Path(__file__).parents[3]
    other = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == here
