"""What a run's folder tells its readers, also after a copy was cut off or a disk was full."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from rllib_integration import run_folder
from rllib_integration.run_folder import (
    best_checkpoint,
    find_damage,
    newest_whole_checkpoint,
    replace_text,
    write_manifest,
)


def make_checkpoint(run: Path, iteration: int) -> Path:
    """A whole checkpoint of two files, one of them in a folder."""
    folder = run / f"checkpoint_{iteration:06d}"
    (folder / "learner").mkdir(parents=True)
    (folder / "learner" / "state.pkl").write_bytes(bytes(range(256)) * 40)
    (folder / "weights.pth").write_bytes(b"weights")
    write_manifest(folder)
    return folder


def cut_off(checkpoint: Path) -> None:
    with (checkpoint / "learner" / "state.pkl").open("r+b") as file:
        file.truncate(1000)


def flip_a_bit(checkpoint: Path) -> None:
    file = checkpoint / "weights.pth"
    file.write_bytes(b"Weights")


def lose_a_file(checkpoint: Path) -> None:
    (checkpoint / "weights.pth").unlink()


def lose_the_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


def empty_the_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut_off, "learner/state.pkl has 1,000 bytes instead of 10,240"),
        (flip_a_bit, "weights.pth is not what was saved"),
        (lose_a_file, "weights.pth is missing"),
        (lose_the_manifest, "it has no manifest.json"),
        (empty_the_manifest, "its manifest.json can't be read"),
    ],
)
def test_a_damaged_checkpoint_is_told_from_a_whole_one(harm, words: str, tmp_path: Path) -> None:
    whole, damaged = make_checkpoint(tmp_path, 1), make_checkpoint(tmp_path, 2)
    assert find_damage(damaged) is None
    harm(damaged)
    assert words in (find_damage(damaged) or "")
    assert newest_whole_checkpoint(tmp_path) == whole


def test_a_whole_copy_is_as_good_as_the_original(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(make_checkpoint(tmp_path, 1), copy)
    (copy / ".complete").touch()  # as shared storage leaves it
    assert find_damage(copy) is None


@pytest.mark.parametrize("note", ["", "checkpoint_000001", "\x00\x00", "checkpoint_000009 1.0\n"])
def test_the_best_checkpoint_is_found_by_its_link_if_the_note_is_broken(note: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path, 1)
    (tmp_path / "best_checkpoint.txt").write_text(note)
    assert best_checkpoint(tmp_path) is None
    (tmp_path / "best").symlink_to(checkpoint.name)
    assert best_checkpoint(tmp_path) == (checkpoint, None)
    (tmp_path / "best_checkpoint.txt").write_text(f"{checkpoint.name} 12.500\n")
    assert best_checkpoint(tmp_path) == (checkpoint, 12.5)


def test_a_text_stays_as_it_was_where_a_new_one_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.json"
    replace_text(file, "old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_folder.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        replace_text(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert file.read_text() == "old"
