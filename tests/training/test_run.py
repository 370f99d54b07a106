"""A training run as a user types it: interrupted, continued, killed, and driven afterwards, with and without Ray."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

from rllib_integration.processes.guard import SCRATCH_VARIABLE
from tests.patience import PATIENCE
from tests.small_training import QUICKSTART, SMALL, words_of

ROOT = Path(__file__).resolve().parents[2]
FIRST_START = "The embedded CARLA server at "  # is not ready yet, where the kernels have to be compiled first
LINE = re.compile(r"iteration +(\d+) \| +([\d,]+) steps")


class Command:
    """A script of this repository, started as a user does."""

    def __init__(self, script: str, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "CARLA_ROOT"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / script), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> str:
        """Read its output up to a line with the pattern."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return line
        raise AssertionError(f"It ended without {pattern!r}:\n" + "\n".join(self.lines))

    def finish(self) -> int:
        try:
            rest, _ = self.process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.lines += rest.splitlines()
        return self.process.returncode

    @property
    def output(self) -> str:
        return "\n".join(self.lines)


def train(directory: Path, *arguments: str, **overrides: object) -> Command:
    fixed = [QUICKSTART, "--directory", str(directory), "--name", "run", "--tboff"]
    return Command("dqn_train.py", *fixed, *words_of(SMALL | overrides), *arguments)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command]:
    """A run that got a Ctrl-C after its second iteration."""
    directory = tmp_path_factory.mktemp("results")
    command = train(directory)
    command.read_until("iteration    2")
    children = psutil.Process(command.process.pid).children(recursive=True)
    assert children
    os.kill(command.process.pid, signal.SIGINT)
    command.finish()
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
    return directory, command


@pytest.fixture(scope="module")
def checkpoint(interrupted: tuple[Path, Command]) -> Path:
    directory, _ = interrupted
    return sorted((directory / "run").glob("checkpoint_*"))[-1]


def test_an_interruption_saves_a_checkpoint_and_ends_cleanly(
    interrupted: tuple[Path, Command], checkpoint: Path
) -> None:
    _, command = interrupted
    assert command.process.returncode == 130
    assert "Traceback" not in command.output
    assert str(checkpoint) in command.lines[-1]
    names = {path.name for path in checkpoint.iterdir()}
    assert {"weights.pth", "network.json", "learner_group", "algorithm_state.pkl"} <= names


def test_the_output_is_nothing_but_lines_for_people(interrupted: tuple[Path, Command]) -> None:
    _, command = interrupted
    for line in command.lines:
        assert line == "" or line.startswith(
            (
                *("CARLA_ROOT is not set", "Run folder: ", "iteration ", "Stopping: ", "Interrupted. "),
                *("The best checkpoint is ", FIRST_START),
            )
        ), line
    iterations = [match.groups() for match in map(LINE.match, command.lines) if match]
    assert iterations[0] == ("1", "128")


def test_a_run_records_where_it_came_from(interrupted: tuple[Path, Command]) -> None:
    folder = interrupted[0] / "run"
    start = json.loads((folder / "run.json").read_text())[0]
    assert start["seed"] == 0
    assert start["versions"]["ray"].startswith("2.")
    results = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
    assert results[0]["num_env_steps_sampled_lifetime"] == 128
    assert "env_runners/heading_deviation" in results[0]
    episodes = (folder / "episodes.jsonl").read_text().splitlines()
    assert {"distance", "end", "position", "town"} <= set(json.loads(episodes[0]))


@pytest.fixture(scope="module")
def terminated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command]:
    """A run of the same seed that got a SIGTERM after its second iteration."""
    directory = tmp_path_factory.mktemp("terminated")
    command = train(directory)
    command.read_until("iteration    2")
    command.process.terminate()
    command.finish()
    return directory, command


def test_a_run_that_is_terminated_saves_a_checkpoint_too(terminated: tuple[Path, Command]) -> None:
    directory, command = terminated
    assert command.process.returncode == 143, command.output
    assert str(sorted((directory / "run").glob("checkpoint_*/weights.pth"))[-1].parent) in command.lines[-1]


