"""Several heroes in one world: one tick for all, each with its own experiment, sensors, metrics and end."""

from __future__ import annotations

import gzip
import os
import signal

import carla
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo.test import parallel_api_test
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rl_example.walking import Walking
from rllib_integration.config.merging import ConfigError
from rllib_integration.multi_agent.parallel_env import CarlaParallelEnv
from rllib_integration.multi_agent.rllib_env import ALL, CarlaMultiAgentEnv
from rllib_integration.multi_agent.shared_world import SharedWorld
from rllib_integration.scenario import SpawnError
from rllib_integration.telemetry.messages import Kind, kind_of, unpack
from rllib_integration.telemetry.replay import read_about
from rllib_integration.user_code import COMPUTE_REWARD, running_call
from tests.experiments import PoseExperiment
from tests.known import present

FULL_THROTTLE, BRAKE = 1, 0


class Neighbour(PoseExperiment):
    """Pays for the speed of the others, too."""

    def compute_reward(self, observation, core):
        return float(observation[4]) + sum(view.hero.get_velocity().length() for view in core.others.values())


class Asking(PoseExperiment):
    """Asks which call of an experiment runs."""

    def compute_reward(self, observation, core):
        self.running = running_call()
        return 0.0

    def get_observation(self, sensor_data):
        observation, _ = super().get_observation(sensor_data)
        return observation, {"running": getattr(self, "running", None)}


class Stroller(PoseExperiment):
    """Walks ahead."""

    def get_action_space(self):
        return spaces.Box(0.0, 2.0, (1,), np.float32)

    def compute_action(self, action):
        return carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), float(action[0]), False)


def share(rewards, heroes):
    """All agents get the mean."""
    mean = sum(rewards.values()) / len(rewards)
    return dict.fromkeys(rewards, mean)


