"""The files of a state log: lines of JSON, compressed, in a bounded number of files of bounded size.

Each piece that is written is a gzip member of its own, so that a file is whole at any moment, also after its process
was killed.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rllib_integration.annotations import Record, Settings

FILE_BYTES = 64 * 2**20  # after which a file is followed by the next
FILES_KEPT = 16  # of each writer
FOLDER = "rollouts"
_PIECE = 256 * 2**10  # [bytes] of text that are compressed at once
_SECONDS = 2.0  # after which what waits is written, where `flush_old` is called
_LEVEL = 3  # more takes longer and saves little
_NAME = re.compile(r"(train|eval)-(\d+)-(\d+)\.jsonl\.gz")


class StateLogWriter:
    """Writes the lines of one env runner.

    Args:
        folder: Of the log; it is made.
        kind: "train" or "eval".
        runner: Number of the env runner.
        file_bytes: After which a file is followed by the next.
        files_kept: The oldest ones are deleted.
    """

    def __init__(
        self, folder: Path, kind: str, runner: int, file_bytes: int = FILE_BYTES, files_kept: int = FILES_KEPT
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._prefix = folder, f"{kind}-{runner}"
        self._file_bytes, self._files_kept = file_bytes, files_kept
        self._number = max(self._numbers(), default=0) + 1
        self._lines: list[str] = []
        self._waiting = 0
        self._written = time.monotonic()

    def _numbers(self) -> list[int]:
        found = (_NAME.fullmatch(file.name) for file in self._folder.glob(f"{self._prefix}-*.jsonl.gz"))
        return sorted(int(match[3]) for match in found if match)

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._prefix}-{number}.jsonl.gz"

    def add(self, line: Settings) -> None:
        """Note a step."""
        self._lines.append(json.dumps(line, separators=(",", ":"), default=_as_json))
        self._waiting += len(self._lines[-1]) + 1
        if self._waiting >= _PIECE:
            self.flush()

    def flush_old(self) -> None:
        """Write what has waited for some seconds."""
        if self._lines and time.monotonic() - self._written >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._written = time.monotonic()
        if not self._lines:
            return
        text = "\n".join(self._lines) + "\n"
        self._lines, self._waiting = [], 0
        with self._file(self._number).open("ab") as file:
            file.write(gzip.compress(text.encode(), _LEVEL))
            full = file.tell() >= self._file_bytes
        if full:
            self._number += 1
            for old in self._numbers()[: -self._files_kept]:
                self._file(old).unlink(missing_ok=True)


def _as_json(value: Any) -> Any:
    """numpy's values as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def state_log_files(folder: Path, kind: str | None = None) -> list[Path]:
    """The files of a state log, in order.

    Args:
        folder: Of the log.
        kind: "train" or "eval"; None is both.
    """
    found = [(match, file) for file in folder.glob("*.jsonl.gz") if (match := _NAME.fullmatch(file.name))]
    chosen = [(match[1], int(match[2]), int(match[3]), file) for match, file in found if kind in (None, match[1])]
    return [file for *_, file in sorted(chosen, key=lambda entry: entry[:3])]


def read_state_log(folder: Path, kind: str | None = None) -> Iterator[Record]:
    """The lines of a state log, file by file.

    Args:
        folder: Of the log.
        kind: "train" or "eval"; None is both.
    """
    for file in state_log_files(folder, kind):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
