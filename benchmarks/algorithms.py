"""Learning curves of rl_example's algorithms, several seeds each: python3 benchmarks/algorithms.py --directory DIR

Trains what is missing in the directory, one run after another, and draws one picture: A2C, ACKTR and PPO by
environment steps and by wall time, and DQN with and without hindsight replay by the share of goals that were reached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "rl_example" / "configs"
PLAIN_REPLAY = ("training.replay_buffer_class=null", "training.replay_buffer_kwargs=null")
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {  # name -> configuration, settings
    "a2c": ("a2c", ()),
    "acktr": ("acktr", ()),
    "ppo": ("ppo", ()),
    "herdqn": ("her_dqn", ()),
    "dqn": ("her_dqn", PLAIN_REPLAY),
}
LABELS = {"a2c": "A2C", "acktr": "ACKTR", "ppo": "PPO", "herdqn": "DQN with hindsight", "dqn": "DQN"}
DRIVING, REACHING = ("a2c", "acktr", "ppo"), ("herdqn", "dqn")
POINTS = 20
"""Places of a run that its curve is looked at."""


def train(directory: Path, name: str, seed: int, steps: int) -> None:
    """Train one run, unless it is there."""
    folder = directory / f"{name}_{seed}"
    if is_done(folder, steps):
        return
    configuration, settings = RUNS[name]
    settings += (f"debugging.seed={seed}", f"env_config.carla.seed={seed}")
    words = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, str(ROOT / "rl_train.py"), "--config", str(CONFIGS / f"{configuration}.yaml")]
    options = ["--directory", str(directory), "--name", folder.name, "--overwrite", "--tboff"]
    subprocess.run([*command, *options, "--stop-timesteps", str(steps), *words], cwd=ROOT, check=True)


def is_done(folder: Path, steps: int) -> bool:
    """Whether a run has come to its end."""
    file = folder / "episodes.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return bool(lines) and json.loads(lines[-1])["step"] > 0.9 * steps


def curve(folder: Path, steps: int, figure: str) -> np.ndarray:
    """Means of a figure over the episodes that ended in each iteration, at `POINTS` numbers of steps."""
    episodes = [json.loads(line) for line in (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]
    ends = np.array([float(episode["step"]) for episode in episodes])
    reached = [float(episode["end"] == "goal") for episode in episodes]
    values = np.array(reached if figure == "goal" else [episode[figure] for episode in episodes])
    iterations = np.unique(ends)
    return np.interp(points(steps), iterations, [values[ends == end].mean() for end in iterations])


def points(steps: int) -> np.ndarray:
    """Where a run's curve is looked at, in steps."""
    return np.linspace(steps / POINTS, steps, POINTS)


def seconds_at(folder: Path, steps: np.ndarray) -> np.ndarray:
    """Wall time of a run at some numbers of steps."""
    rows = [json.loads(line) for line in (folder / "result.json").read_text(encoding="utf-8").splitlines()]
    told = [(row["num_env_steps_sampled_lifetime"], row["time_total_s"]) for row in rows if "time_total_s" in row]
    return np.interp(steps, *np.array([(0.0, 0.0), *told]).T)


def draw(directory: Path, steps: dict[str, int], seeds: int, output: Path) -> None:
    """Draw the picture, and print what is in it."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    by_step, by_time, success = figure.subplots(1, 3)
    for name in RUNS:
        folders = [directory / f"{name}_{seed}" for seed in range(seeds)]
        folders = [folder for folder in folders if is_done(folder, steps[name])]
        if not folders:
            continue
        kind = "return" if name in DRIVING else "goal"
        curves = np.array([curve(folder, steps[name], kind) for folder in folders])
        at = points(steps[name])
        label = f"{LABELS[name]} ({len(folders)} seeds)"
        _band(by_step if name in DRIVING else success, at, curves, label)
        if name in DRIVING:
            seconds = np.mean([seconds_at(folder, at) for folder in folders], axis=0)
            _band(by_time, seconds, curves, label)
        last = np.mean(curves[:, -4:], axis=1)
        middle = np.mean(curves[:, POINTS // 2 - 2 : POINTS // 2 + 2], axis=1)
        told = (f"{part.mean():.2f} (sd {part.std(ddof=1) if len(part) > 1 else 0.0:.2f})" for part in (middle, last))
        print(f"{label:<28} {kind}: half-way {next(told)}, last fifth {next(told)}")
    by_step.set(xlabel="environment steps", ylabel="return of an episode (at most 150)")
    by_time.set(xlabel="wall time [s], on two shared processors", ylabel="return of an episode")
    success.set(xlabel="environment steps", ylabel="share of goals reached", ylim=(0.0, 1.0))
    for axis in (by_step, by_time, success):
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=100)
    print(output)


def _band(axis: Axes, at: np.ndarray, curves: np.ndarray, label: str) -> None:
    (line,) = axis.plot(at, np.mean(curves, axis=0), label=label)
    axis.fill_between(at, np.min(curves, axis=0), np.max(curves, axis=0), alpha=0.15, color=line.get_color())


def main() -> None:
    """Read the command line, train and draw."""
    parser = argparse.ArgumentParser(description="Learning curves of rl_example's algorithms.")
    parser.add_argument("--directory", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20_000, help="of A2C, ACKTR and PPO (default: %(default)s)")
    parser.add_argument("--goal-steps", type=int, default=9_000, help="of the goal task (default: %(default)s)")
    parser.add_argument("--draw", action="store_true", help="only draw what is there")
    parser.add_argument("--output", type=Path, default=Path("algorithms.png"))
    arguments = parser.parse_args()
    directory = arguments.directory.expanduser()
    steps = {name: arguments.steps if name in DRIVING else arguments.goal_steps for name in RUNS}
    for seed in range(0 if arguments.draw else arguments.seeds):
        for name in RUNS:
            train(directory, name, seed, steps[name])
    draw(directory, steps, arguments.seeds, arguments.output)


if __name__ == "__main__":
    main()
