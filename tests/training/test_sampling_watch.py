"""Env runners that work too slowly are waited for; those that are stuck or have ended end the run, with the reason."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.rllib.algorithms.ppo import PPOConfig

from rllib_integration.training.sampling_watch import SamplingError, SamplingWatch
from rllib_integration.user_code import COMPUTE_REWARD, UserCode


class Task:
    """An experiment by its name alone."""


def algorithm_with(**runners: Any) -> Any:
    """An algorithm that never samples, with a single env runner, as far as a watch knows one."""
    config = PPOConfig().env_runners(sample_timeout_s=1e-9).fault_tolerance(restart_failed_env_runners=False)
    config.freeze()
    runner = SimpleNamespace(ping=SimpleNamespace(remote=lambda: None))
    return SimpleNamespace(
        config=config,
        metrics=SimpleNamespace(peek=lambda key, default: 0),
        env_runner_group=SimpleNamespace(
            num_remote_workers=lambda: 1,
            num_healthy_remote_workers=lambda: runners.get("healthy", 1),
            _worker_manager=SimpleNamespace(actors=lambda: {1: runner}),
        ),
        eval_env_runner_group=None,
    )


def test_time_counts_only_while_the_env_runners_do_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = UserCode(Task(), tmp_path / "live")
    algorithm = algorithm_with()
    watch = SamplingWatch(algorithm, tmp_path, None)
    for step in range(1, 12):
        code.begin_step(step)
        watch.watch(lambda: None)
    assert algorithm.config.sample_timeout_s == pytest.approx(2**10 * 1e-9)
    assert "The env runners work, but deliver nothing within" in capsys.readouterr().out
    code.inside[0] = COMPUTE_REWARD
    watch.watch(lambda: None)

    def go_on() -> None:
        while True:
            watch.watch(lambda: None)

    ended: list[object] = []
    monkeypatch.setattr(ray, "kill", ended.append)
    with pytest.raises(SamplingError, match="no env runner delivered its samples"):
        go_on()
    assert len(ended) == 1
    code.close()


def test_env_runners_that_have_ended_for_good_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(SamplingError, match="restart_failed_env_runners is false"):
        SamplingWatch(algorithm_with(), tmp_path, None).watch(lambda: fail(ActorDiedError()))
    watch = SamplingWatch(algorithm_with(healthy=0), tmp_path, None)
    monkeypatch.setattr("rllib_integration.training.runner_failures.raise_what_was_told", lambda: None)
    monkeypatch.setattr(ray, "get", lambda *_, **__: fail(ActorUnavailableError("it is started again", None)))
    watch.watch(lambda: None)
    monkeypatch.setattr(ray, "get", lambda *_, **__: fail(ActorDiedError()))
    with pytest.raises(SamplingError, match="is not started again"):
        watch.watch(lambda: None)