def test_a_run_of_the_same_seed_is_the_same_to_the_last_bit_of_its_weights(
    interrupted: tuple[Path, Command], terminated: tuple[Path, Command]
) -> None:
    runs = interrupted[0] / "run", terminated[0] / "run"
    assert (weights := weights_of(runs[1])) == weights_of(runs[0])
    assert len(weights) > 3
    episodes = [episodes_of(run) for run in runs]
    common = min(map(len, episodes))
    assert common > 3
    assert episodes[0][:common] == episodes[1][:common]


def weights_of(run: Path) -> dict[str, bytes]:
    weights = torch.load(run / "checkpoint_000001" / "weights.pth", weights_only=True)
    return {name: weight.numpy().tobytes() for name, weight in weights.items()}


def episodes_of(run: Path) -> list[list[object]]:
    lines = (run / "episodes.jsonl").read_text().splitlines()
    return [[json.loads(line)[key] for key in ("return", "length", "distance", "position", "end")] for line in lines]


def test_the_folder_of_a_run_is_not_used_twice(interrupted: tuple[Path, Command]) -> None:
    command = train(interrupted[0])
    assert command.finish() == 1
    assert "--restore" in command.output
    assert "--overwrite" in command.output
    assert "Traceback" not in command.output


def test_a_restored_run_goes_on_counting_also_when_its_env_runner_dies_and_nothing_survives_its_kill(
    interrupted: tuple[Path, Command],
) -> None:
    directory, command = interrupted
    before = [match.groups() for match in map(LINE.match, command.lines) if match][-1]
    restored = train(directory, "--restore", **{"env_runners.num_env_runners": 1})
    said = restored.read_until("^Restored")
    assert f"iteration {before[0]}" in said
    line = LINE.match(restored.read_until("^iteration"))
    assert line is not None
    assert int(line[1]) == int(before[0]) + 1
    assert int(line[2].replace(",", "")) >= int(before[1].replace(",", "")) + 120
    below = psutil.Process(restored.process.pid).children(recursive=True)
    living = [process for process in below if process.status() != psutil.STATUS_ZOMBIE]
    (runner,) = (process for process in living if "EnvRunner" in " ".join(process.cmdline()[:1]))
    runner.kill()
    assert LINE.match(restored.read_until(f"^iteration +{int(line[1]) + 3}"))
    left = psutil.Process(restored.process.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in left)
    assert len(listening := listening_sockets(left)) > 5
    assert [socket for socket in listening if not socket[1].startswith(("127.", "::1", "::ffff:127."))] == []
    (scratch,) = {Path(process.environ()[SCRATCH_VARIABLE]) for process in left if "raylet" in process.name()}
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700  # Ray lets everybody write into its own folders
    restored.process.kill()
    restored.finish()
    assert not psutil.wait_procs(left, timeout=PATIENCE)[1]


def listening_sockets(processes: list[psutil.Process]) -> list[tuple[str, str, int]]:
    """Program, address and port of all TCP and UDP sockets on which anybody could be heard."""
    found: list[tuple[str, str, int]] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("inet"):
                if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE) and not connection.raddr:
                    found.append((process.name(), connection.laddr[0], connection.laddr[1]))
    return found


def test_both_inferences_choose_the_same_actions(checkpoint: Path) -> None:
    from rllib_integration.driving.rllib_policy import RLlibPolicy
    from rllib_integration.driving.torch_policy import load_inference_model

    observations = np.random.default_rng(0).integers(0, 256, (200, 42, 42, 4), np.uint8)
    with_ray, without_ray = RLlibPolicy(checkpoint), load_inference_model(checkpoint, "cpu")
    chosen = [int(with_ray.compute_action(observation)) for observation in observations]
    assert chosen == [without_ray.compute_action(observation) for observation in observations]
    assert len(set(chosen)) > 1


@pytest.mark.parametrize("script", ["dqn_inference.py", "dqn_inference_ray.py"])
def test_a_trained_policy_drives(script: str, checkpoint: Path, tmp_path: Path) -> None:
    film = tmp_path / "drive.mp4"
    bounds = ["--episodes", "9", "--steps", "50"]
    command = Command(
        script, QUICKSTART, str(checkpoint), *words_of(SMALL), *bounds, "--seed", "3", "--video", str(film)
    )
    assert command.finish() == 0, command.output
    episodes = [line for line in command.lines if line.startswith("episode ")]
    lengths = [int(line.split(" steps ")[0].split()[-1]) for line in episodes]
    assert max(lengths) <= 41
    assert sum(lengths) == 50 or len(lengths) == 9  # whichever comes first
    for figure in ("return", "distance", "mean speed", "end: ", "Minitown"):
        assert figure in episodes[0]
    assert film.stat().st_size > 1000
    DRIVEN[script] = episodes
    if len(DRIVEN) == 2:
        assert DRIVEN["dqn_inference.py"] == DRIVEN["dqn_inference_ray.py"]


