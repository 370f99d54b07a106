"""The flat setting names of RLlib 1.x, and where each of them lives in today's `AlgorithmConfig`.

Configurations written for the original integration put every RLlib setting at the top level of the YAML.
Here each old name is moved to the section (a method of `AlgorithmConfig`) that holds it now.
"""

from __future__ import annotations

from collections.abc import Callable

from rllib_integration.annotations import Record, Settings
from rllib_integration.errors import IntegrationError

# Old name -> dotted path in today's document.
MOVED: dict[str, str] = {
    "num_workers": "env_runners.num_env_runners",
    "num_rollout_workers": "env_runners.num_env_runners",
    "num_envs_per_worker": "env_runners.num_envs_per_env_runner",
    "num_cpus_per_worker": "env_runners.num_cpus_per_env_runner",
    "num_gpus_per_worker": "env_runners.num_gpus_per_env_runner",
    "custom_resources_per_worker": "env_runners.custom_resources_per_env_runner",
    "num_cpus_for_driver": "resources.num_cpus_for_main_process",
    "num_gpus": "learners.num_gpus_per_learner",
    "lr_schedule": "training.lr",
    "lambda": "training.lambda_",
    "sgd_minibatch_size": "training.minibatch_size",
    "num_sgd_iter": "training.num_epochs",
    "timesteps_per_iteration": "reporting.min_sample_timesteps_per_iteration",
    "min_iter_time_s": "reporting.min_time_s_per_iteration",
    "metrics_smoothing_episodes": "reporting.metrics_num_episodes_for_smoothing",
    "learning_starts": "training.num_steps_sampled_before_learning_starts",
    "buffer_size": "training.replay_buffer_config.capacity",
    "prioritized_replay_alpha": "training.replay_buffer_config.alpha",
    "prioritized_replay_beta": "training.replay_buffer_config.beta",
    "hiddens": "model.head_fcnet_hiddens",
    "vf_share_layers": "model.vf_share_layers",
    "evaluation_num_workers": "evaluation.evaluation_num_env_runners",
    "evaluation_num_episodes": "evaluation.evaluation_duration",
    "seed": "debugging.seed",
    "env_config": "environment.env_config",
    "ignore_worker_failures": "fault_tolerance.ignore_env_runner_failures",
    "recreate_failed_workers": "fault_tolerance.restart_failed_env_runners",
}

# Old name -> why nothing replaces it. The line with the reason is all that remains of the setting.
DROPPED: dict[str, str] = {
    "env": "the environment is CarlaEnv",
    "adam_epsilon": "RLlib's new API stack has no such setting",
    "prioritized_replay_beta_annealing_timesteps": "the exponent is constant on RLlib's new API stack",
    "final_prioritized_replay_beta": "the exponent is constant on RLlib's new API stack",
    "prioritized_replay_eps": "RLlib's new API stack has no such setting",
    "synchronize_filters": "there are no observation filters to synchronise",
    "monitor": "use dqn_inference_ray.py --video instead",
    "simple_optimizer": "there is only one optimizer path now",
    "worker_side_prioritization": "it belonged to APEX, which RLlib no longer has",
    "min_iteration_time_s": "use reporting.min_time_s_per_iteration",
}

# The same inside `model`.
MODEL_DROPPED: dict[str, str] = {
    "dim": "the sensor's own size is the picture's size",
    "grayscale": "the experiment decides what it observes",
    "zero_mean": "pictures are scaled to 0..1 inside the network",
    "framestack": "the experiment stacks its pictures",
}


class OldNameError(IntegrationError, ValueError):
    """An old setting that has no equivalent; the message says what to do instead."""


def translate_old_names(document: Record) -> tuple[Record, list[str]]:
    """Move flat old names to the sections that hold them today.

    Args:
        document: The RLlib part of a configuration; it is not changed.

    Returns:
        The translated document, and one line for each setting that was moved or left out.

    Raises:
        OldNameError: for an old setting that can be neither moved nor left out.
    """
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    notes: list[str] = []
    is_old = any(name in result for name in (*MOVED, *_SPECIAL) if name not in ("env_config", "seed"))
    for name in list(result):
        if name in DROPPED:
            del result[name]
            notes.append(f"{name} is left out: {DROPPED[name]}.")
        elif name in _SPECIAL:
            notes.append(_SPECIAL[name](result, result.pop(name)))
        elif name in MOVED and not (name == "env_config" and "environment" in result):
            put(result, MOVED[name], result.pop(name))
            if name != "env_config":
                notes.append(f"{name} is now {MOVED[name]}.")
    notes += _translate_model(result, is_old)
    return result, [note for note in notes if note]


