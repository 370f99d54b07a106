"""An exception is told as itself, with the user's own file and line."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rllib_integration.config.merging import ConfigError
from rllib_integration.failures import Failure, UserCodeFailure, report_failure


def fail_in_a_library() -> None:
    int("seven")
    Path("/nowhere/at all").read_text()


def caught_from(function, *arguments) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def raise_as_rllib_does() -> None:
    """RLlib's env runner raises a RuntimeError without a word from what an environment's step raised."""
    try:
        int("seven")
    except ValueError as error:
        raise RuntimeError from error


@pytest.mark.parametrize("function", [fail_in_a_library, raise_as_rllib_does])
def test_an_exception_is_told_by_its_class_message_and_the_users_own_line(
    function, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_failure(caught_from(function), tmp_path) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Error: ValueError: invalid literal for int() with base 10: 'seven'"
    assert re.fullmatch(rf"  {re.escape(__file__)}, line \d+, in {function.__name__}", said[1])
    assert said[2].strip() == 'int("seven")'
    assert said[3] == f"The traceback is in {tmp_path / 'error.log'}"
    assert "Traceback (most recent call last)" in (tmp_path / "error.log").read_text()


def test_an_exception_from_another_process_is_told_in_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = caught_from(fail_in_a_library)
    report_failure(error, tmp_path)
    here = capsys.readouterr().err
    arrived = UserCodeFailure(Failure.from_json(Failure.of(error).to_json()))
    assert str(arrived) == "ValueError: invalid literal for int() with base 10: 'seven'"
    report_failure(copy.copy(arrived), tmp_path)  # Ray hands copies on
    assert capsys.readouterr().err == here


def test_a_sentence_of_the_librarys_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_failure(ConfigError("env_config.carla.timeout is 'soon', but\nit has to be a number."), tmp_path)
    assert capsys.readouterr().err == "Error: env_config.carla.timeout is 'soon', but it has to be a number.\n"
    assert not list(tmp_path.iterdir())


def test_a_traceback_goes_elsewhere_where_the_folder_can_not_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "error.log").mkdir()  # also root can't write to that
    report_failure(caught_from(fail_in_a_library), tmp_path)
    log = Path(capsys.readouterr().err.splitlines()[-1].removeprefix("The traceback is in "))
    assert log.parent != tmp_path
    assert "seven" in log.read_text()
    log.unlink()


def test_an_exception_without_any_line_of_the_users_is_told_without_a_place(tmp_path: Path) -> None:
    program = "from rllib_integration.failures import *\nreport_failure(KeyError('x'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[0] == "Error: KeyError: 'x'"
    assert len(done.stderr.splitlines()) == 2
    Path(done.stderr.splitlines()[1].removeprefix("The traceback is in ")).unlink()
