"""A town with room for every type of scenario, and environments in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import carla
import pytest

from minicarla.town import minitown
from rllib_integration.carla_env import CarlaEnv
from tests.scenarios.drivers import PedalsAndWheel

TOWN = "Widetown"
_BLOCK = 260.0


def wide_town() -> str:
    """Minitown with longer streets, as OpenDRIVE text."""
    with mock.patch.multiple(minitown, _BLOCK=_BLOCK, _ROUNDABOUT=(_BLOCK, 2 * _BLOCK + 145.0)):
        return minitown.minitown()


@pytest.fixture(scope="session")
def town() -> carla.Map:
    return carla.Map(TOWN, wide_town())


@pytest.fixture(scope="module")
def address(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of a server that has the town."""
    folder: Path = tmp_path_factory.mktemp("towns")
    (folder / f"{TOWN}.xodr").write_text(wide_town())
    server = start_server(f"--town-folder={folder}")
    yield server.address
    server.stop()


@pytest.fixture(scope="module")
def make_env(address: tuple[str, int]) -> Iterator[Callable[..., CarlaEnv]]:
    """Makes an environment with other settings of its experiment; one at a time."""
    made: list[CarlaEnv] = []

    def make(**experiment: Any) -> CarlaEnv:
        while made:
            made.pop().close()
        host, port = address
        env = CarlaEnv(
            {
                "carla": {
                    "timestep": 0.05,
                    "ticks_per_step": 2,
                    "timeout": 60.0,
                    "server": {"kind": "external", "host": host, "port": port},
                },
                "experiment": {"type": PedalsAndWheel, "town": TOWN, **experiment},
            }
        )
        made.append(env)
        return env

    yield make
    while made:
        made.pop().close()
