"""Which checkpoint a start continues from, and what becomes of a folder in which no iteration ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from rllib_integration.training.checkpoints import (
    CheckpointError,
    CheckpointKeeper,
    get_checkpoint,
    set_later_ones_aside,
    whole_checkpoint,
)


def save(keeper: CheckpointKeeper, iteration: int, score: float | None = None) -> Path:
    def write(folder: str) -> None:
        Path(folder).mkdir()
        Path(folder, "state").write_text(str(iteration))

    return keeper.save(iteration, write, score)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two checkpoints."""
    folder = tmp_path / "dqn"
    folder.mkdir()
    (folder / "result.json").write_text("{}\n{}\n")
    for iteration in (1, 2):
        save(CheckpointKeeper(folder, keep=5), iteration)
    return folder


def test_a_damaged_checkpoint_is_not_restored_and_the_newest_whole_one_is_named(run: Path) -> None:
    newest = get_checkpoint(run.name, run.parent, restore=True)
    assert newest == str(run / "checkpoint_000002")
    assert whole_checkpoint(newest) == Path(newest)
    (run / "checkpoint_000002" / "state").write_text("")
    with pytest.raises(
        CheckpointError, match=r"state has 0 bytes instead of 1.*--restore --checkpoint checkpoint_000001"
    ):
        whole_checkpoint(newest)
    assert whole_checkpoint(newest, "checkpoint_000001") == run / "checkpoint_000001"
    (run / "checkpoint_000001" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="--restore --checkpoint checkpoint_000002"):
        whole_checkpoint(newest)


def test_a_checkpoint_that_the_user_names_is_taken_with_a_line_even_if_it_is_damaged(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoint_000002" / "manifest.json").unlink()
    assert whole_checkpoint(run / "checkpoint_000002", "checkpoint_000002") == run / "checkpoint_000002"
    assert "although it has no manifest.json" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match=r"those in .* are: checkpoint_000001, checkpoint_000002"):
        whole_checkpoint(run / "checkpoint_000002", "checkpoint_000003")


def test_a_run_that_goes_back_does_not_come_upon_its_old_future_again(run: Path) -> None:
    assert set_later_ones_aside(run / "checkpoint_000001") == [run / "set_aside_checkpoint_000002"]
    assert get_checkpoint(run.name, run.parent, restore=True) == str(run / "checkpoint_000001")


def test_a_start_that_failed_before_its_first_iteration_does_not_block_its_name(tmp_path: Path) -> None:
    run = tmp_path / "dqn"
    run.mkdir()
    for name in ("config.yaml", "native.log", "error.log", "run.json", "events.out.tfevents.1.host"):
        (run / name).write_text("left")
    (run / "live").mkdir()
    with pytest.raises(CheckpointError, match="leave --restore out to start anew"):
        get_checkpoint("dqn", tmp_path, restore=True)
    assert get_checkpoint("dqn", tmp_path) is None
    assert not run.exists()


@pytest.mark.parametrize(
    ("files", "offered", "not_offered"),
    [
        (("result.json",), ("--overwrite", "--name"), ("--restore",)),  # someone deleted the checkpoints
        (("holiday.jpg",), ("--name",), ("--restore", "--overwrite")),
        (("holiday.jpg", "config.yaml"), ("--overwrite", "--name"), ("--restore",)),
    ],
)
def test_no_message_sends_the_user_to_a_flag_that_is_refused_as_well(
    files: tuple[str, ...], offered: tuple[str, ...], not_offered: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "dqn").mkdir()
    for name in files:
        (tmp_path / "dqn" / name).write_text("x")
    for flags in ({}, {"restore": True}):
        with pytest.raises(CheckpointError) as caught:
            get_checkpoint("dqn", tmp_path, **flags)
        advice = str(caught.value).partition(";")[2]
        assert all(flag in advice for flag in offered)
        assert not any(flag in advice for flag in not_offered)
    assert {path.name for path in (tmp_path / "dqn").iterdir()} == set(files)


@pytest.mark.parametrize("note", ["", "checkpoint_00"])
def test_a_broken_note_of_the_best_checkpoint_is_told_and_replaced(
    note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(CheckpointKeeper(tmp_path, keep=1), 1, score=3.0)
    (tmp_path / "best_checkpoint.txt").write_text(note)
    keeper = CheckpointKeeper(tmp_path, keep=1)
    assert "can't be read" in capsys.readouterr().out
    assert keeper.best == "checkpoint_000001"
    save(keeper, 2, score=2.0)
    assert (tmp_path / "best_checkpoint.txt").read_text() == "checkpoint_000002 2.000\n"
    assert (tmp_path / "best").resolve().name == "checkpoint_000002"
