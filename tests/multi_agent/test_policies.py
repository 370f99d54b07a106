"""Which policy drives which agent, and how RLlib hears of lives that end."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.agents import load_agents
from rllib_integration.driving.evaluation import agents_summary, agents_table, by_agent
from rllib_integration.driving.rllib_policy import AgentPolicy
from rllib_integration.driving.torch_policy import GreedyPolicy
from rllib_integration.multi_agent.rllib_env import ALL, flags_of
from rllib_integration.multi_agent.shared_world import Step
from rllib_integration.telemetry.replay import REPLAYS_FOLDER, read_about
from rllib_integration.training.agent_policies import policy_mapping
from rllib_integration.training.env_creator import check_environment
from rllib_integration.training.league import League
from rllib_integration.training.rllib_config import build_algorithm_config, read_document
from tests.experiments import PoseExperiment
from tests.known import present

TWO = {"car_0": "a", "*": "b"}


def document(**more):
    agents = {"heroes": {"car_0": None, "car_1": None, "bike": None}}
    return {"algorithm": "PPO", "env_config": {"experiment": {"type": PoseExperiment}, "agents": agents}, **more}


def test_all_share_a_policy_unless_told_otherwise():
    config = build_algorithm_config(document(), "carla")
    assert config.is_multi_agent
    assert {config.policy_mapping_fn(agent) for agent in ("car_0", "bike", "bike.2")} == {"shared"}


def test_the_first_pattern_that_fits_an_agent_holds():
    two = document(policies={"bikes": {}, "cars": {"trains": False}}, policy_mapping={"bike": "bikes", "*": "cars"})
    config = build_algorithm_config(two, "carla")
    assert config.policies_to_train == ["bikes"]
    assert config.policy_mapping_fn("bike.3") == "bikes"
    assert config.policy_mapping_fn("car_1") == "cars"
    assert policy_mapping(two).policies == ["bikes", "cars"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"algorithm": "DQN"}, "several agents are trained by one of PPO"),
        ({"policies": {"a": {}, "b": {}}}, "which of the policies drives whom"),
        ({"policies": {"a": {}}, "policy_mapping": {"*": "b"}}, "no policy 'b'"),
        ({"policies": {"a": {}, "b": {}}, "policy_mapping": {"*": "a"}}, "b drives no agent"),
        ({"policies": {"a": {}}, "policy_mapping": {"car_*": "a"}}, "no policy for bike"),
        ({"policies": {"a": {"trains": False}}}, "None of the policies learns"),
        ({"policies": {"a": {"chekpoint": "x"}}}, "checkpoint"),
        ({"policies": {"a": {}, "b": {"league": 2, "policy": "c"}}, "policy_mapping": TWO}, "b is a league"),
    ],
)
def test_bad_policies_are_a_sentence(more, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_document(document(**more))


SHIPPED = {path.stem: path for path in Path("dqn_example").glob("*.yaml") if "\n  agents:" in path.read_text()}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_each_agent_of_a_shipped_configuration_has_a_policy(name):
    config = yaml.safe_load(SHIPPED[name].read_text())
    read_document(config)
    agents = check_environment(config["env_config"])
    mapping = policy_mapping(config)
    assert {mapping(agent) for agent in agents} == set(mapping.policies)


def test_policies_of_a_single_hero_are_refused():
    with pytest.raises(ConfigError, match="for several agents"):
        read_document({"algorithm": "PPO", "env_config": {}, "policies": {"a": {}}})


@pytest.mark.parametrize(
    ("terminated", "truncated", "goes_on", "expected"),
    [
        ((False, False), (True, True), False, (False, True)),  # the common limit of time
        ((True, False), (False, True), False, (False, True)),  # one dies as the other is cut off
        ((True, True), (False, False), False, (True, False)),
    ],
)
def test_a_cut_off_episode_is_no_terminated_one_for_rllib(terminated, truncated, goes_on, expected):
    step = Step(
        {"a": 1, "b": 1},
        {"a": 0.0, "b": 0.0},
        dict(zip("ab", terminated)),
        dict(zip("ab", truncated)),
        {"a": {}, "b": {}},
    )
    ended, cut = flags_of(step, goes_on)
    episode = MultiAgentEpisode(agent_to_module_mapping_fn=lambda *_: "shared")
    episode.add_env_reset(observations={"a": 0, "b": 0}, infos={"a": {}, "b": {}})
    episode.add_env_step(
        step.observations, {"a": 0, "b": 0}, step.rewards, step.infos, terminateds=ended, truncateds=cut
    )
    assert (episode.is_terminated, episode.is_truncated) == expected
    assert [episode.agent_episodes[name].is_terminated for name in "ab"] == list(terminated)
    assert ended[ALL] is expected[0]


CONFIG = """
algorithm: PPO
env_config:
  carla: {timestep: 0.05, ticks_per_step: 4, timeout: 60.0}
  experiment: {type: "tests.experiments:PoseExperiment", town: Minitown, others: {step_limit: 8, last_step: 7}}
  agents: {heroes: {car: {}, rival: {}, bike: {hero: {blueprint: vehicle.diamondback.century}}}}
