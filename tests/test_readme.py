"""What the README shows runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_experiment_drives(tmp_path: Path) -> None:
    program = tmp_path / "follow.py"
    program.write_text("\n".join(blocks("python")) + "\nprint('steps', 100, observation.shape)\n")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=240, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "steps 100 (84, 84, 3)" in done.stdout


def test_the_yaml_is_a_configuration() -> None:
    document = yaml.safe_load(blocks("yaml")[0])
    assert set(document["env_config"]) == {"carla", "experiment"}


def test_every_file_it_names_is_there() -> None:
    names = set(re.findall(r"(?:docs|dqn_example|aws|benchmarks|tests)/[\w/]+\.(?:png|py|yaml|sh|txt)", README))
    assert names
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


def test_every_flag_it_shows_exists() -> None:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ")
    commands = re.findall(r"python3 ((?:dqn_\w+|aws/aws_helper)\.py)(.*)", lines)
    assert len(commands) > 5
    help_texts: dict[tuple[str, ...], str] = {}
    for script, words in commands:
        program = (script, *re.findall(r"^ +([a-z-]+) ", words if script.startswith("aws") else ""))
        if program not in help_texts:
            command = [sys.executable, str(ROOT / script), *program[1:], "--help"]
            help_texts[program] = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        assert [flag for flag in re.findall(r"--[a-z-]+", words) if flag not in help_texts[program]] == [], program


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}
