"""Where servers run: which GPU renders for which server, and which core belongs to which worker.

Workers that start in the same second all see the same load, so a choice by load alone sends them all to one
GPU. Each choice therefore takes a slot, a lock that ends with the worker, and the GPU with the fewest slots
taken comes first; the memory in use decides between equals.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

from rllib_integration.servers.errors import ServerSettingsError
from rllib_integration.servers.ports import ByteLocks

_GPU_SLOTS = 256
_SMI_SECONDS = 20.0
_CORES_TO_SPARE = 2  # for the driver, the learner and everything else of the machine
_GPU_LOCKS = ByteLocks("gpus.lock")
_CORE_LOCKS = ByteLocks("cores.lock")


@dataclass
class Slot:
    """A GPU or a core that one worker has chosen, until `release` or the worker's end.

    Attributes:
        index: of the GPU (as CARLA's `-graphicsadapter` counts them) or of the core.
    """

    index: int
    _locks: ByteLocks | None = field(default=None, repr=False)
    _byte: int = field(default=0, repr=False)

    def release(self) -> None:
        """Let another worker have it. Calling it again does nothing."""
        if self._locks is not None:
            self._locks.unlock(self._byte)
            self._locks = None


def choose_gpu(wanted: int | str | None) -> Slot | None:
    """The GPU for a server, or None to leave the choice to CARLA.

    Args:
        wanted: an index, None, or `auto`: where there are several, the one with the fewest of this user's servers.

    Raises:
        ServerSettingsError: there is no GPU with that index.
    """
    if wanted is None:
        return None
    used = gpu_memory_in_use()
    if isinstance(wanted, int):
        if used and wanted not in used:
            raise ServerSettingsError(
                f"env_config.carla.server.gpu is {wanted}, but this machine's GPUs are {sorted(used)}. "
                "Choose one of these, or 'auto'."
            )
        return Slot(wanted)
    visible = _visible_gpus()
    candidates = sorted((index for index in used if not visible or index in visible), key=lambda index: used[index])
    if len(used) < 2:  # nothing to choose; CARLA's own choice also knows GPUs that nvidia-smi does not
        return None
    for slot in range(_GPU_SLOTS):
        for index in candidates:
            byte = index * _GPU_SLOTS + slot
            if _GPU_LOCKS.try_lock(byte):
                return Slot(index, _GPU_LOCKS, byte)
    return None


def gpu_memory_in_use() -> dict[int, int]:
    """MiB in use by GPU index, as nvidia-smi says; empty without it."""
    query = ["nvidia-smi", "--query-gpu=index,memory.used", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.split(",") for line in answer.splitlines())
    return {int(index): int(used) for index, used in pairs if used.strip().isdigit()}


def _visible_gpus() -> set[int]:
    """The indices that Ray or the user gave this process; empty when there is no such limit."""
    words = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {int(word) for word in words if word.strip().isdigit()}


def lease_core(wanted: bool | str) -> Slot | None:
    """A core that no other worker of this user has, or None.

    Args:
        wanted: True, False, or `auto`: only while cores are left over for the rest of the machine.
    """
    available = sorted(os.sched_getaffinity(0))
    spare = _CORES_TO_SPARE if wanted == "auto" else 0
    if wanted is False or len(available) <= spare:
        return None
    # The first cores are left free: they are the busiest with interrupts.
    for core in reversed(available[spare:]):
        if _CORE_LOCKS.try_lock(core):
            return Slot(core, _CORE_LOCKS, core)
    return None


def pin_process(pid: int, core: int) -> None:
    """Run all threads of a process on one core."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})
