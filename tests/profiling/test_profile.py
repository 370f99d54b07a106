"""The command `profile`: what its table and its flame graph hold, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rllib_integration.cli.main import main

_QUICK = ["quickstart", "--decisions", "40", "--warm-up", "5"]


def test_a_profile_tells_processes_resets_and_the_experiments_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["profile", *_QUICK, "--set", "env_config.experiment.town=Minitown"]) == 0
    told = capsys.readouterr().out
    assert "40 decisions of 4 ticks of 0.05 s" in told
    assert all(line in told for line in ("a decision", "  client", "  server", "a reset (of "))
    assert "waiting for server and traffic" in told
    graph = json.loads((tmp_path / "quickstart.speedscope.json").read_text())
    names = [frame["name"] for frame in graph["shared"]["frames"]]
    (profile,) = graph["profiles"]
    assert len(profile["samples"]) == len(profile["weights"])
    assert all(0 <= number < len(names) for sample in profile["samples"] for number in sample)
    assert any("finish_step" in name for name in names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile", "quikstart"], "Did you mean quickstart?"),
        (["profile", "ppo_agents"], "Several agents in one world can't be profiled"),
        (["profile", "quickstart", "-o", "nowhere/graph.json"], "There is no folder nowhere for graph.json."),
    ],
)
def test_what_cannot_be_profiled_is_refused_before_a_server_starts(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert said in capfd.readouterr().err
