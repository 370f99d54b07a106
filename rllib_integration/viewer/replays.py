"""Recorded episodes of runs and of the user's own folder: listing, reading and writing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rllib_integration.telemetry.messages import Kind, head_of, kind_of
from rllib_integration.telemetry.replay import REPLAYS_FOLDER, SUFFIX, read_about, town_message, write_replay
from rllib_integration.telemetry.town_mesh import load_town


class Replays:
    """The recorded episodes of a viewer, each under a number.

    Args:
        own: Folder of episodes without a run.
    """

    def __init__(self, own: Path) -> None:
        self.own = own
        self._numbers: dict[Path, int] = {}
        self._paths: dict[int, Path] = {}
        self._about: dict[Path, tuple[int, dict[str, Any] | None]] = {}
        self._runs: Sequence[Path] = ()

    def look(self, runs: Sequence[Path]) -> bool:
        """Scan these runs' files; returns whether the list has changed since the last scan."""
        self._runs = runs
        found = {}
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):  # a running training removes old episodes
                found[path] = path.stat().st_mtime_ns
        changed = found.keys() != self._about.keys()
        self._about = {
            path: self._about[path] if self._about.get(path, (0,))[0] == stamp else (stamp, read_about(path))
            for path, stamp in found.items()
        }
        for path in found:
            number = self._numbers.setdefault(path, len(self._numbers))
            self._paths[number] = path
        return changed

    def _files(self) -> Iterable[Path]:
        for folder in (self.own, *(run / REPLAYS_FOLDER for run in self._runs)):
            yield from sorted(folder.glob(f"[!.]*{SUFFIX}"))

    def listed(self) -> list[dict[str, Any]]:
        """The episodes, newest first: `number`, `file`, `run`, `saved` (s since 1970), the description of each."""
        rows = [
            {**about, "number": self._numbers[path], "file": path.name, "run": self._run_of(path), "saved": stamp / 1e9}
            for path, (stamp, about) in self._about.items()
            if about is not None
        ]
        return sorted(rows, key=lambda row: -row["saved"])

    def _run_of(self, path: Path) -> str | None:
        return None if path.parent == self.own else path.parent.parent.name

    def read(self, number: int) -> bytes | None:
        """The gzip file of a number; None if there is none."""
        path = self._paths.get(number)
        try:
            return path.read_bytes() if path is not None else None
        except OSError:
            return None

    def keep(self, run: Path | None, about: Mapping[str, Any], messages: Sequence[bytes]) -> Path:
        """Write an episode that a browser has shown.

        Raises:
            OSError: It can't be written.
        """
        folder = self.own if run is None else run / REPLAYS_FOLDER
        worlds = [head_of(message) for message in messages if kind_of(message) == Kind.WORLD]
        mesh = load_town(worlds[0]["key"]) if worlds else None
        towns = [town_message(mesh)] if mesh is not None else []
        return write_replay(folder, {**about, "kept": time.time()}, [*towns, *messages])
