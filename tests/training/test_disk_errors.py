"""A run that can't be written says which folder it is about, and what of it is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rllib_integration.run_folder import write_manifest
from rllib_integration.training.checkpoints import CheckpointKeeper
from rllib_integration.training.disk_errors import DiskError, as_disk_error, check_writable


def fail_to_save(folder: str) -> None:
    Path(folder).mkdir()
    Path(folder, "weights.pth").write_bytes(bytes(1000))
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{folder}/state.pkl")


def test_a_full_disk_is_named_with_the_newest_whole_checkpoint_and_nothing_is_left_of_the_last(tmp_path: Path) -> None:
    whole = tmp_path / "checkpoint_000001"
    whole.mkdir()
    (whole / "weights.pth").write_bytes(b"...")
    write_manifest(whole)
    with pytest.raises(OSError, match="No space") as full:
        CheckpointKeeper(tmp_path, keep=3).save(2, fail_to_save)
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]
    wrapped = RuntimeError("it could not be saved")
    wrapped.__cause__ = full.value
    told = str(as_disk_error(wrapped, tmp_path))
    assert told.startswith(f"The disk of {tmp_path}/.checkpoint.partial/state.pkl is full.")
    assert f"The newest whole checkpoint is {whole}" in told
    assert as_disk_error(ValueError("of the user's"), tmp_path) is None


def test_a_folder_that_refuses_to_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "runs" / "new")
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file is a file"):
        check_writable(tmp_path / "file" / "run")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(DiskError, match=f"The folder {tmp_path} can't be written to"):
        check_writable(tmp_path / "runs" / "new")
    lost = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "run.json"))
    assert "run.json can't be written: Permission denied. No checkpoint" in str(as_disk_error(lost, tmp_path))
