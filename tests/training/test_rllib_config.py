"""A document in sections or in old names becomes RLlib's configuration, or a sentence says why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from rllib_integration.config.merging import ConfigError
from rllib_integration.processes import cpus as processors
from rllib_integration.training.algorithms import ALGORITHMS, find_classes
from rllib_integration.training.callbacks import EpisodeCallbacks
from rllib_integration.training.dqn.trainer import DQNTrainer
from rllib_integration.training.machine import Machine, ResourceError, fit_resources
from rllib_integration.training.rl_modules import PICTURE_MODULES
from rllib_integration.training.rllib_config import build_algorithm_config, read_document

ORIGINAL = yaml.safe_load(
    """
framework: "torch"
num_workers: 1
num_gpus: 1
num_gpus_per_worker: 1
num_cpus_per_worker: 11
rollout_fragment_length: 16
timesteps_per_iteration: 20000
train_batch_size: 64
learning_starts: 20000
buffer_size: 5000
lr: 0.0025
exploration_config: {type: "SoftQ", temperature: 1.0}
hiddens: [256, 512]
model:
  dim: 300
  conv_filters: [[16, [5, 5], 4], [32, [5, 5], 2], [512, [5, 5], 1]]
env_config: {carla: {timeout: 30.0}}
"""
)


def test_the_original_configuration_is_understood_and_every_translation_is_told() -> None:
    document, notes = read_document(ORIGINAL)
    assert document["env_runners"] == {
        "num_env_runners": 1,
        "num_gpus_per_env_runner": 1,
        "num_cpus_per_env_runner": 11,
        "rollout_fragment_length": 16,
    }
    assert document["learners"] == {"num_gpus_per_learner": 1}
    assert document["training"]["num_steps_sampled_before_learning_starts"] == 20000
    assert document["training"]["replay_buffer_config"] == {"capacity": 5000}
    assert document["reporting"] == {"min_sample_timesteps_per_iteration": 20000}
    assert document["environment"] == {"env_config": {"carla": {"timeout": 30.0}}}
    assert document["model"]["head_fcnet_hiddens"] == [256, 512]
    assert document["model"]["softq_temperature"] == 1.0
    assert document["model"]["conv_filters"][-1] == [512, [5, 5], 1, "valid"]
    for name in ORIGINAL:
        if name not in ("framework", "env_config", "model"):
            assert any(name in note for note in notes), name


def test_the_original_configuration_builds_and_its_values_arrive() -> None:
    config = build_algorithm_config(ORIGINAL, "carla")
    assert config.num_env_runners == 1
    assert config.lr == 0.0025
    assert config.train_batch_size == 64
    assert config.replay_buffer_config["capacity"] == 5000
    assert config.min_sample_timesteps_per_iteration == 20000
    assert config.rl_module_spec.model_config["head_fcnet_hiddens"] == [256, 512]
    assert config.rl_module_spec.model_config["softq_temperature"] == 1.0


@pytest.mark.parametrize(
    ("settings", "section", "expected"),
    [
        (
            {"exploration_config": {"type": "EpsilonGreedy", "final_epsilon": 0.02, "epsilon_timesteps": 500}},
            "training",
            {"epsilon": [[0, 1.0], [500, 0.02]]},
        ),
        ({"prioritized_replay": False}, "training", {"replay_buffer_config": {"type": "EpisodeReplayBuffer"}}),
        ({"evaluation_num_workers": 2}, "evaluation", {"evaluation_num_env_runners": 2}),
        ({"lr_schedule": [[0, 0.1], [9, 0.01]]}, "training", {"lr": [[0, 0.1], [9, 0.01]]}),
        ({"algorithm": "PPO", "sgd_minibatch_size": 32}, "training", {"minibatch_size": 32}),
        ({"seed": 7}, "debugging", {"seed": 7}),
        ({"gamma": 0.9}, "training", {"gamma": 0.9}),
    ],
)
def test_old_names_move_to_their_section(settings: dict[str, Any], section: str, expected: dict[str, Any]) -> None:
    document, notes = read_document(settings)
    assert document[section] == expected
    assert notes


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"trainig": {}}, "did you mean training?"),
        ({"training": {"lrr": 0.1}}, "did you mean training.lr?"),
        ({"num_worker": 3}, "did you mean env_runners.num_env_runners?"),
        ({"learning_start": 3}, "did you mean training.num_steps_sampled_before_learning_starts?"),
        ({"model": {"conv_filter": []}}, "did you mean model.conv_filters?"),
        ({"training": {"buffer_size": 3}}, "training.replay_buffer_config.capacity"),
        ({"training": {"hiddens": [3]}}, "model.head_fcnet_hiddens"),
        ({"training": {"lr": "1e-3"}}, "write it 0.001"),
        ({"env_runners": {"num_env_runners": True}}, "a number was expected"),
        ({"env_runners": {"batch_mode": 3}}, "a text was expected"),
        ({"env_runners": [1]}, "a mapping of settings was expected"),
        ({"model": {"head_fcnet_hiddens": "256"}}, "a list was expected"),
        ({"algorithm": "A3C"}, "DQN, PPO, IMPALA, APPO, SAC"),
        ({"horizon": 100}, "get_truncated_status"),
        ({"exploration_config": {"type": "Curiosity"}}, "SoftQ"),
        ({"noisy": True}, "training.epsilon"),
        ({"training": {"td_error_loss_fn": "l1"}}, "huber"),
        ({"env_runners": {"gym_env_vectorize_mode": "threads"}}, "sync, async"),
        ({"framework": "tf2"}, "torch"),
        ({"learners": {"num_gpus_per_learner": "all"}}, "a number"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write_instead(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_algorithm_config(document, "carla")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_builds_from_the_same_format(algorithm: str) -> None:
    rate = {"actor_lr": 0.001} if algorithm == "SAC" else {"lr": 0.001}
    document = {
        "algorithm": algorithm,
        "training": {"gamma": 0.9, **rate},
        "env_runners": {"num_env_runners": 1},
        "model": {"head_fcnet_hiddens": [32]},
    }
    config = build_algorithm_config(document, "carla")
    assert config.algo_class is not None
    family = [ancestor.__name__ for ancestor in config.algo_class.__mro__]
    assert algorithm in family
    assert config.rl_module_spec.module_class is next(
        PICTURE_MODULES[name] for name in family if name in PICTURE_MODULES
    )
    assert config.gamma == 0.9
    assert config.rl_module_spec.model_config["head_fcnet_hiddens"] == [32]


class OwnNetwork(TorchRLModule):
    """A user's network, which takes a key of its own."""