def put(document: Record, path: str, value: object) -> None:
    """Set the value at a dotted path, making the mappings on the way."""
    *parents, last = path.split(".")
    for parent in parents:
        inner = document.get(parent)
        document[parent] = dict(inner) if isinstance(inner, dict) else {}
        document = document[parent]
    document[last] = value


def _translate_model(document: Record, is_old: bool) -> list[str]:
    model = document.get("model")
    if not isinstance(model, dict):
        return []
    notes = []
    was_old = is_old or "dim" in model
    for name in [name for name in model if name in MODEL_DROPPED]:
        del model[name]
        notes.append(f"model.{name} is left out: {MODEL_DROPPED[name]}.")
    filters = model.get("conv_filters")
    if was_old and filters and len(filters[-1]) == 3:
        model["conv_filters"] = [*filters[:-1], [*filters[-1], "valid"]]
        notes.append('model.conv_filters: the last layer gets "valid" padding, as RLlib 1.x did by itself.')
    return notes


def _exploration(document: Record, value: Settings | None) -> str:
    settings = dict(value or {})
    kind = str(settings.pop("type", "EpsilonGreedy")).rpartition(".")[2]
    if kind == "SoftQ":
        temperature = settings.pop("temperature", 1.0)
        put(document, "model.softq_temperature", temperature)
        note = f"exploration_config SoftQ is now model.softq_temperature: {temperature}."
    elif kind == "EpsilonGreedy":
        first, last = settings.pop("initial_epsilon", 1.0), settings.pop("final_epsilon", 0.05)
        steps, warmup = settings.pop("epsilon_timesteps", 10_000), settings.pop("warmup_timesteps", 0)
        schedule = [[0, first], [warmup, first], [warmup + steps, last]] if warmup else [[0, first], [steps, last]]
        put(document, "training.epsilon", schedule)
        note = f"exploration_config EpsilonGreedy is now training.epsilon: {schedule}."
    elif kind == "StochasticSampling":
        note = "exploration_config StochasticSampling is left out: it is what such algorithms do by default."
    else:
        raise OldNameError(
            f"exploration_config.type is {kind!r}, which today's RLlib does not have; SoftQ (also "
            "model.softq_temperature) and EpsilonGreedy (also training.epsilon) are available."
        )
    if settings:
        raise OldNameError(f"exploration_config has settings that {kind} does not know: {', '.join(settings)}.")
    return note


def _prioritized_replay(document: Record, value: object) -> str:
    kind = "PrioritizedEpisodeReplayBuffer" if value else "EpisodeReplayBuffer"
    put(document, "training.replay_buffer_config.type", kind)
    return f"prioritized_replay is now training.replay_buffer_config.type: {kind}."


def _noisy(document: Record, value: object) -> str:
    if value:
        raise OldNameError("noisy: true has no effect on RLlib's new API stack; use training.epsilon to explore.")
    return "noisy is left out: RLlib's new API stack has no noisy networks."


def _observation_filter(document: Record, value: object) -> str:
    if value not in (None, "NoFilter"):
        raise OldNameError(
            f"observation_filter: {value!r} is gone from RLlib; normalise in the experiment's get_observation."
        )
    return "observation_filter is left out: NoFilter is the only one."


def _horizon(document: Record, value: object) -> str:
    if value is not None:
        raise OldNameError(
            f"horizon: {value!r} is gone from RLlib; give the experiment a time limit in "
            "get_truncated_status (DQNExperiment: env_config.experiment.others.max_time_episode)."
        )
    return "horizon is left out: the experiment's time limit ends an episode."


_SPECIAL: dict[str, Callable[[Record, Settings | None], str]] = {
    "exploration_config": _exploration,
    "prioritized_replay": _prioritized_replay,
    "noisy": _noisy,
    "observation_filter": _observation_filter,
    "horizon": _horizon,
}
