"""Stands first in PATH on the test's nodes, so that `ray stop` ends the test's own Ray and no other on the machine.

Every process that the test's SSH server starts carries CLUSTER_MARK in its environment.
"""

from __future__ import annotations

import os
import sys

import psutil

MARK = "CARLA_RLLIB_TEST_CLUSTER"
RAY_PROGRAMS = (
    "raylet", "gcs_server", "monitor.py", "dashboard", "log_monitor", "ray::", "runtime_env", "default_worker"
)  # fmt: skip


def own_ray_processes(mark: str) -> list[psutil.Process]:
    """Ray's processes that carry the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if process.environ().get(MARK) == mark and any(name in command for name in RAY_PROGRAMS):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def stop(mark: str) -> None:
    """Ends them."""
    processes = own_ray_processes(mark)
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stop"]:
        stop(os.environ[MARK])
    else:
        os.execv(sys.executable, [sys.executable, "-m", "ray.scripts.scripts", *sys.argv[1:]])