class OwnTrainer(DQNTrainer):
    """A user's algorithm."""


class OwnCallbacks(RLlibCallback):
    """A user's callbacks, which know nothing of the library's."""


def test_classes_of_ones_own_are_named_in_the_configuration() -> None:
    here = "tests.training.test_rllib_config"
    document = {
        "algorithm": f"{here}:OwnTrainer",
        "callbacks": f"{here}:OwnCallbacks",
        "model": {"module_class": f"{here}:OwnNetwork", "width": 7},
    }
    config = build_algorithm_config(document, "carla")
    assert config.algo_class is OwnTrainer
    assert config.rl_module_spec.module_class is OwnNetwork
    assert config.rl_module_spec.model_config["width"] == 7
    assert config.callbacks_class == [EpisodeCallbacks, OwnCallbacks]
    assert find_classes({**document, "model": {}}).module is PICTURE_MODULES["DQN"]


def test_a_lost_env_runner_holds_up_no_round_for_long_unless_the_user_wants_it() -> None:
    assert build_algorithm_config({}, "carla").env_runner_health_probe_timeout_s <= 0.1
    document = {"fault_tolerance": {"env_runner_health_probe_timeout_s": 20.0}}
    assert build_algorithm_config(document, "carla").env_runner_health_probe_timeout_s == 20.0