policies: {cars: {}, bikes: {}, past: {league: 2, every: 1, policy: cars}}
policy_mapping: {bike: bikes, rival: past, "*": cars}
env_runners: {num_env_runners: 0, num_envs_per_env_runner: 2, rollout_fragment_length: 32}
training: {train_batch_size_per_learner: 64, minibatch_size: 32, num_epochs: 1}
evaluation: {evaluation_duration: 1}
"""


def weights_in(run: Path, policy: str) -> dict[str, np.ndarray]:
    (file,) = run.glob(f"checkpoint_000001/learner_group/learner/rl_module/{policy}/module_state.pkl")
    return pickle.loads(file.read_bytes())


def test_opponents_are_drawn_for_each_episode_and_renewed_in_turn():
    league = League("past", 3, 10, "cars")
    assert [league.renewed_after(iteration) for iteration in (9, 10, 20, 30, 40)] == [
        None,
        *("past_0", "past_1", "past_2", "past_0"),
    ]
    mapping = {"car_0": "cars", "*": "past"}
    two = document(policies={"cars": {}, "past": {"league": 3}}, policy_mapping=mapping)
    config = build_algorithm_config(two, "carla")
    assert config.policies_to_train == ["cars"]
    callbacks = config.callbacks_class[-1]()
    runner = SimpleNamespace(config=SimpleNamespace(seed=1), worker_index=1, num_env_steps_sampled_lifetime=0)
    drawn = []
    for _ in range(20):
        episode = MultiAgentEpisode(agent_to_module_mapping_fn=config.policy_mapping_fn)
        callbacks.on_episode_created(episode=episode, env_runner=runner)
        assert episode.module_for("car_0") == "cars"
        drawn.append(episode.module_for("bike"))
    assert set(drawn) == set(league.members)


def test_several_agents_train_and_drive_by_the_same_commands(warm_commands, tmp_path):
    def run(*words):
        done = warm_commands.run("-m", "rllib_integration", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    file = tmp_path / "two.yaml"
    file.write_text(CONFIG)
    options = ["--name", "two", "--directory", str(tmp_path), "--tboff", "--evaluation-interval", "1"]
    run("train", str(file), *options, "--record-episodes", "1", "--stop-iterations", "1")
    lines = (tmp_path / "two" / "episodes.jsonl").read_text()
    assert '"agent": "bike"' in lines
    assert '"agent": "car"' in lines
    returns = [json.loads(line)["return"] for line in lines.splitlines()]
    result = json.loads((tmp_path / "two" / "result.json").read_text().splitlines()[-1])
    assert result["env_runners/life_return_mean"] == pytest.approx(sum(returns) / len(returns), rel=1e-4)
    cars, newest, first = (weights_in(tmp_path / "two", name) for name in ("cars", "past_0", "past_1"))
    assert all(np.array_equal(cars[name], newest[name]) for name in cars)
    assert not all(np.array_equal(cars[name], first[name]) for name in cars)
    film, result = tmp_path / "two.mp4", tmp_path / "test"
    told = run("drive", str(file), str(tmp_path / "two"), "--episodes", "1", "--seed", "1", "--video", str(film))
    assert "Policies: bikes, past_0, past_1, cars" in told
    assert "| bike | return" in told
    assert film.stat().st_size > 1000
    words = ["--episodes", "2", "--workers", "1", "-o", str(result), "--record-episodes", "1"]
    assert "policy bikes" in run("evaluate", str(file), str(tmp_path / "two"), *words)
    recorded = [present(read_about(path))["label"] for path in (tmp_path / "two" / REPLAYS_FOLDER).iterdir()]
    labels = ("Evaluation", "checkpoint_000001 in Minitown, start 1000000")
    assert sorted(recorded) == sorted(f"{label}, {agent}" for label in labels for agent in ("car", "rival", "bike"))
    agents = json.loads(result.with_suffix(".json").read_text())["agents"]
    assert [group["lives"] for group in agents.values()] == [6, *6 * [2]]


@pytest.mark.parametrize("shares_layers", [True, False])
def test_torch_alone_chooses_the_same_for_agents_that_share_a_policy(shares_layers, warm_commands, tmp_path):
    settings = yaml.safe_load(CONFIG)
    del settings["policies"], settings["policy_mapping"]
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump(settings | {"model": {"vf_share_layers": shares_layers}}))
    words = ["train", str(file), "--name", "two", "--directory", str(tmp_path), "--tboff", "--stop-iterations", "1"]
    done = warm_commands.run("-m", "rllib_integration", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoint = tmp_path / "two" / "checkpoint_000001"
    with_rllib, with_torch = AgentPolicy(checkpoint, "shared"), GreedyPolicy(checkpoint, "cpu")
    observations = np.random.default_rng(0).uniform(-100.0, 100.0, (50, 5)).astype(np.float32)
    chosen = [with_rllib.act(observation)[0] for observation in observations]
    assert chosen == [with_torch.act(observation)[0] for observation in observations]
    assert len(set(map(int, chosen))) > 1
    agents = load_agents(checkpoint, ["shared", "cars"])
    assert {type(policy) for policy in agents.values()} == {GreedyPolicy}


def test_a_mistake_in_an_agents_experiment_ends_the_run_with_its_line(warm_commands, tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text(CONFIG.replace("PoseExperiment", "FailingExperiment").replace("runners: 0", "runners: 1"))
    words = ["train", str(file), "--name", "two", "--directory", str(tmp_path), "--tboff", "--stop-iterations", "2"]
    done = warm_commands.run("-m", "rllib_integration", *words)
    assert done.returncode == 1, done.stdout
    said = done.stdout + done.stderr
    assert "Error: ZeroDivisionError: float division by zero" in said
    assert "experiments.py, line " in said
    assert "in compute_reward" in said


def test_collisions_are_counted_by_the_kilometre_of_all_agents_together():
    lives = [
        {"agent": agent, "end": end, "metrics": {"distance": 500.0, "duration": 100.0, "collisions_vehicle": hits}}
        for agent, end, hits in (("car", "collision", 2), ("car.2", "time_limit", 0), ("bike", "collision", 1))
    ]
    assert agents_summary(lives)["collisions_per_km"] == pytest.approx(2.0)
    assert {name: len(part) for name, part in by_agent(lives).items()} == {"car": 2, "bike": 1}
    assert "collision 50 %, time_limit 50 %" in agents_table(by_agent(lives))
