"""What the programs import is what the project's requirements install."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
OWN = ("rllib_integration", "minicarla", "dqn_example", "ppo_example", "rl_example", "aws")
EXTRAS = {
    "sb3": "sb3",
    "tuning": "tune",
    "viewer": "viewer",
    "parallel_env": "pettingzoo",
    "aws/": "aws",
    "mlflow_tracker": "mlflow",
    "wandb_tracker": "wandb",
}
"""What some parts need beside the rest, by what their paths contain."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(document["project"])


def imported_packages() -> Iterator[tuple[str, Path]]:
    """Top-level packages that the project imports, each with a file that does."""
    files = [*ROOT.glob("*.py"), *(file for folder in OWN for file in (ROOT / folder).rglob("*.py"))]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name.split(".")[0], file) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield node.module.split(".")[0], file


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(requirement: Requirement) -> set[str]:
    """Names of a requirement and of what it requires itself, its extras included."""
    environments = [{"extra": extra} for extra in (*requirement.extras, "")]
    further = (Requirement(line) for line in requires(requirement.name) or [])
    return {normal(requirement.name)} | {
        normal(other.name)
        for other in further
        if other.marker is None or any(other.marker.evaluate(environment) for environment in environments)
    }


def test_fault_24_every_import_is_required(project: dict[str, Any]) -> None:
    extras = {"train": [], **project["optional-dependencies"]}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    extras["aws"] = [line for line in lines if re.match(r"[a-z]", line)]
    installed = {
        extra: set().union(*(installed_with(Requirement(line)) for line in needed)) for extra, needed in extras.items()
    }
    always = set().union(*(installed_with(Requirement(line)) for line in project["dependencies"])) | installed["train"]
    distributions = packages_distributions()
    missing = []
    for package, file in set(imported_packages()):
        place = file.relative_to(ROOT)
        here = always.union(*(installed[extra] for part, extra in EXTRAS.items() if part in str(place)))
        is_ours = (ROOT / package).exists() or (ROOT / f"{package}.py").exists()
        names = {normal(name) for name in distributions.get(package, [package])}
        if not (is_ours or package in sys.stdlib_module_names or here & names):
            missing.append(f"{package}: {place}")
    assert missing == []


def test_the_requirements_install_the_project_and_repeat_nothing_of_it(project: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("-e")] == ["-e .[train,viewer]"]
    own = {normal(Requirement(line).name) for line in project["dependencies"]}
    own |= {normal(Requirement(line).name) for extra in project["optional-dependencies"].values() for line in extra}
    assert own.isdisjoint(normal(Requirement(line).name) for line in lines if re.match(r"[a-z]", line))


def test_the_change_log_begins_with_this_version() -> None:
    from rllib_integration import __version__

    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert __version__ in heads[0]
