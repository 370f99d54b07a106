"""Runs in MLflow: on a server, or in a SQLite file."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rllib_integration.tracking.tracker import RunDescription, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

LONGEST_VALUE = 6000  # characters of a parameter
LONGEST_TAG = 5000
EXPERIMENT = "rllib_integration"
_METRICS_A_CALL = 1000
_PARAMETERS_A_CALL = 100
_ANSWERS_WITHIN = 10.0  # [s]
_NOT_IN_NAMES = re.compile(r"[^\w\-./: ]")


class MlflowTracker:
    """A run in MLflow.

    Args:
        uri: An http address, `sqlite:///FILE`, or a folder for `mlflow.db`.

    Raises:
        TrackingError: MLflow is not installed, or no server answers at the address.
    """

    name = "MLflow"

    def __init__(self, uri: str) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise TrackingError(
                "--mlflow-uri needs MLflow, which the extra 'mlflow' installs: pip install 'rllib-integration[mlflow]'."
            )
        self._uri = tracking_uri(uri)
        self._folder = Path(uri).expanduser().resolve() if "://" not in uri else None
        check_answers(self._uri)
        self._client: MlflowClient | None = None
        self._run_id = ""

    def start(self, run: RunDescription) -> str:
        """Begin a run, or continue it."""
        _shorten_timeouts()
        from mlflow import MlflowClient

        self._client = client = MlflowClient(self._uri)
        if run.run_id is not None:
            self._run_id = run.run_id
            client.update_run(self._run_id, status="RUNNING")
        else:
            begun = client.create_run(self._experiment(client), run_name=run.name)
            self._run_id = begun.info.run_id
        self._log_parameters(client, run)
        for name, value in run.tags.items():
            client.set_tag(self._run_id, _name(name), value[:LONGEST_TAG])
        return self._run_id

    def _experiment(self, client: MlflowClient) -> str:
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        place = (self._folder / "artifacts").as_uri() if self._folder is not None else None
        return str(client.create_experiment(EXPERIMENT, artifact_location=place))

    def _log_parameters(self, client: MlflowClient, run: RunDescription) -> None:
        """Log the configuration; values that are too long are complete in an artifact."""
        from mlflow.entities import Param

        known = client.get_run(self._run_id).data.params
        start = sum(name.startswith("restored_") for name in known)
        parameters, long = [], {}
        for name, value in run.parameters.items():
            text = str(value)
            if len(text) > LONGEST_VALUE:
                long[name] = value
                text = text[: LONGEST_VALUE - 3] + "..."
            key = _name(name)
            if known.get(key, text) != text:  # a parameter keeps its first value
                key = f"restored_{start + 1}.{key}"
            parameters.append(Param(key, text))
        for first in range(0, len(parameters), _PARAMETERS_A_CALL):
            client.log_batch(self._run_id, params=parameters[first : first + _PARAMETERS_A_CALL])
        if long:
            client.log_dict(self._run_id, long, "long_parameters.json")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record an iteration."""
        from mlflow.entities import Metric

        assert self._client is not None
        now = int(time.time() * 1000)
        rows = [Metric(_name(name), float(value), now, step) for name, value in metrics.items()]
        for first in range(0, len(rows), _METRICS_A_CALL):
            self._client.log_batch(self._run_id, metrics=rows[first : first + _METRICS_A_CALL])

    def add_file(self, file: Path, folder: str) -> None:
        """Keep a file or a folder with the run."""
        assert self._client is not None
        if file.is_dir():
            self._client.log_artifacts(self._run_id, str(file), folder or file.name)
        else:
            self._client.log_artifact(self._run_id, str(file), folder or None)

    def finish(self, status: str) -> None:
        """End the run."""
        assert self._client is not None
        self._client.set_terminated(self._run_id, status)


def _name(name: str) -> str:
    """A name with the characters that MLflow allows."""
    return _NOT_IN_NAMES.sub("_", name)[:250]


def tracking_uri(given: str) -> str:
    """The address for MLflow: a folder becomes a SQLite file in it, as MLflow does not support plain folders."""
    if "://" in given:
        return given
    folder = Path(given).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def check_answers(uri: str) -> None:
    """Check that a server listens at an http address.

    Raises:
        TrackingError: There is no server, or the address has no host.
    """
    parts: Any = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    try:
        place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        socket.create_connection(place, timeout=_ANSWERS_WITHIN).close()
    except (OSError, ValueError) as error:
        raise TrackingError(
            f"--mlflow-uri is {uri}, but nothing answers there ({error}). Start a server with: mlflow server"
        ) from error


def _shorten_timeouts() -> None:
    """Let MLflow give up after seconds instead of minutes, unless the user has set other values."""
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
