"""TensorBoard beside a training run."""

from __future__ import annotations

import atexit
import importlib.util
import os
import socket
import sys
from pathlib import Path

from rllib_integration.errors import IntegrationError
from rllib_integration.processes.supervised import SupervisedProcess


class TensorBoardError(IntegrationError, RuntimeError):
    """TensorBoard can't be started; the message is a sentence for the user."""


class TensorBoard:
    """A running TensorBoard, which ends with this process, however that ends.

    Attributes:
        url: Its address in a browser.
        log_path: File with its terminal output.
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
    """Start TensorBoard on a folder of runs.

    Args:
        logdir: Folder of runs.
        host: Address that it listens on.
        port: Its port, or the first of those that are tried if it is busy.

    Returns:
        A handle with the `url` of the page.

    Raises:
        TensorBoardError: TensorBoard is not installed, or no port is free.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise TensorBoardError("TensorBoard is not installed: pip install tensorboard, or go on without it (--tboff).")
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
    for port in range(first, first + attempts):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise TensorBoardError(f"No port from {first} to {first + attempts - 1} of {host} is free for TensorBoard.")
