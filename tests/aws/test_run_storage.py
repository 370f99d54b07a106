"""Runs on S3, through pyarrow, against moto's S3 over HTTP."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from rllib_integration.training.run_storage import RunStorage, StorageError


@pytest.fixture
def bucket(aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    boto3.client("s3").create_bucket(Bucket="runs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return "s3://runs/carla"


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def keys_in_bucket() -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket="runs").get("Contents", [])
    return sorted(item["Key"] for item in found if not item["Key"].endswith("/"))


def test_another_machine_finds_the_run(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = RunStorage(bucket, "dqn")
    write(here.folder, "checkpoint_000001/state.pkl", "one")
    write(here.folder, "progress.csv", "a,b")
    here.push()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    there = RunStorage(bucket, "dqn")
    there.fetch()
    assert there.folder != here.folder
    assert (there.folder / "checkpoint_000001" / "state.pkl").read_text() == "one"
    assert (there.folder / "progress.csv").read_text() == "a,b"


def test_removed_checkpoints_go_from_the_bucket_too(bucket: str) -> None:
    run = RunStorage(bucket, "dqn")
    write(run.folder, "checkpoint_000001/state.pkl", "one")
    run.push()
    (run.folder / "checkpoint_000001" / "state.pkl").unlink()
    (run.folder / "checkpoint_000001" / ".complete").unlink()
    (run.folder / "checkpoint_000001").rmdir()
    write(run.folder, "checkpoint_000002/state.pkl", "two")
    run.push()
    assert keys_in_bucket() == [
        "carla/dqn/checkpoint_000002/.complete",
        "carla/dqn/checkpoint_000002/state.pkl",
    ]


def test_a_checkpoint_that_is_half_removed_is_not_fetched(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunStorage(bucket, "dqn")
    write(run.folder, "checkpoint_000001/state.pkl", "one")
    write(run.folder, "checkpoint_000001/.aside", "sorted before the mark that it is complete")
    run.push()
    shutil.rmtree(run.folder / "checkpoint_000001")
    write(run.folder, "checkpoint_000002/state.pkl", "two")
    run._remote = LosesItsConnection(run._remote, after=1)
    with pytest.raises(StorageError, match="can't be saved"):
        run.push()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    there = RunStorage(bucket, "dqn")
    there.fetch()
    assert [path.name for path in there.folder.iterdir()] == ["checkpoint_000002"]


class LosesItsConnection:
    """A file system that removes some files, and then none any more."""

    def __init__(self, remote: Any, after: int) -> None:
        self._remote, self._left = remote, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    def delete_file(self, path: str) -> None:
        if self._left == 0:
            raise OSError("the connection is gone")
        self._left -= 1
        self._remote.delete_file(path)


def test_a_checkpoint_that_was_cut_off_is_not_fetched(bucket: str) -> None:
    run = RunStorage(bucket, "dqn")
    write(run.folder, "checkpoint_000001/state.pkl", "one")
    run.push()
    boto3.client("s3").put_object(Bucket="runs", Key="carla/dqn/checkpoint_000002/state.pkl", Body=b"half")
    run.fetch()
    assert [path.name for path in run.folder.iterdir()] == ["checkpoint_000001"]


def test_only_what_changed_is_sent_again(bucket: str) -> None:
    run = RunStorage(bucket, "dqn")
    write(run.folder, "progress.csv", "a")
    write(run.folder, "config.yaml", "b")
    run.push()
    boto3.client("s3").delete_object(Bucket="runs", Key="carla/dqn/config.yaml")
    write(run.folder, "progress.csv", "a\nmore")
    run.push()
    assert keys_in_bucket() == ["carla/dqn/progress.csv"]


def test_clearing_leaves_other_runs_alone(bucket: str) -> None:
    for name in ("dqn", "dqn2"):
        run = RunStorage(bucket, name)
        write(run.folder, "progress.csv", name)
        run.push()
    RunStorage(bucket, "dqn").clear()
    assert keys_in_bucket() == ["carla/dqn2/progress.csv"]


def test_a_missing_bucket_is_a_sentence(bucket: str) -> None:
    with pytest.raises(StorageError, match="no bucket 'nowhere'"):
        RunStorage(bucket.replace("s3://runs", "s3://nowhere"), "dqn")


def test_an_unknown_kind_of_storage_is_a_sentence() -> None:
    with pytest.raises(StorageError, match="s3://bucket/runs"):
        RunStorage("ftp://somewhere/runs", "dqn")


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    run = RunStorage(tmp_path, "dqn")
    assert (run.folder, run.uri) == (tmp_path / "dqn", None)
