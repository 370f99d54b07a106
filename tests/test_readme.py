"""What the README shows runs as it stands there; what all documents name exists."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "rllib_integration"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("dqn_example/**/*.md")]
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"[\w./]+/\w+\.(?:png|jpg|py|yaml|sh|txt|json|md)\b", text)
    named += [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    homes = (document.parent, ROOT, LIBRARY, ROOT / "minicarla")
    assert [name for name in named if not any((home / name).exists() for home in homes)] == []


def test_every_program_that_a_document_runs_is_there() -> None:
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    modules = re.findall(r"python3 -m (tests[\w.]+|rllib_integration[\w.]+)", text)
    assert len(modules) > 3
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    assert missing == []


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


def test_the_compliance_suite_says_at_once_that_nobody_answers() -> None:
    command = [sys.executable, "-m", "pytest", "tests/compliance", "--carla-host", "127.0.0.1", "--carla-port", "1"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], capture_output=True, text=True, timeout=240, env=environment(), cwd=ROOT
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "no CARLA server answers at 127.0.0.1:1" in done.stdout + done.stderr
    assert "passed" not in done.stdout