DRIVEN: dict[str, list[str]] = {}


def test_sac_trains_by_its_name_where_actions_are_continuous(tmp_path: Path) -> None:
    document = yaml.safe_load(Path(QUICKSTART).read_text())
    document |= {
        "algorithm": "SAC",
        "training": {"train_batch_size": 16, "num_steps_sampled_before_learning_starts": 60},
    }
    document["env_config"]["experiment"]["type"] = "tests.experiments:PedalAndWheelExperiment"
    file = tmp_path / "sac.yaml"
    file.write_text(yaml.safe_dump(document))
    overrides = {key: value for key, value in SMALL.items() if not key.startswith("training.")}
    words = words_of({**overrides, "reporting.min_sample_timesteps_per_iteration": 40})
    command = Command(
        "dqn_train.py", str(file), "-d", str(tmp_path), "-n", "run", "--tboff", *words, "--stop-timesteps", "110"
    )
    assert command.finish() == 0, command.output
    run = tmp_path / "run"
    results = [json.loads(line) for line in (run / "result.json").read_text().splitlines()]
    assert results[-1]["learners/default_policy/policy_loss"] != 0.0
    # The last one was saved inside an iteration: it leaves those of whole ones, the best among them, as they are.
    checkpoints = [f"checkpoint_{iteration + 1:06d}" for iteration in range(len(results) + 1)]
    assert [path.name for path in sorted(run.glob("checkpoint_*"))] == checkpoints
    assert (run / "best").resolve().name in checkpoints[:-1]


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("dqn_train.py", ["nowhere.yaml"], "There is no configuration file 'nowhere.yaml'"),
        ("dqn_train.py", [QUICKSTART, "--set", "env_config.carla.timestp=1"], "did you mean env_config.carla.timestep"),
        ("dqn_train.py", [QUICKSTART, "--set", "env_config.experiment.town=Town99"], "no town 'Town99'"),
        ("dqn_train.py", [QUICKSTART, "--restore"], "There is no checkpoint"),
        ("dqn_inference.py", [QUICKSTART, "nowhere"], "There is no checkpoint"),
        ("dqn_inference_ray.py", [QUICKSTART, str(ROOT)], "There is no checkpoint in"),
    ],
)
def test_a_mistake_gets_a_sentence_and_a_status(script: str, arguments: list[str], words: str, tmp_path: Path) -> None:
    if script == "dqn_train.py":
        arguments = [*arguments, "--directory", str(tmp_path), "--tboff"]
    command = Command(script, *arguments)
    assert command.finish() == 1
    assert words in command.output
    assert "Traceback" not in command.output


def test_help_and_wrong_flags_answer_at_once() -> None:
    command = Command("dqn_train.py", QUICKSTART, "--stop-duration", "soon")
    assert command.finish() == 2
    assert "90s, 10m, 1h30m" in command.output


@pytest.mark.parametrize("learners", [0, 2])
def test_a_checkpoint_drives_with_the_average_of_the_weights_wherever_they_are_learnt(
    tmp_path: Path, learners: int
) -> None:
    settings = {"model.weight_average": 0.99, "learners.num_learners": learners, "learners.num_gpus_per_learner": 0}
    command = train(tmp_path, "--stop-iterations", "2", **settings)
    assert command.finish() == 0, command.output
    checkpoint = sorted((tmp_path / "run").glob("checkpoint_*"))[-1]
    averaged = torch.load(checkpoint / "weights.pth")["advantage.2.bias"]
    with (checkpoint / "learner_group/learner/rl_module/default_policy/module_state.pkl").open("rb") as file:
        newest = torch.tensor(pickle.load(file)["af.net.mlp.2.bias"])
    assert averaged.shape == newest.shape
    assert 0 < (averaged - newest).abs().max() < newest.abs().max()
