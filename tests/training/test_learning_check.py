"""What can't be learnt with is refused by a sentence, without RLlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gymnasium import spaces

from rllib_integration.training.env_creator import check_environment
from rllib_integration.training.learning_check import LearningError, check_learning

PICTURE = spaces.Box(0, 255, (42, 42, 3), np.uint8)
LARGE = spaces.Dict({"view": spaces.Box(0, 255, (300, 300, 12), np.uint8), "speed": spaces.Box(0, 1, (1,))})
SHIPPED = [*Path("dqn_example").glob("*.yaml"), *Path("rl_example/configs").glob("*.yaml")]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"training": {"lr": -0.1}}, r"training\.lr is -0\.1, but it has to be above 0\."),
        ({"lr": 0}, r"lr is 0, but it has to be above 0\."),
        ({"training": {"lr": [[0, 0.1], [1000, -1.0]]}}, r"training\.lr is \[\[0, 0\.1\], \[1000, -1\.0\]\]"),
        ({"training": {"gamma": 1.5}}, r"training\.gamma is 1\.5, but it has to be between 0 and 1\."),
        ({"training": {"train_batch_size": 0}}, r"train_batch_size is 0, but it has to be above 0\."),
        ({"env_runners": {"num_env_runners": -1}}, r"num_env_runners is -1, but it has to be 0 or more\."),
        ({"num_workers": -1}, r"env_runners\.num_env_runners is -1"),
        ({"buffer_size": -5}, r"capacity is -5, but it has to be a whole number of steps, 2 or more"),
        ({"training": {"replay_buffer_config": {"type": "PriorizedEpisodeReplayBuffer"}}}, r"mean PrioritizedEpisode"),
        ({"training": {"replay_buffer_config": {"capcity": 5}}}, r"did you mean .*\.capacity\?"),
        ({"training": {"replay_buffer_config": {"alpha": -1}}}, r"alpha is -1, but it has to be 0 or more"),
        ({"model": {"head_fcnet_hiddens": [256, 0]}}, r"each layer has to have 1 or more neurons"),
        (
            {"model": {"conv_filters": [[16, [8, 8], 4, "valid"], [32, [12, 12], 2, "valid"]]}},
            r"filter 2, .* 9 x 9 are",
        ),
        ({"model": {"conv_filters": [[16, [8, 8], 0]]}}, r"filter 1 is \[16, \[8, 8\], 0\], but it has to be"),
        ({"model": {"conv_filters": [16]}}, r"filter 1 is 16"),
    ],
)
def test_a_setting_that_cannot_be_gets_a_sentence(document: dict[str, Any], words: str) -> None:
    with pytest.raises(LearningError, match=words):
        check_learning(document, {"": PICTURE})


def test_the_pictures_of_each_of_several_agents_are_checked() -> None:
    env_config = yaml.safe_load(Path("dqn_example/ppo_agents.yaml").read_text())["env_config"]
    bird_view = {**env_config["experiment"]["hero"]["sensors"]["birdview"], "size": 42}
    env_config["agents"] = {"heroes": {"large": {}, "small": {"hero": {"sensors": {"birdview": bird_view}}}}}
    observed = check_environment(env_config)
    check_learning({"model": {"conv_filters": [[8, [42, 42], 4, "valid"]]}}, observed)
    with pytest.raises(LearningError, match=r"42 x 42 are left there of the observation.* of small"):
        check_learning({"model": {"conv_filters": [[8, [84, 84], 4, "valid"]]}}, observed)


@pytest.mark.parametrize("configuration", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_not_refused(configuration: Path) -> None:
    document = yaml.safe_load(configuration.read_text())
    check_learning({} if "cluster_name" in document else document, {"": LARGE})


def test_it_needs_no_rllib() -> None:
    program = "import sys, rllib_integration.training.start; print({'ray', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
