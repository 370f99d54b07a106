"""What the programs import is what the requirements install."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OWN = ("rllib_integration", "dqn_example", "aws")


def imported_packages() -> dict[str, Path]:
    """Top-level packages that the project imports, each with a file that does."""
    files = [*ROOT.glob("*.py"), *(file for folder in OWN for file in (ROOT / folder).rglob("*.py"))]
    found: dict[str, Path] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], file)
    return found


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


def test_fault_24_every_import_is_required() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    installed = set().union(*map(installed_with, requirements))
    distributions = packages_distributions()
    missing = {
        package: str(file.relative_to(ROOT))
        for package, file in imported_packages().items()
        if package not in sys.stdlib_module_names
        and not (ROOT / package).exists()
        and not (ROOT / f"{package}.py").exists()
        and installed.isdisjoint(normal(name) for name in distributions.get(package, [package]))
    }
    assert missing == {}


def test_the_package_asks_for_the_same_ranges() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.", 1)[0]
    asked = set(re.findall(r'"([a-z][\w.-]*(?:\[\w+\])?[=<>][^"]*)"', project)) - {"setuptools>=68"}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    tried = {line for line in lines if line and not line.startswith("#")}
    assert asked - tried == {"gymnasium>=1.1,<2"}  # which ray[rllib] pins, where training is installed
    assert tried - asked == set()
