"""What the README and the tutorials show runs as it stands there; what all documents name exists."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from rllib_integration.cli.main import COMMANDS
from rllib_integration.config_file import resolve_env_config
from tests.patience import PATIENCE
from tests.ports import free_port_pair

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "rllib_integration"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("dqn_example/**/*.md")]
README = ROOT / "README.md"
TUTORIALS = ROOT / "docs" / "tutorials"
SCRIPTS = r"python3 ((?:dqn|ppo|rl)_\w+\.py|aws/aws_helper\.py|-m minicarla)(.*)"


def blocks(document: Path, language: str) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def run(folder: Path, program: str) -> str:
    """What a program prints that runs in a folder, which is on its path."""
    (folder / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, timeout=540, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


# What runs


def test_the_readme_is_short_and_its_experiment_drives(tmp_path: Path) -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
    printed = run(tmp_path, "\n".join([*blocks(README, "python"), "print('steps', 100, observation.shape)"]))
    assert "steps 100 (84, 84, 3)" in printed


def test_the_tutorials_first_experiment_drives(tmp_path: Path) -> None:
    task, try_it = blocks(TUTORIALS / "first_experiment.md", "python")
    (tmp_path / "follow_the_road.py").write_text(task)
    metres, speed = re.findall(r"([\d.]+) m", run(tmp_path, try_it))
    assert float(metres) > 3.0
    assert float(speed) > 0.3


CAMERA_CHECK = """
import torch
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config_file import load_config
from rllib_integration.training.rllib_config import build_algorithm_config

document = load_config("camera.yaml")
env = CarlaEnv(document["env_config"])
observation, info = env.reset(seed=1)
spec = build_algorithm_config(document, "carla").rl_module_spec
spec.observation_space, spec.action_space = env.observation_space, env.action_space
network = spec.build()
batch = {"obs": torch.from_numpy(observation[None])}
scores = network.forward_inference(batch)["action_dist_inputs"]
env.step(int(scores.argmax()))
print(observation.std() > 5.0, tuple(scores.shape), tuple(network.compute_values(batch).shape))
env.close()
"""


def test_the_tutorials_camera_and_network_work_together(tmp_path: Path) -> None:
    (tmp_path / "follow_the_road.py").write_text(blocks(TUTORIALS / "first_experiment.md", "python")[0])
    camera, network = blocks(TUTORIALS / "camera.md", "python")
    (tmp_path / "camera_driver.py").write_text(camera)
    (tmp_path / "camera_network.py").write_text(network)
    (tmp_path / "camera.yaml").write_text(blocks(TUTORIALS / "camera.md", "yaml")[0])
    assert "True (1, 5) (1,)" in run(tmp_path, CAMERA_CHECK)


def test_the_tutorials_client_talks_to_the_embedded_server(tmp_path: Path) -> None:
    port = str(free_port_pair())
    (client,) = blocks(TUTORIALS / "real_carla.md", "python")
    command = [sys.executable, "-m", "minicarla", f"-carla-rpc-port={port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert "listening" in server.stdout.readline()  # its world is there
            assert "Minitown" in run(tmp_path, client.replace("2000", port).replace("60.0", str(5 * PATIENCE)))
        finally:
            server.terminate()


# Translations


@pytest.fixture(scope="module")
def translating() -> ModuleType:
    """`docs/translations.py`."""
    spec = importlib.util.spec_from_file_location("translations", ROOT / "docs" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_translations_follow_their_source(translating: ModuleType) -> None:
    assert translating.complaints() == []
    for translation, source in translating.translations():
        for language in ("python", "yaml", "bash"):
            assert blocks(translation, language) == blocks(source, language), named(translation)
    for readme in ROOT.glob("README*.md"):
        hint = "python3 docs/translations.py copies the rows of results"
        assert translating.results_of(readme) == translating.results_of(translating.RESULTS), hint


def test_a_translation_that_is_older_than_its_source_is_named(translating: ModuleType, tmp_path: Path) -> None:
    for name in ("README.md", "README.zh.md", "README.ko.md"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "README.md").write_text(README.read_text(encoding="utf-8") + "More.\n")
    assert [complaint.split(" is older")[0] for complaint in translating.complaints(tmp_path)] == [
        "README.zh.md",
        "README.ko.md",
    ]
    translating.stamp(tmp_path / "README.zh.md", tmp_path / "README.md", tmp_path)
    assert [complaint.split(" is older")[0] for complaint in translating.complaints(tmp_path)] == ["README.ko.md"]


# What is named


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    names = re.findall(r"[\w./]+/\w+\.(?:png|jpg|py|yaml|sh|txt|json|md)\b", text)
    names += [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    homes = (document.parent, ROOT, LIBRARY, ROOT / "minicarla")
    assert [name for name in names if not any((home / name).exists() for home in homes)] == []


def test_every_block_of_python_and_yaml_is_valid() -> None:
    for document in DOCUMENTS:
        for block in blocks(document, "python"):
            ast.parse(block, named(document))
        for block in blocks(document, "yaml"):
            content = yaml.safe_load(block)
            if "env_config" in content:
                resolve_env_config(content["env_config"])


def test_every_module_and_class_that_a_document_names_is_there() -> None:
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    modules = re.findall(r"python3 -m (tests[\w.]+|rllib_integration[\w.]+)", text)
    assert len(modules) > 3
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    library = "\n".join(file.read_text(encoding="utf-8") for file in LIBRARY.rglob("*.py"))
    members = re.findall(r"^::: (\w+)$", text, flags=re.MULTILINE)  # of the API reference
    assert [name for name in members if not re.search(rf"^(class|def) {name}\b", library, flags=re.MULTILINE)] == []


def test_every_flag_that_a_document_shows_exists() -> None:
    lines = "\n".join(block for document in DOCUMENTS for block in blocks(document, "bash")).replace("\\\n", " ")
    commands = re.findall(SCRIPTS, lines) + re.findall(r"carla-rllib ([a-z]+)(.*)", lines)
    assert len(commands) > 20
    helps: dict[tuple[str, ...], str] = {}
    for program, words in commands:
        key = (program, *re.findall(r"^ +([a-z-]+) ", words if program.startswith("aws") else ""))
        if key not in helps:
            helps[key] = help_of(key)
        flags = [flag.replace("_", "-") for flag in re.findall(r"(?<![\w-])--[a-z_-]+", words.split("#")[0])]
        assert [flag for flag in flags if flag not in helps[key]] == [], key


def help_of(program: tuple[str, ...]) -> str:
    name = program[0]
    if re.fullmatch(r"(?:dqn|ppo)_\w+\.py", name):  # most are a command under another name
        command = re.search(
            r"^    (\w+)\.add_arguments\(", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        name = command[1] if command else name
    if name in COMMANDS:
        parser = argparse.ArgumentParser()
        COMMANDS[name].add_arguments(parser)
        return parser.format_help()
    words = [sys.executable, *" ".join(program).split(), "--help"]
    return subprocess.run(words, capture_output=True, text=True, timeout=240, cwd=ROOT).stdout


def test_the_compliance_suite_says_at_once_that_nobody_answers() -> None:
    command = [sys.executable, "-m", "pytest", "tests/compliance", "--carla-host", "127.0.0.1", "--carla-port", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], capture_output=True, text=True, timeout=240, env=environment, cwd=ROOT
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "no CARLA server answers at 127.0.0.1:1" in done.stdout + done.stderr
    assert "passed" not in done.stdout
