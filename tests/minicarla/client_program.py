"""Clients as programs of their own: whatever becomes of one, the tests go on."""

from __future__ import annotations

import subprocess
import sys

_SYNCHRONOUS = """
import os, queue, sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]), worker_threads={worker_threads})
client.set_timeout(60.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
"""


def run_client(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=False)


def run_synchronous_client(
    program: str, port: int, *arguments: object, worker_threads: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a program that goes on with a `client` of the server at `port`, and its synchronous `world`."""
    return run_client(_SYNCHRONOUS.format(worker_threads=worker_threads) + program, port, *arguments)
