"""What was recorded from real CARLA, where a folder of it is at hand: see `benchmarks/fidelity.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("CARLA_TRUTH") or Path(__file__).resolve().parents[3] / "shared" / "data" / "carla_truth")


def recorded(name: str) -> Path:
    """A file of the folder; the test is skipped where it is not there."""
    if not (_FOLDER / name).is_file():
        pytest.skip(f"{_FOLDER / name} is not there: name the folder of the recordings in CARLA_TRUTH")
    return _FOLDER / name
