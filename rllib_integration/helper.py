"""Small tools around training: pictures, dictionaries, checkpoints and TensorBoard."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllib_integration.config import overlay

if TYPE_CHECKING:
    import numpy as np

    from rllib_integration.servers.process import SupervisedProcess

_CHECKPOINT = re.compile(r"checkpoint_(\d+)$")
_SIGNS_OF_A_RUN = tuple(
    f"{folder}{sign}"
    for folder in ("", "*/")
    for sign in ("checkpoint_*", "events.out.tfevents.*", "result.json", "progress.csv", "params.json", "config.yaml")
)


def post_process_image(image: np.ndarray, normalized: bool = True, grayscale: bool = True) -> np.ndarray:
    """Prepare a picture for a network.

    Args:
        image: uint8 (H, W, 3), RGB.
        normalized: Scale 0..255 to -1..1 as float32.
        grayscale: Keep the luminance only.

    Returns:
        (H, W, 1) if `grayscale`, else (H, W, 3); float32 if `normalized`, else uint8.
    """
    import cv2
    import numpy as np

    if grayscale:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]
    if normalized:
        return (image.astype(np.float32) - 128.0) / 128.0
    return image.astype(np.uint8)


def join_dicts(d: Mapping[str, Any], u: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the nested dictionary `u` over `d`.

    Neither is modified, and the result shares no list or dictionary with them. A dictionary over a plain value
    replaces it, as a plain value replaces a dictionary.
    """
    return overlay(d, u)


def find_latest_checkpoint(directory: str | os.PathLike[str]) -> str | None:
    """The newest checkpoint of the newest run below a directory.

    A run is a folder with `checkpoint_<number>` folders in it; the newest run is the one that wrote last, and
    its newest checkpoint the one with the largest number. Empty folders are left by an interrupted save and
    don't count.

    Returns:
        Its absolute path, or None if there is no checkpoint.
    """
    runs: dict[Path, list[Path]] = {}
    for checkpoint in _checkpoints_below(Path(directory).expanduser().resolve()):
        runs.setdefault(checkpoint.parent, []).append(checkpoint)
    if not runs:
        return None
    newest_run = max(runs.values(), key=lambda checkpoints: max(_modified(path) for path in checkpoints))
    return str(max(newest_run, key=_number))


def _checkpoints_below(directory: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(directory):
        found = [name for name in names if _CHECKPOINT.match(name)]
        for name in found:
            names.remove(name)
            checkpoint = Path(folder, name)
            if any(checkpoint.iterdir()):
                yield checkpoint


def _number(checkpoint: Path) -> int:
    match = _CHECKPOINT.match(checkpoint.name)
    return int(match.group(1)) if match else -1


def _modified(checkpoint: Path) -> int:
    return max(path.stat().st_mtime_ns for path in [checkpoint, *checkpoint.iterdir()])


def get_checkpoint(
    name: str, directory: str | os.PathLike[str], restore: bool = False, overwrite: bool = False
) -> str | None:
    """Decide what happens to the run `name` of `directory` before it starts.

    Args:
        name: The run's name, a folder below `directory`.
        directory: Where runs are kept.
        restore: Continue its newest run.
        overwrite: Delete what is there.

    Returns:
        The checkpoint to continue from, None to start anew.

    Raises:
        RuntimeError: Both flags are given; the folder is in use and neither is; there is nothing to restore;
            or what should be overwritten does not look like a run.
    """
    if restore and overwrite:
        raise RuntimeError("--restore continues a run and --overwrite deletes it; give one of them, not both.")
    if name in ("", ".", "..") or Path(name).name != name:
        raise RuntimeError(f"The run's name is {name!r}, but it has to be a plain folder name, such as dqn_example.")
    run = Path(directory).expanduser() / name
    in_use = run.is_dir() and any(run.iterdir())
    if restore:
        checkpoint = find_latest_checkpoint(run) if in_use else None
        if checkpoint is None:
            raise RuntimeError(f"There is no checkpoint below '{run}' to restore; leave --restore out to start anew.")
        return checkpoint
    if in_use and not overwrite:
        raise RuntimeError(
            f"The run folder '{run}' is not empty; continue it with --restore, delete it with --overwrite, "
            "or choose another --name."
        )
    if in_use:
        if not any(any(run.glob(sign)) for sign in _SIGNS_OF_A_RUN):
            raise RuntimeError(f"'{run}' does not look like a training run, so --overwrite leaves it alone.")
        shutil.rmtree(run)
    return None


class TensorBoard:
    """A running TensorBoard that ends with this process, however that ends.

    Attributes:
        url: Where it is seen.
        log_path: What it writes to its terminal.
    """

    def __init__(self, process: SupervisedProcess, url: str, log_path: Path) -> None:
        self._process = process
        self.url = url
        self.log_path = log_path
        atexit.register(self.stop)

    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.status() is None

    def stop(self) -> None:
        """End it. Twice is fine."""
        self._process.stop(grace=0.5)
        atexit.unregister(self.stop)


def launch_tensorboard(logdir: str | os.PathLike[str], host: str = "localhost", port: int | str = 6006) -> TensorBoard:
    """Start TensorBoard on a folder of runs; it is ended with this process.

    Args:
        logdir: Folder of runs.
        host: Address it listens on.
        port: Its port; if that one is busy, TensorBoard takes the next free one.

    Returns:
        A handle with the `url` it will answer at.

    Raises:
        RuntimeError: TensorBoard is not installed, or no port is free.
    """
    import importlib.util

    from rllib_integration.servers.process import SupervisedProcess

    if importlib.util.find_spec("tensorboard") is None:
        raise RuntimeError("TensorBoard is not installed: pip install tensorboard, or go on without it (--tboff).")
    folder = Path(logdir).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    free_port = _free_port(host, int(port))
    arguments = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host]
    arguments += ["--port", str(free_port)]
    log_path = folder / "tensorboard.log"
    with log_path.open("ab") as log:
        process = SupervisedProcess(arguments, log.fileno())
    return TensorBoard(process, f"http://{host}:{free_port}", log_path)


def _free_port(host: str, first: int, attempts: int = 50) -> int:
    import socket

    for port in range(first, first + attempts):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No port from {first} to {first + attempts - 1} of {host} is free for TensorBoard.")