@pytest.fixture
def config(embedded_server):
    host, port = embedded_server
    server = {"kind": "external", "host": host, "port": port}

    def make(agents, **experiment):
        task = {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": 6}, **experiment}
        return {"carla": {"server": server, "seed": 1, "ticks_per_step": 4}, "experiment": task, "agents": agents}

    return make


@pytest.fixture
def make_world(config):
    worlds = []

    def make(agents, **experiment):
        worlds.append(SharedWorld(config(agents, **experiment)))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def act(world, actions):
    world.begin_step(actions)
    return world.finish_step()


def test_pettingzoo_takes_it_for_one_of_its_own(config):
    env = CarlaParallelEnv(config({"count": 3}))
    parallel_api_test(env, num_cycles=10)
    env.close()


def test_one_tick_serves_all_and_each_drives_for_itself(make_world):
    world = make_world({"count": 3}, hero={"sensors": {"bird": {"type": "sensor.birdview", "size": 32}}})
    first, _ = world.reset(seed=3)
    before = world.core.frame
    actions = {"agent_0": FULL_THROTTLE, "agent_1": BRAKE, "agent_2": FULL_THROTTLE}
    for _ in range(5):
        step = act(world, actions)
    assert world.core.frame == before + 5 * world.core.config["ticks_per_step"]
    assert all(info["frames_behind"] == {"bird": 0} for info in step.infos.values())
    moved = {agent: np.linalg.norm(seen[:2] - first[agent][:2]) for agent, seen in step.observations.items()}
    assert moved["agent_1"] < 0.1 < min(moved["agent_0"], moved["agent_2"])
    assert step.truncated == dict.fromkeys(actions, False)
    last = act(world, actions)
    assert last.truncated == dict.fromkeys(actions, True)
    driven = {agent: info["episode_metrics"]["distance"] for agent, info in last.infos.items()}
    assert driven["agent_0"] > 0.1 > driven["agent_1"]
    assert world.heroes == {}
    with pytest.raises(gymnasium.error.ResetNeeded):
        world.begin_step({})


def test_which_method_of_an_agents_experiment_runs_is_known(make_world):
    world = make_world({"count": 1}, type=Asking)
    world.reset(seed=3)
    for _ in range(2):
        step = act(world, {"agent_0": BRAKE})
    running = step.infos["agent_0"]["running"]
    assert running.code.name == "Asking"
    assert running.call == (COMPUTE_REWARD, 1)
    assert running_call() is None


def test_a_seed_repeats_an_episode(make_world):
    world = make_world({"count": 2}, background_activity={"n_vehicles": 2})
    episodes = []
    for _ in range(2):
        seen = [world.reset(seed=8)[0]]
        seen += [act(world, dict.fromkeys(world.heroes, FULL_THROTTLE)).observations for _ in range(4)]
        episodes.append(np.array([list(step.values()) for step in seen]))
    assert np.array_equal(episodes[0], episodes[1])


def test_a_walker_crosses_the_road_to_its_goal(make_world):
    sensors = {"collision": {"type": "sensor.other.collision"}}
    walker = {
        "type": Walking,
        "hero": {"blueprint": "walker.pedestrian.0001", "sensors": sensors},
        "others": {"time_limit": 60},
    }
    world = make_world({"heroes": {"car": {"others": {"step_limit": 100}}, "walker": walker}})
    world.reset(seed=1)
    view = world.heroes["walker"]
    task, start = world._agents["walker"].experiment, view.hero.get_location()
    task.goal = carla.Location(start.x + 5.0, start.y, start.z)
    rewards = []
    while "walker" in world.heroes:
        step = act(world, {"car": BRAKE, "walker": 1})
        rewards.append(step.rewards["walker"])
    assert world.observation_spaces["walker"].contains(step.observations["walker"])
    assert step.infos["walker"]["end"] == "goal"
    assert sum(rewards[2:-1]) == pytest.approx(0.4 * len(rewards[2:-1]), abs=0.1)  # 2 m/s for 0.2 s each


class Tells(PoseExperiment):
    """Says what it finds out when it is asked whether the episode has ended."""

    def get_observation(self, sensor_data):
        observation, self.info = super().get_observation(sensor_data)
        return observation, self.info

    def get_done_status(self, observation, core):
        self.info["end"] = "tired"
        return True


def test_what_an_experiment_tells_in_a_step_is_told_in_that_step(make_world):
    world = make_world({"count": 2}, type=Tells)
    world.reset(seed=1)
    step = act(world, dict.fromkeys(world.heroes, BRAKE))
    assert {info["end"] for info in step.infos.values()} == {"tired"}
    assert {info["episode_metrics"]["end_reason"] for info in step.infos.values()} == {"tired"}


def test_the_dead_leave_and_begin_again_under_another_name(make_world):
    own = {"others": {"last_step": 2, "step_limit": 100}}
    world = make_world({"heroes": {"short": own, "long": None}, "lives": 2})
    world.reset(seed=1)
    assert world.possible_agents == ["short", "long", "short.2", "long.2"]
    act(world, {"short": BRAKE, "long": BRAKE})
    old = world.heroes["short"].hero.id
    step = act(world, {"short": BRAKE, "long": BRAKE})
    assert step.terminated == {"short": True, "long": False}
    assert list(world.heroes) == ["long", "short.2"]
    with pytest.raises(gymnasium.error.InvalidAction, match=r"\['long'\] have to act"):
        world.begin_step({"long": BRAKE, "short.2": BRAKE})
    step = act(world, {"long": BRAKE})  # the next life is seen now, and acts from here on
    assert set(step.observations) == {"long", "short.2"}
    assert set(step.rewards) == {"long"}
    assert old not in {actor.id for actor in world.core.find_actors("vehicle.*")}
    act(world, {"long": BRAKE, "short.2": BRAKE})
    step = act(world, {"long": BRAKE, "short.2": BRAKE})
    assert step.terminated["short.2"]
    assert list(world.heroes) == ["long"]


def test_the_episode_ends_with_the_last_that_has_decided_as_rllib_sees_it(config):
    experiment = {"short": {"others": {"last_step": 2}}, "long": {"others": {"last_step": 3}}}
    env = CarlaMultiAgentEnv(config({"heroes": experiment, "lives": 3}, others={"step_limit": 100}))
    episode = MultiAgentEpisode(agent_to_module_mapping_fn=lambda *_: "shared")
    observations, infos = env.reset(seed=1)
    episode.add_env_reset(observations=observations, infos=infos)
    seen, lives = set(observations), set(observations)
    while not episode.is_done:
        actions = dict.fromkeys(seen & set(env.agents), BRAKE)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminated, truncateds=truncated)
        assert episode.is_done == (terminated[ALL] or truncated[ALL]) == (not env.agents)
        seen = set(observations)
        lives |= seen
    assert lives == {"short", "long"}  # the second life of the short one would have begun with the end of the long one
    env.reset(seed=1)
    assert len(env.world.core.find_actors("vehicle.*")) == 2
    env.close()


def read_messages(path):
    data, at = gzip.decompress(path.read_bytes()), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def test_each_life_of_a_recorded_episode_is_a_file_that_follows_its_hero(make_world, tmp_path):
    own = {"others": {"last_step": 2, "step_limit": 100}}
    world = make_world({"heroes": {"short": own, "long": None}, "lives": 2}, others={"step_limit": 5})
    world.record_next_episode(tmp_path, "Meeting", seed=1)
    world.reset(seed=1)
    heroes: dict[str, int] = {}
    seen = set(world.heroes)
    while world.heroes:
        heroes |= {agent: view.hero.id for agent, view in world.heroes.items()}
        seen = set(act(world, dict.fromkeys(seen & world.heroes.keys(), BRAKE)).observations)
    files = {present(read_about(path))["agent"]: path for path in tmp_path.iterdir()}
    told = {agent: present(read_about(path)) for agent, path in files.items()}
    assert {agent: (about["label"], about["end"], about["steps"], about["seed"]) for agent, about in told.items()} == {
        "short": ("Meeting, short", "terminated", 2, 1),
        "long": ("Meeting, long", "truncated", 5, 1),
        "short.2": ("Meeting, short.2", "terminated", 2, 1),
    }
    for agent, path in files.items():
        frames = [unpack(message) for message in read_messages(path) if kind_of(message) == Kind.FRAME]
        assert {frame.head["hero"] for frame in frames} == {heroes[agent]}
        assert all(heroes[agent] in frame.arrays[0] for frame in frames)
    world.reset()
    for _ in range(2):  # then the first life has ended
        act(world, {"short": BRAKE, "long": BRAKE})
    assert len(list(tmp_path.iterdir())) == 3


