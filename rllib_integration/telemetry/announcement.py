"""How something that can be watched offers itself: a small JSON file in a folder that viewers look into.

The file says where the simulator is and which process owns it. It is written when the simulator is up, written again
when another one replaces it, and removed in the end; one that a killed process left behind is recognised by its
process id and the time at which that process began.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import platformdirs

from rllib_integration.annotations import Record

LIVE_FOLDER = "live"
"""Name, inside a run's folder, of the folder with the announcements of its environments."""

SUFFIX = ".json"
RING_SUFFIX = ".ring"
PAINT_SUFFIX = ".paint"


def default_folder() -> Path:
    """Where what belongs to no run announces itself: a folder of the user's on this machine."""
    return Path(platformdirs.user_cache_dir("rllib_integration")) / LIVE_FOLDER


@dataclass(frozen=True)
class Announcement:
    """What can be watched.

    Attributes:
        name: Of the environment or script, unique in its folder.
        host: Of the simulator; empty for what has no simulator of its own.
        port: RPC port of the simulator.
        pid: Process that owns the environment.
        began: When that process began, as the system counts it; tells it from a later one of the same id.
        node: Name of the machine.
        kind: "env" for an environment, "painter" for shapes alone.
        server: Kind of the simulator, such as "embedded".
        step_seconds: Simulated seconds between two decisions; 0 where nobody decides.
        sensors: The hero's sensors: name -> blueprint id.
        label: For people: what drives, such as a policy's name.
    """

    name: str
    host: str = ""
    port: int = 0
    pid: int = 0
    began: int = 0
    node: str = ""
    kind: str = "env"
    server: str = ""
    step_seconds: float = 0.0
    sensors: dict[str, str] = field(default_factory=dict)
    label: str = ""

    def is_stale(self) -> bool:
        """Whether the process that wrote it has ended; what other machines wrote can't be judged."""
        return self.node == this_node() and beginning_of(self.pid) != self.began

    def is_elsewhere(self) -> bool:
        """Whether it is another machine's, whose loopback and memory can't be reached from here."""
        return self.node not in ("", this_node())


def this_node() -> str:
    """This machine's name."""
    return socket.gethostname()


def beginning_of(pid: int) -> int:
    """When a process began, in clock ticks since the machine did; 0 if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b") ")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def own_process() -> Record:
    """The fields of an `Announcement` that say which process wrote it."""
    return {"pid": os.getpid(), "began": beginning_of(os.getpid()), "node": this_node()}


def write_announcement(folder: Path, announcement: Announcement) -> Path:
    """Write the file, whole or not at all; return its path.

    Raises:
        OSError: The folder can't be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(announcement), file)
    path = folder / f"{announcement.name}{SUFFIX}"
    os.replace(draft, path)
    return path


def read_announcements(folder: Path) -> Iterator[Announcement]:
    """The announcements of a folder whose processes live, in the order of their names."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        announcement = read_announcement(path)
        if announcement is not None and not announcement.is_stale():
            yield announcement


def read_announcement(path: Path) -> Announcement | None:
    """One announcement; None if it has gone, or another version wrote it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Announcement(**{name: content[name] for name in _NAMES if name in content})
    except (OSError, ValueError, TypeError):
        return None


def remove_stale(folder: Path) -> None:
    """Remove what killed processes of this machine have left in a folder."""
    for path in folder.glob(f"*{SUFFIX}"):
        announcement = read_announcement(path)
        if announcement is not None and announcement.is_stale():
            for suffix in (RING_SUFFIX, PAINT_SUFFIX, SUFFIX):
                with contextlib.suppress(OSError):
                    path.with_suffix(suffix).unlink(missing_ok=True)


_NAMES = tuple(attribute.name for attribute in fields(Announcement))