def test_the_name_dqn_stands_for_the_librarys_trainer_and_its_callbacks() -> None:
    classes = find_classes({})
    assert (classes.algorithm, classes.callbacks) == (DQNTrainer, (EpisodeCallbacks,))
    assert [figure.label for figure in classes.progress_figures] == ["distance"]
    shown = find_classes({"callbacks": "dqn_example.dqn_callbacks:DQNCallbacks"}).progress_figures
    assert [figure.label for figure in shown] == ["heading", "distance"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"algorithm": "dqn"}, "Did you mean DQN?"),
        ({"algorithm": "nowhere:MyDQN"}, "its module can't be imported"),
        ({"callbacks": "tests.training.test_rllib_config:OwnNetwork"}, "a subclass of RLlibCallback"),
        ({"model": {"module_class": "OwnNetwork"}}, "write it as 'package.module:Class'"),
    ],
)
def test_a_class_that_can_not_be_used_is_refused_with_a_sentence(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_document(document)


def test_the_document_is_not_changed() -> None:
    document = {"num_workers": 1, "model": {"dim": 84, "conv_filters": [[16, 8, 4]]}, "training": {"lr": 0.1}}
    copy = yaml.safe_load(yaml.safe_dump(document))
    build_algorithm_config(document, "carla")
    fit_resources(document, Machine(1, 0))
    assert document == copy


def test_resources_are_lowered_to_the_machine_with_a_line_each() -> None:
    document = {
        "env_runners": {"num_env_runners": 1, "num_cpus_per_env_runner": 11, "num_gpus_per_env_runner": 1},
        "learners": {"num_gpus_per_learner": 1},
    }
    fitted, notes = fit_resources(document, Machine(cpus=2, gpus=0))
    assert fitted["env_runners"] == {
        "num_env_runners": 1,
        "num_cpus_per_env_runner": 2,
        "num_gpus_per_env_runner": 0,
    }
    assert fitted["learners"] == {"num_gpus_per_learner": 0}
    assert len(notes) == 3
    assert all("instead of" in note for note in notes)


def test_runners_share_a_gpu_when_there_are_too_few() -> None:
    document = {"env_runners": {"num_env_runners": 3, "num_gpus_per_env_runner": 1}}
    fitted, _ = fit_resources(document, Machine(cpus=4, gpus=1))
    assert fitted["env_runners"]["num_gpus_per_env_runner"] == 0.33  # rounded down: three of them have to fit


@pytest.mark.parametrize(("quota", "cpus"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_containers_quota_of_processors_counts(
    quota: str, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(processors, "_QUOTA_FILE", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    assert processors.available_cpus() == cpus


def test_runners_are_lowered_when_processors_are_few() -> None:
    fitted, notes = fit_resources({"env_runners": {"num_env_runners": 12}}, Machine(cpus=4, gpus=0))
    assert fitted["env_runners"]["num_env_runners"] == 4
    assert "4 instead of 12" in notes[0]


def test_runners_leave_processors_to_those_that_evaluate_unless_there_is_one_alone() -> None:
    document = {
        "env_runners": {"num_env_runners": 8},
        "evaluation": {"evaluation_interval": 1, "evaluation_num_env_runners": 2},
    }
    fitted, _ = fit_resources(document, Machine(cpus=6, gpus=0))
    assert fitted["env_runners"]["num_env_runners"] == 4
    assert fitted["evaluation"]["evaluation_num_env_runners"] == 2
    fitted, _ = fit_resources(document, Machine(cpus=2, gpus=0))
    assert fitted["env_runners"]["num_env_runners"] == 1
    assert fitted["evaluation"]["evaluation_num_env_runners"] == 0


def test_what_fits_is_left_as_it_is() -> None:
    document = {"env_runners": {"num_env_runners": 8}, "learners": {"num_gpus_per_learner": 1}}
    assert fit_resources(document, Machine(cpus=16, gpus=1)) == (document, [])


def test_a_gpu_is_used_if_there_is_one_when_asked_for_auto() -> None:
    document = {"learners": {"num_gpus_per_learner": "auto"}}
    assert fit_resources(document, Machine(2, 1))[0]["learners"]["num_gpus_per_learner"] == 1
    fitted, notes = fit_resources(document, Machine(2, 0))
    assert fitted["learners"]["num_gpus_per_learner"] == 0
    assert notes == []


def test_a_learner_in_this_process_gets_no_gpu_of_another_machine() -> None:
    cluster = Machine(cpus=16, gpus=4, name="the cluster", own_gpus=0)
    fitted, _ = fit_resources({"learners": {"num_learners": 0, "num_gpus_per_learner": "auto"}}, cluster)
    assert fitted["learners"]["num_gpus_per_learner"] == 0
    fitted, _ = fit_resources({"learners": {"num_learners": 2, "num_gpus_per_learner": "auto"}}, cluster)
    assert fitted["learners"]["num_gpus_per_learner"] == 1


@pytest.mark.parametrize(
    ("servers", "runners", "each", "evaluators", "fitted"),
    [
        (8, 2, 4, None, (2, 4)),
        (4, 2, 4, None, (2, 2)),
        (3, 4, 4, None, (3, 1)),
        (1, 0, 4, None, (0, 1)),
        (4, 2, 4, 0, (2, 1)),  # the evaluation in the main process needs one as well
        (4, 4, 1, 2, (2, 1)),
    ],
)
def test_environments_are_no_more_than_the_servers_that_are_run_elsewhere(
    servers: int, runners: int, each: int, evaluators: int | None, fitted: tuple[int, int]
) -> None:
    document = {"env_runners": {"num_env_runners": runners, "num_envs_per_env_runner": each}}
    if evaluators is not None:
        document["evaluation"] = {"evaluation_interval": 1, "evaluation_num_env_runners": evaluators}
    document, notes = fit_resources(document, Machine(16, 0, servers=servers))
    assert tuple(document["env_runners"].values()) == fitted
    assert len(notes) == sum(given != asked for given, asked in zip(fitted, (runners, each), strict=True))
    assert all(note.endswith(f"because this machine has {servers} CARLA servers.") for note in notes)


def test_an_evaluation_without_a_server_of_its_own_is_refused() -> None:
    document = {"env_runners": {"num_env_runners": 1}, "evaluation": {"evaluation_interval": 1}}
    with pytest.raises(ResourceError, match=r"fewer CARLA servers \(1\) than training and the evaluation need \(2\)"):
        fit_resources(document, Machine(16, 0, servers=1))


def test_strict_resources_refuse_instead_of_lowering() -> None:
    with pytest.raises(ResourceError, match="--strict-resources: this machine has 2 CPUs and 0 GPUs"):
        fit_resources({"env_runners": {"num_env_runners": 3}}, Machine(2, 0), strict=True)
