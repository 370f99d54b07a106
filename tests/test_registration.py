"""What importing the package makes known, and what it leaves alone."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import subprocess
import sys

import pytest

import rllib_integration
from rllib_integration import IntegrationError


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import gymnasium, rllib_integration",
        "import rllib_integration, gymnasium",
        "import gymnasium, rllib_integration.carla_env",
        "import rllib_integration.carla_env, gymnasium",
        "import rllib_integration.config.merging, gymnasium",
    ],
)
def test_gymnasium_knows_the_environment_whatever_was_imported_first(imports: str) -> None:
    code = f"{imports}; print(gymnasium.spec('rllib_integration/Carla-v0').entry_point)"
    assert output_of(code) == "rllib_integration.carla_env:CarlaEnv"


@pytest.mark.parametrize("make", ["make", "make_vec"])
def test_gymnasium_imports_the_package_that_an_id_names(make: str) -> None:
    code = f"""
import gymnasium
try:
    gymnasium.{make}("rllib_integration:rllib_integration/Carla-v0", config={{"experiment": {{}}}})
except ValueError as error:
    print(error)
"""
    assert output_of(code).startswith("env_config.experiment.type is missing")


def test_importing_the_package_leaves_the_learning_libraries_alone() -> None:
    code = "import sys, rllib_integration; print(sorted({'ray', 'torch', 'matplotlib'} & set(sys.modules)))"
    assert output_of(code) == "[]"


def test_every_public_name_is_there() -> None:
    assert [name for name in rllib_integration.__all__ if not hasattr(rllib_integration, name)] == []
    assert rllib_integration.__version__.count(".") == 2


def test_every_error_class_of_the_library_is_an_integration_error() -> None:
    strangers = []
    for module in pkgutil.walk_packages(rllib_integration.__path__, "rllib_integration."):
        needs_ray = module.name.startswith("rllib_integration.training")
        if module.name.startswith("rllib_integration.evaluator_agent."):
            continue  # it is a module of the Leaderboard's evaluator, which imports it
        if module.name.endswith(".__main__") or (needs_ray and importlib.util.find_spec("ray") is None):
            continue
        for name, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if name.endswith("Error") and found.__module__.startswith("rllib_integration."):
                strangers += [] if issubclass(found, IntegrationError) else [f"{found.__module__}.{name}"]
    assert strangers == []
