"""What a user types: commands and names, right and mistyped, from a folder of the user's own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rllib_integration import __version__
from rllib_integration.cli.configurations import (
    EXAMPLES,
    find_configuration,
    find_space,
    name_of,
    policy_path,
    shipped_configurations,
    shipped_policies,
)
from rllib_integration.cli.main import COMMANDS, main
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.driving.policies import find_policy
from rllib_integration.run_folder import write_manifest

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_configurations_are_found_by_name_and_can_be_read() -> None:
    shipped = shipped_configurations()
    assert {"quickstart", "drive", "traffic", "ppo_drive", "config", "a2c", "her"} <= set(shipped)
    for name, file in shipped.items():
        assert find_configuration(name) == find_configuration(file.stem) == file
        assert name_of(file) == name
        assert load_config(file)["env_config"]["experiment"].get("type", "").partition(".")[0] in ("", *EXAMPLES)
    assert set(shipped_policies()) == {"drive", "ppo_agents", "ppo_camera_config", "ppo_vlidar_config", "traffic"}
    assert policy_path("drive") == shipped_policies()["drive"]


def test_a_path_of_the_repository_is_found_from_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_configuration("dqn_example/dqn_quickstart.yaml") == shipped_configurations()["quickstart"]
    assert find_configuration("rl_example/configs/a2c.yaml") == shipped_configurations()["a2c"]
    (tmp_path / "dqn_example").mkdir()
    own = tmp_path / "dqn_example" / "dqn_quickstart.yaml"
    shutil.copy(shipped_configurations()["quickstart"], own)
    assert find_configuration("dqn_example/dqn_quickstart.yaml").samefile(own)


def test_a_shipped_space_is_found_by_name_and_from_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_space("a2c") == find_space("rl_example/spaces/a2c.yaml") == ROOT / "rl_example" / "spaces" / "a2c.yaml"
    assert find_space("own/a2c.yaml") == Path("own/a2c.yaml")


@pytest.mark.parametrize("name", COMMANDS)
def test_files_of_the_repository_that_a_help_names_are_there(name: str) -> None:
    named = re.findall(rf"(?:{'|'.join(EXAMPLES)})/[\w/]+\.\w+", COMMANDS[name].examples)
    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_a_runs_folder_stands_for_its_configuration(tmp_path: Path) -> None:
    run = tmp_path / "third_try"
    run.mkdir()
    (run / "config.yaml").write_text("env_config: {}\n")
    assert find_configuration(str(run)) == run / "config.yaml"
    assert name_of(run / "config.yaml") == "third_try"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "quickstart"], "There is no command 'trian'; did you mean train?"),
        (["fly"], f"there are {', '.join(COMMANDS)}."),
        (["train", "quikstart"], "Did you mean quickstart?"),
        (["evaluate", "traffik", "drive"], "Did you mean traffic?"),
        (["drive", "nowhere.yaml"], "There is no configuration file 'nowhere.yaml'"),
        (["drive", "quickstart", "nowhere"], "There is no checkpoint nowhere"),
        (["configs", "quickstrat"], "Did you mean quickstart?"),
        (["report", "nowhere"], "nowhere is not a run"),
    ],
)
def test_a_mistyped_word_is_told_with_the_nearest_right_one(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):  # of the parser
        assert main(words) == 1
    error = capfd.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_the_list_of_configurations_says_what_each_is_and_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in shipped_configurations())
    said = [line.removesuffix(" (a trained policy is shipped)") for line in listed.splitlines()]
    assert all(line.endswith(".") for line in said if not line.startswith("Their files are in "))
    assert "Learns to follow the road" in listed
    assert main(["configs", "quickstart"]) == 0
    assert capsys.readouterr().out == shipped_configurations()["quickstart"].read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_that_it_understands(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"carla-rllib {command}" in text.partition("examples:")[2]


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"carla-rllib {__version__}\n"


def test_of_a_run_the_best_policy_is_taken_and_told(tmp_path: Path) -> None:
    for iteration in (1, 2):
        (tmp_path / f"checkpoint_{iteration:06d}").mkdir()
        (tmp_path / f"checkpoint_{iteration:06d}" / "weights.pth").touch()
    assert str(find_policy(tmp_path)).startswith(f"{tmp_path / 'checkpoint_000002'}, the newest of the run")
    (tmp_path / "best_checkpoint.txt").write_text("checkpoint_000001 12.340\n")
    best = f"{tmp_path / 'checkpoint_000001'}, the best of the run: mean return 12.34"
    assert str(find_policy(tmp_path)).startswith(best)
    assert str(find_policy(tmp_path / "checkpoint_000002")) == str(tmp_path / "checkpoint_000002")
    with pytest.raises(ConfigError, match="There is no checkpoint in"):
        find_policy(ROOT / "docs")


def test_a_damaged_checkpoint_of_a_run_is_not_driven_with(tmp_path: Path) -> None:
    for iteration in (1, 2):
        checkpoint = tmp_path / f"checkpoint_{iteration:06d}"
        checkpoint.mkdir()
        (checkpoint / "weights.pth").write_text("whole")
        write_manifest(checkpoint)
    assert str(find_policy(tmp_path)) == f"{tmp_path / 'checkpoint_000002'}, the newest of the run"
    (tmp_path / "checkpoint_000002" / "weights.pth").write_text("who")
    with pytest.raises(
        ConfigError, match=r"is damaged: weights.pth has 3 bytes instead of 5. The newest whole one is .*000001"
    ):
        find_policy(tmp_path)
    (tmp_path / "checkpoint_000002" / "manifest.json").unlink()
    assert "the newest of the run, although it has no manifest.json" in str(find_policy(tmp_path))


@pytest.mark.parametrize(
    "program",
    [["-m", "rllib_integration", "drive"], [str(ROOT / "dqn_inference.py")], [str(ROOT / "dqn_inference_ray.py")]],
    ids=["carla-rllib", "dqn_inference.py", "dqn_inference_ray.py"],
)
def test_modules_of_the_current_folder_are_found(program: list[str], tmp_path: Path) -> None:
    (tmp_path / "own_task.py").write_text("class OwnTask: pass\n")
    policy = str(ROOT / "dqn_example" / "policies" / "drive")
    done = subprocess.run(
        [sys.executable, *program, "quickstart", policy, "--set", "env_config.experiment.type=own_task:OwnTusk"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "own_task has no 'OwnTusk'. The nearest are: OwnTask" in done.stderr
