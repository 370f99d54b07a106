"""What experiments and scripts of the original integration import is still there, under the same names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from rllib_integration.config.merging import ConfigError, load_class

OLD_NAMES = {
    "rllib_integration.base_experiment": "BASE_EXPERIMENT_CONFIG BaseExperiment",
    "rllib_integration.carla_core": "BASE_CORE_CONFIG CarlaCore is_used kill_all_servers",
    "rllib_integration.carla_env": "CarlaEnv",
    "rllib_integration.helper": "find_latest_checkpoint get_checkpoint join_dicts launch_tensorboard "
    "post_process_image",
    "rllib_integration.sensors.sensor": "BaseSensor CarlaSensor PseudoSensor BaseCamera CameraRGB CameraDepth "
    "CameraSemanticSegmentation CameraDVS Lidar SemanticLidar Radar Gnss Imu LaneInvasion Collision Obstacle",
    "rllib_integration.sensors.factory": "SensorFactory",
    "rllib_integration.sensors.sensor_interface": "SensorInterface",
    "rllib_integration.sensors.bird_view_manager": "BirdviewSensor BirdviewManager",
    "dqn_example.dqn_experiment": "DQNExperiment",
    "dqn_example.dqn_callbacks": "DQNCallbacks",
    "dqn_example.dqn_trainer": "CustomDQNTrainer",
}


@pytest.mark.parametrize("module", OLD_NAMES)
def test_names_of_the_original_are_where_they_were(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in OLD_NAMES[module].split() if not hasattr(found, name)] == []


def test_a_module_that_still_imports_gym_is_answered_with_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old_task.py").write_text("from gym.spaces import Discrete\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "gym", None)  # as if it were not installed
    with pytest.raises(ConfigError, match="gym is called gymnasium now"):
        load_class("old_task:OldTask", object, "env_config.experiment.type")
