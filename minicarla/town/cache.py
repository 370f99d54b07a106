"""Keeps what was derived from an OpenDRIVE text in the user's cache folder: a town loads in a fraction of a second.

The key of an entry covers the text and the code that made the entry, so that neither can be out of date. A damaged
entry, or one that belongs elsewhere, is made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from minicarla.checked_files import is_whole, write_checked
from minicarla.physics import ground
from minicarla.town.sources import atomic_file, cache_folder
from minicarla.town.town import Signal

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


@functools.cache
def _code_digest() -> bytes:
    """Hash of the code that makes towns."""
    digest = hashlib.sha256()
    for path in sorted([*Path(__file__).parent.glob("*.py"), Path(ground.__file__)]):
        digest.update(path.read_bytes())
    return digest.digest()


def entry_path(name: str, opendrive: str, suffix: str) -> Path:
    """Where the entry of a text is kept."""
    key = hashlib.sha256(_code_digest() + opendrive.encode("utf-8")).hexdigest()[:24]
    plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[:60]
    return cache_folder() / "built" / f"{plain}.{key}{suffix}"


def load_arrays(path: Path) -> Arrays | None:
    """Read an entry; None where it is missing or damaged."""
    with _open_whole(path) as file:
        if file is None:
            return None
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an entry and drop older ones of the same town; a cache that cannot be written is done without."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    save_bytes(path, buffer.getbuffer())


def load_bytes(path: Path) -> bytes | None:
    """Read a plain entry; None where it is missing or damaged."""
    with _open_whole(path) as file:
        return None if file is None else file.read()


def save_bytes(path: Path, data: bytes | memoryview) -> None:
    """As `save_arrays`, for plain bytes."""
    try:
        with atomic_file(path) as file:
            write_checked(file, path.name, data)
        name, _, suffix = path.name.split(".", 2)
        for old in path.parent.glob(f"{name}.*.{suffix}"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("what was built of a town cannot be kept and is built again the next time: %s", error)


@contextlib.contextmanager
def _open_whole(path: Path) -> Iterator[IO[bytes] | None]:
    """Open an entry behind its hash; None where it is missing or damaged, of which the log tells."""
    file: IO[bytes] | None
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            if not is_whole(file, path.name):
                logger.warning("%s is damaged; what it held is built again", path)
                file = None
        except FileNotFoundError:
            file = None
        except OSError as error:
            logger.warning("what was built of a town cannot be read and is built again: %s", error)
            file = None
        yield file


def pack_signals(signals: list[Signal]) -> NDArray[np.uint8]:
    """Signals as JSON text in an array."""
    records = [
        {
            **dataclasses.asdict(signal),
            "light_boxes": signal.light_boxes.tolist(),
            "crossing": signal.crossing.tolist(),
        }
        for signal in signals
    ]
    return np.frombuffer(json.dumps(records).encode("utf-8"), np.uint8)


def unpack_signals(data: NDArray[np.uint8]) -> list[Signal]:
    """The inverse of `pack_signals`."""
    signals = []
    for record in json.loads(data.tobytes().decode("utf-8")):
        record["light_boxes"] = np.array(record["light_boxes"]).reshape(-1, 7)
        record["crossing"] = np.array(record["crossing"]).reshape(-1, 3)
        for key in ("affected_lanes", "stop_lanes"):
            record[key] = [(int(road), int(lane), float(s)) for road, lane, s in record[key]]
        signals.append(Signal(**record))
    return signals
