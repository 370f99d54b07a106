"""Training whose run lies on S3: one machine begins it, another goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from minicarla.kernels.cache import base_folder
from tests.aws.conftest import ROOT
from tests.small_training import QUICKSTART, SMALL, words_of


def train(*words: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, str(ROOT / "dqn_train.py"), QUICKSTART, "--tboff", "--directory", "s3://runs/carla",
        "--name", "dqn", *words_of(SMALL), *words,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT)


def test_a_run_on_s3_goes_on_elsewhere(aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("s3").create_bucket(Bucket="runs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(base_folder()))  # all of a machine is new but what it has compiled
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    first = train("--stop-iterations", "1")
    assert first.returncode == 0, first.stderr
    again = train("--stop-iterations", "1")
    assert again.returncode == 1
    assert "--restore" in again.stderr
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    second = train("--restore", "--stop-iterations", "2")
    assert second.returncode == 0, second.stderr
    assert "iteration    2 |" in second.stdout
    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket="runs")["Contents"]]
    assert "carla/dqn/checkpoint_000002/weights.pth" in keys
