"""CARLA 0.9.15's client, in processes of its own, against the server that is started beside it.

The variable OLDER_CARLA_CLIENT names a folder with that client, into which `tests/older_client.txt` is installed:
pip install --no-deps --require-hashes --only-binary :all: --target FOLDER -r tests/older_client.txt
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ServerAddress

_REPOSITORY = Path(__file__).resolve().parents[2]
_CLIENT = os.environ.get("OLDER_CARLA_CLIENT", "")
_CASES = (
    "tests/compliance/test_sensors.py",
    "tests/compliance/test_map.py::test_reloading_ends_all_actors_and_begins_another_episode",
)
_CONNECT = """
import sys
from rllib_integration.servers import create_server
from rllib_integration.servers.errors import ServerVersionError
try:
    create_server({"server": {"kind": "external", "port": int(sys.argv[1])}}).start()
except ServerVersionError as error:
    print(error)
"""

pytestmark = pytest.mark.skipif(not _CLIENT, reason="OLDER_CARLA_CLIENT names no folder with CARLA 0.9.15's client")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=_REPOSITORY,
        env={**environment, "PYTHONPATH": os.pathsep.join([_CLIENT, str(_REPOSITORY)])},
        capture_output=True,
        text=True,
    )


def test_the_client_is_the_older_one() -> None:
    done = _run("-c", "import carla; print(carla.Client('127.0.0.1', 1, 1).get_client_version())")
    assert done.stdout.strip() == "0.9.15", done.stderr


def test_compliance_holds_with_the_older_client() -> None:
    done = _run("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *_CASES)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_older_client_is_told_of_a_newer_server(embedded_server: ServerAddress) -> None:
    done = _run("-c", _CONNECT, str(embedded_server[1]))
    assert done.returncode == 0, done.stderr
    assert "is CARLA 0.9.16, but the installed client is carla 0.9.15" in done.stdout