def test_those_who_have_ended_may_stand_in_the_way_for_a_while(make_world):
    own = {"others": {"last_step": 1}}
    agents = {"heroes": {"short": own, "long": None}, "ended": "stop", "stop_seconds": 0.35}
    world = make_world(agents, others={"step_limit": 50})
    world.reset(seed=1)
    body = world.heroes["short"].hero.id
    act(world, {"short": BRAKE, "long": BRAKE})
    bodies = []
    for _ in range(4):
        act(world, {"long": BRAKE})
        bodies.append(body in {actor.id for actor in world.core.find_actors("vehicle.*")})
    assert bodies[0]
    assert not bodies[-1]


def test_bicycles_and_walkers_are_agents_too(make_world):
    bike = {"hero": {"blueprint": "vehicle.diamondback.century"}}
    walker = {"type": Stroller, "hero": {"blueprint": "walker.pedestrian.0001"}}
    world = make_world({"heroes": {"car": None, "bike": bike, "walker": walker}}, others={"step_limit": 20})
    first, _ = world.reset(seed=2)
    for _ in range(15):
        step = act(world, {"car": BRAKE, "bike": FULL_THROTTLE, "walker": np.array([1.5], np.float32)})
    moved = {agent: np.linalg.norm(seen[:2] - first[agent][:2]) for agent, seen in step.observations.items()}
    assert moved["walker"] > 0.2
    assert moved["bike"] > 0.1
    assert moved["car"] < 0.1


def test_agents_see_each_other_and_share_rewards(make_world):
    world = make_world({"count": 2, "rewards": f"{__name__}:share"}, type=Neighbour)
    world.reset(seed=1)
    assert list(world.heroes["agent_0"].others) == ["agent_1"]
    for _ in range(4):
        step = act(world, {"agent_0": FULL_THROTTLE, "agent_1": BRAKE})
    assert step.rewards["agent_0"] == step.rewards["agent_1"]
    speed = step.observations["agent_0"][4]
    assert step.rewards["agent_0"] == pytest.approx(speed + step.observations["agent_1"][4], rel=1e-3)


def test_a_lost_server_cuts_the_episode_off_and_the_next_finds_another(config, tmp_path):
    settings = config({"count": 2})
    settings["carla"] = {"seed": 1}
    world = SharedWorld(settings)
    try:
        world.record_next_episode(tmp_path, "Cut off")
        first, _ = world.reset(seed=1)
        os.kill(present(present(world.core.server).pid), signal.SIGKILL)
        step = act(world, dict.fromkeys(first, BRAKE))
        assert step.truncated == {"agent_0": True, "agent_1": True}
        assert all(info["server_restarted"] for info in step.infos.values())
        _, infos = world.reset()
        assert infos["agent_0"]["server_recovery_seconds"] > 0.0
        act(world, dict.fromkeys(first, BRAKE))
        recorded = [present(read_about(path)) for path in tmp_path.iterdir()]
        assert [(about["label"], about["end"]) for about in sorted(recorded, key=lambda about: about["agent"])] == [
            ("Cut off, agent_0", "server_lost"),
            ("Cut off, agent_1", "server_lost"),
        ]
    finally:
        world.close()


def test_more_agents_than_places_is_a_sentence(make_world):
    world = make_world({"count": 2}, hero={"spawn_points": ["-0.3,-21.5,0.5,0,0,-90"]})
    with pytest.raises(SpawnError, match="could not be spawned on any of 1 spawn points"):
        world.reset(seed=1)


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        ({}, "name the agents"),
        ({"count": 2, "heroes": {"a": None}}, "name the agents"),
        ({"count": -1}, "0 or more"),
        ({"heroes": {"a.b": None}}, "without dots"),
        ({"heroes": {"a": {"town": "Town03"}}}, "share one world"),
        ({"heroes": {"a": {"heroo": {}}}}, "agents.heroes.a"),
        ({"count": 2, "ended": "explode"}, "remove or stop"),
        ({"count": 2, "rewards": "nothing:here"}, "can't be imported"),
        ({"count": 2, "cuont": 2}, "count"),
    ],
)
def test_bad_input_is_a_sentence(agents, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SharedWorld({"experiment": {"type": PoseExperiment}, "agents": agents})
