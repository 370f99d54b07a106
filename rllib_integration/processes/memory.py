"""How much memory there is to use."""

from __future__ import annotations

from pathlib import Path

import psutil

_LIMIT_FILE, _USED_FILE = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))


def available_memory() -> int:
    """Bytes that can still be taken without swapping, at most what the container's limit leaves."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (file.read_text(encoding="ascii").strip() for file in (_LIMIT_FILE, _USED_FILE))
    except OSError:
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - int(used)))
