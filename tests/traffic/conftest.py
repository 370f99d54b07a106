"""A world of the embedded server, which the traffic tests of a file share."""

from __future__ import annotations

import pytest

from rllib_integration.carla_core import CarlaCore


@pytest.fixture(scope="module")
def core():
    core = CarlaCore({"server": {"kind": "embedded"}, "timeout": 20.0})
    yield core
    core.close()
