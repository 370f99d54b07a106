"""Checkpoints, pictures, dictionaries and TensorBoard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import psutil
import pytest

from rllib_integration.helper import (
    find_latest_checkpoint,
    get_checkpoint,
    join_dicts,
    launch_tensorboard,
    post_process_image,
)
from tests.known import present
from tests.patience import PATIENCE


def make_checkpoint(run, number, age):
    """A checkpoint folder of a run, written so many seconds ago."""
    folder = run / f"checkpoint_{number:06d}"
    folder.mkdir(parents=True)
    (folder / "state").write_text("x")
    then = time.time() - age
    for path in (folder / "state", folder):
        os.utime(path, (then, then))
    return folder


def test_fault_21_an_old_runs_900_does_not_beat_the_new_runs_10(tmp_path):
    make_checkpoint(tmp_path / "dqn" / "DQN_old", 900, age=5000)
    newest = make_checkpoint(tmp_path / "dqn" / "DQN_new", 10, age=10)
    make_checkpoint(tmp_path / "dqn" / "DQN_new", 9, age=9000)  # before the old run's last, as runs may overlap
    assert find_latest_checkpoint(tmp_path / "dqn") == str(newest)


def test_the_largest_number_of_a_run_counts_also_beyond_its_digits(tmp_path):
    make_checkpoint(tmp_path, 999999, age=10)
    newest = make_checkpoint(tmp_path, 1000000, age=10)
    assert find_latest_checkpoint(tmp_path) == str(newest)


def test_an_empty_checkpoint_folder_does_not_count(tmp_path):
    whole = make_checkpoint(tmp_path, 1, age=100)
    (tmp_path / "checkpoint_000002").mkdir()
    assert find_latest_checkpoint(tmp_path) == str(whole)


def test_no_checkpoint_is_none(tmp_path):
    assert find_latest_checkpoint(tmp_path) is None
    assert find_latest_checkpoint(tmp_path / "nowhere") is None


def test_a_fresh_or_empty_run_folder_starts_anew(tmp_path):
    assert get_checkpoint("dqn", tmp_path) is None
    (tmp_path / "dqn").mkdir()
    assert get_checkpoint("dqn", tmp_path) is None


def test_a_run_folder_in_use_needs_restore_or_overwrite(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "dqn", 3, age=1)
    with pytest.raises(RuntimeError, match=r"--restore.*--overwrite"):
        get_checkpoint("dqn", tmp_path)
    assert get_checkpoint("dqn", tmp_path, restore=True) == str(checkpoint)
    assert get_checkpoint("dqn", tmp_path, overwrite=True) is None
    assert not (tmp_path / "dqn").exists()


def test_restore_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(RuntimeError, match="not both"):
        get_checkpoint("dqn", tmp_path, restore=True, overwrite=True)


def test_nothing_to_restore_is_a_sentence(tmp_path):
    with pytest.raises(RuntimeError, match="no checkpoint"):
        get_checkpoint("dqn", tmp_path, restore=True)


def test_overwrite_spares_what_is_no_run(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(RuntimeError, match="does not look like a training run"):
        get_checkpoint("photos", tmp_path, overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp"])
def test_a_runs_name_is_a_plain_folder_name(tmp_path, name):
    with pytest.raises(RuntimeError, match="plain folder name"):
        get_checkpoint(name, tmp_path, overwrite=True)


def test_fault_23_join_dicts_shares_nothing_and_takes_a_dict_over_a_scalar():
    defaults = {"hero": {"points": [1], "sensors": {}}, "town": "Town05"}
    joined = join_dicts(defaults, {"hero": {"blueprint": "x"}, "town": {"name": "Town01"}})
    assert joined == {
        "hero": {"points": [1], "sensors": {}, "blueprint": "x"},
        "town": {"name": "Town01"},
    }
    joined["hero"]["points"].append(2)
    joined["hero"]["sensors"]["imu"] = {}
    assert defaults == {"hero": {"points": [1], "sensors": {}}, "town": "Town05"}


def test_join_dicts_takes_a_scalar_over_a_dict():
    assert join_dicts({"a": {"b": 1}}, {"a": None}) == {"a": None}


def test_post_process_image_is_grey_between_minus_one_and_one():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0] = 255
    processed = post_process_image(picture)
    assert processed.shape == (4, 6, 1)
    assert processed.dtype == np.float32
    assert processed[0, 0, 0] == pytest.approx(127 / 128)
    assert processed[3, 5, 0] == -1.0


def test_post_process_image_keeps_colour_and_bytes_when_told():
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    kept = post_process_image(picture, normalized=False, grayscale=False)
    np.testing.assert_array_equal(kept, picture)
    assert post_process_image(picture, normalized=False).shape == (4, 6, 1)


def await_page(url, seconds=2 * PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except OSError:
            assert time.monotonic() < deadline, f"nothing answers at {url}"
            time.sleep(0.2)


def test_tensorboard_answers_and_ends_when_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as owner:
        taken = owner.getsockname()[1]
        board = launch_tensorboard(tmp_path, host="127.0.0.1", port=taken)
    try:
        assert not board.url.endswith(f":{taken}")
        assert await_page(board.url) == 200
        assert board.is_running()
    finally:
        board.stop()
    assert not board.is_running()
    board.stop()


def test_tensorboard_ends_with_its_process_even_by_sigkill(tmp_path):
    code = (
        "import sys, time\n"
        "from rllib_integration.helper import launch_tensorboard\n"
        f"board = launch_tensorboard({str(tmp_path)!r}, port=16106)\n"
        "print(board._process.pid or board._process.supervisor_pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        below = psutil.Process(int(present(worker.stdout).readline()))
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    _, alive = psutil.wait_procs([below], timeout=PATIENCE)
    assert not alive
