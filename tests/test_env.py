"""The environment as Gymnasium, its wrappers and its users see it."""

from __future__ import annotations

import gc
import threading
import warnings
from typing import Any

import carla
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from rllib_integration import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.observation_check import ObservationError
from rllib_integration.ticking.tickers import BundledTicker
from tests.experiments import PoseExperiment
from tests.known import actors_of, weather_named
from tests.patience import PATIENCE

TOWN = "Minitown"


def make_config(address, **experiment):
    """Configuration of an environment on a server that runs already."""
    host, port = address
    carla_section = experiment.pop("carla", {})
    return {
        "carla": {"server": {"kind": "external", "host": host, "port": port}, **carla_section},
        "experiment": {"type": PoseExperiment, "town": TOWN, **experiment},
    }


@pytest.fixture
def make_env(embedded_server):
    environments = []

    def make(render_mode=None, **experiment):
        env = CarlaEnv(make_config(embedded_server, **experiment), render_mode=render_mode)
        environments.append(env)
        return env

    yield make
    for env in reversed(environments):
        env.close()


def drive(env, actions, seed=None):
    """One episode: all that `reset` and `step` returned."""
    episode = [env.reset(seed=seed)]
    episode += [env.step(action) for action in actions]
    return episode


def observations(episode):
    return np.array([outcome[0] for outcome in episode])


def test_fault_18_the_environment_is_gymnasiums_in_every_respect(embedded_server):
    config = make_config(embedded_server, hero={"sensors": {"bird": {"type": "sensor.birdview", "size": 84}}})
    env = gymnasium.make("rllib_integration/Carla-v0", config=config)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env.unwrapped)
    finally:
        env.close()
    env.close()


def test_step_returns_named_reward_parts_and_their_sum(make_env):
    _, (_, reward, terminated, truncated, info) = drive(make_env(), [1])
    assert info["reward_parts"].keys() == {"speed", "time"}
    assert reward == pytest.approx(sum(info["reward_parts"].values()))
    assert (terminated, truncated) == (False, False)


def test_a_reward_may_be_a_plain_number(make_env, monkeypatch):
    monkeypatch.setattr(PoseExperiment, "compute_reward", lambda *_: np.float32(2.5))
    _, (_, reward, _, _, info) = drive(make_env(), [0])
    assert type(reward) is float
    assert reward == 2.5
    assert "reward_parts" not in info


def test_fault_18_a_time_limit_truncates_and_an_ending_terminates(make_env):
    ended = drive(make_env(others={"last_step": 2}), [1, 1])
    assert [outcome[2:4] for outcome in ended[1:]] == [(False, False), (True, False)]
    cut = drive(make_env(others={"step_limit": 2}), [1, 1])
    assert [outcome[2:4] for outcome in cut[1:]] == [(False, False), (False, True)]


def test_hooks_of_a_step_are_called_once_and_in_order(make_env, monkeypatch):
    calls = []
    hooks = ["compute_action", "get_observation", "get_done_status", "get_truncated_status", "compute_reward"]
    for name in hooks:
        original = getattr(PoseExperiment, name)

        def record(self, *arguments, _name=name, _original=original):
            calls.append(_name)
            return _original(self, *arguments)

        monkeypatch.setattr(PoseExperiment, name, record)
    env = make_env()
    env.reset()
    calls.clear()
    env.step(1)
    assert calls == hooks


def test_fault_18_one_reset_is_one_reset(make_env, monkeypatch):
    resets = []

    def reset(self):
        self.steps = 0
        resets.append(1)

    monkeypatch.setattr(PoseExperiment, "reset", reset)
    make_env().reset()
    assert len(resets) == 1


def test_step_before_reset_and_after_the_end_asks_for_a_reset(make_env):
    env = make_env(others={"last_step": 1})
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    drive(env, [0])
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset"):
        env.step(0)
    assert env.reset()[0].shape == (5,)


@pytest.mark.parametrize("action", [4, -1, 1.5, "left"])
def test_an_action_out_of_range_is_refused_by_name(make_env, action):
    env = make_env()
    env.reset()
    with pytest.raises(gymnasium.error.InvalidAction, match=r"Discrete\(4\)"):
        env.step(action)


def test_fault_7_the_same_seed_gives_the_same_episode_bit_for_bit(make_env):
    actions = [1] * 20 + [2] * 20 + [3] * 20
    env = make_env(weather="random")
    first = observations(drive(env, actions, seed=11))
    weather = env.core.world.get_weather()
    other = observations(drive(env, actions, seed=12))
    again = observations(drive(env, actions, seed=11))
    assert env.core.world.get_weather() == weather
    assert again.tobytes() == first.tobytes()
    assert other.tobytes() != first.tobytes()


def test_the_same_seed_gives_the_same_sensor_data_bit_for_bit(make_env):
    roof, small = {"transform": "0,0,2.4,0,0,0"}, {"image_size_x": 32, "image_size_y": 24}
    sensors = {
        "imu": {"type": "sensor.other.imu", "noise_accel_stddev_x": 0.1},
        "gnss": {"type": "sensor.other.gnss", "noise_lat_stddev": 1e-5},
        "radar": {"type": "sensor.other.radar", **roof},
        "lidar": {"type": "sensor.lidar.ray_cast", **roof, "noise_stddev": 0.05},
        "camera": {"type": "sensor.camera.rgb", **roof, **small},
        "bird": {"type": "sensor.birdview", "size": 64},
    }
    env = make_env(hero={"sensors": sensors}, background_activity={"n_vehicles": 4}, carla={"timeout": 60.0})
    episodes = []
    for _ in range(2):
        env.reset(seed=8)
        data = []
        for action in [1] * 10 + [2] * 10 + [3] * 10:
            env.step(action)
            data.append({name: value.tobytes() for name, (_, value) in env._sensor_data.items()})
        episodes.append(data)
    for first, second in zip(*episodes):
        assert [name for name in sensors if first[name] != second[name]] == []


def test_fault_7_unseeded_resets_go_on_from_the_seed(make_env):
    env = make_env()
    starts = [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]
    again = [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]
    assert np.array(starts).tobytes() == np.array(again).tobytes()
    assert len({start.tobytes() for start in starts}) > 1


def test_the_configured_seed_is_that_of_the_first_episode(make_env):
    env = make_env(carla={"seed": 21})
    configured = env.reset()[0]
    env.close()
    assert configured.tobytes() == make_env().reset(seed=21)[0].tobytes()


def test_options_change_one_episode_only(make_env):
    env = make_env()
    env.reset(options={"weather": "HardRainNoon", "background_activity": {"seed": 1}})
    assert env.core.world.get_weather() == weather_named("HardRainNoon")
    env.reset()
    assert env.core.world.get_weather() == weather_named("ClearNoon")
    assert env.experiment.config["weather"] == "ClearNoon"
    with pytest.raises(ConfigError, match="did you mean"):
        env.reset(options={"wheather": "ClearNoon"})


def test_ticks_per_step_holds_an_action_for_several_ticks(make_env):
    one = make_env()
    drive(one, [1] * 12, seed=3)
    first = one.step(1)[0]
    frame = one.core.frame
    one.close()
    four = make_env(carla={"ticks_per_step": 4})
    drive(four, [1] * 3, seed=3)
    before = four.core.frame
    four.step(1)
    assert four.core.frame - before == 4
    assert four.metadata["render_fps"] == 5
    assert frame > 0
    assert first.shape == (5,)


@pytest.mark.parametrize("sensor", ["collision", "lane_invasion"])
def test_queued_ticks_are_the_same_as_single_ticks(sensor):
    config = {
        "carla": {"server": {"kind": "embedded"}},
        "experiment": {
            "type": PoseExperiment,
            "town": TOWN,
            "hero": {"sensors": {"events": {"type": f"sensor.other.{sensor}"}}},
        },
    }
    needs_every_frame = sensor == "lane_invasion"
    seen = {}
    for repeat in (1, 4):
        env = CarlaEnv(config)
        try:
            env.reset(seed=3)
            core = env.core
            frames: list[int] = []
            states: list[Any] = []
            events: list[Any] = []
            ahead = core.hero.get_transform()
            ahead.location += ahead.get_forward_vector() * 14.0
            core.world.spawn_actor(core.world.get_blueprint_library().find("vehicle.audi.tt"), ahead)
            begin, last = core.frame, threading.Event()

            def note(snapshot, frames=frames, last=last, goal=begin + 80):
                if snapshot.frame > goal - 80:  # whose callbacks may be called after its tick has returned
                    frames.append(snapshot.frame)
                if snapshot.frame == goal:
                    last.set()

            core.world.on_tick(note)
            for _ in range(80 // repeat):
                core.tick(carla.VehicleControl(throttle=0.8, steer=0.4 * needs_every_frame), repeat)
                assert isinstance(core.clock.ticker(), BundledTicker) != needs_every_frame
                states.append((core.frame - begin, *tuple_of(core.hero.get_transform())))
                events += [frame - begin for frame, _ in core.sensor_interface.events.get("events", [])]
            assert last.wait(PATIENCE), "the callback of the last frame may come after the step has returned"
            told = range(begin + repeat, begin + 81, repeat)
            assert set(told) <= set(frames)
            if needs_every_frame:
                assert frames == list(range(begin + 1, begin + 81))
            seen[repeat] = (states[4 // repeat - 1 :: 4 // repeat], events)
        finally:
            env.close()
    assert seen[1] == seen[4]
    assert seen[1][1], "it meets a line, or the car ahead"


def test_a_world_loaded_by_somebody_else_does_not_stop_the_ticks(make_env):
    """Such a load ends what listens to frames."""
    env = make_env(carla={"server": {"kind": "embedded"}, "ticks_per_step": 2})
    drive(env, [1] * 3, seed=3)
    core = env.core
    core.connection.world = core.client.reload_world(False)
    frame = core.world.get_snapshot().frame
    core._remove_hero()
    for step in range(1, 4):
        core.begin_tick(None, 2)
        core.finish_tick()
        assert core.frame == frame + 2 * step


def tuple_of(transform):
    place, rotation = transform.location, transform.rotation
    return place.x, place.y, place.z, rotation.roll, rotation.pitch, rotation.yaw


def test_ticks_per_step_reaches_the_same_state_as_single_ticks(make_env):
    one = make_env()
    single = observations(drive(one, [1] * 12, seed=3))
    one.close()
    repeated = observations(drive(make_env(carla={"ticks_per_step": 4}), [1] * 3, seed=3))
    assert repeated.tobytes() == single[::4].tobytes()


class Wrong(PoseExperiment):
    """Returns what its configuration says, whatever the space."""

    def get_observation(self, sensor_data):
        good, info = super().get_observation(sensor_data)
        wrong = {
            "dtype": good.astype(np.float64),
            "shape": good[:4],
            "list": good.tolist(),
            "nan": np.full_like(good, np.nan),
        }
        return wrong[self.config["others"]["wrong"]], info


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("dtype", "dtype float64.*float32"),
        ("shape", r"shape \(4,\).*\(5,\)"),
        ("list", "numpy array"),
        ("nan", r"observation\[0\] is nan"),
    ],
)
def test_an_observation_outside_its_space_is_an_error_that_names_it(make_env, wrong, expected):
    env = make_env(type=Wrong, others={"wrong": wrong})
    with pytest.raises(ObservationError, match=expected):
        env.reset()


def test_an_experiments_own_error_is_not_mistaken_for_a_lost_server(make_env, monkeypatch):
    env = make_env()
    env.reset()
    monkeypatch.setattr(PoseExperiment, "compute_reward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.step(0)

    def fail(*_):
        raise RuntimeError("my own bug")

    monkeypatch.setattr(PoseExperiment, "compute_reward", fail)
    env.reset()
    server = env.core.server
    with pytest.raises(RuntimeError, match="my own bug"):
        env.step(0)
    assert env.core.server is server


def test_render_writes_the_figures_on_a_picture_of_the_configured_size(make_env):
    env = make_env("rgb_array", carla={"resolution_x": 320, "resolution_y": 240})
    env.reset(seed=1)
    before = env.render()
    env.step(1)
    after = env.render()
    assert (after.shape, after.dtype) == ((240, 320, 3), np.uint8)
    assert (before != after).any()


def test_render_shows_the_world_from_above_where_the_hero_has_no_pictures(make_env):
    env = make_env("rgb_array")
    env.reset(seed=1)
    picture = env.render()
    assert len(np.unique(picture[200:].reshape(-1, 3), axis=0)) > 10
    hero_green = np.abs(picture.astype(int) - (138, 226, 52)).sum(axis=2) < 40
    assert hero_green.sum() > 50


def test_render_shows_the_heros_own_bird_view(make_env):
    env = make_env("rgb_array", hero={"sensors": {"bird": {"type": "sensor.birdview", "size": 300}}})
    env.reset(seed=1)
    picture = env.render()
    own = env._sensor_data["bird"][1]
    assert abs(picture[300:].mean() - own[150:].mean()) < 3.0


def test_render_takes_no_stack_of_masks_for_a_picture(make_env):
    masks = {"type": "sensor.birdview", "size": 84, "format": "masks", "planes": ["road", "vehicles", "walkers"]}
    env = make_env("rgb_array", hero={"sensors": {"bird": masks}})
    env.reset(seed=1)
    assert env._sensor_data["bird"][1].shape == (84, 84, 3)
    hero_green = np.abs(env.render().astype(int) - (138, 226, 52)).sum(axis=2) < 40
    assert hero_green.sum() > 50


def test_an_ended_episode_comes_with_its_metrics(make_env, monkeypatch):
    observe = PoseExperiment.get_observation
    monkeypatch.setattr(PoseExperiment, "get_observation", lambda *given: (observe(*given)[0], {"end": "arrived"}))
    outcome = drive(make_env(others={"last_step": 3}, route={"length": 200}), [1, 1, 1])[-1]
    metrics = outcome[4]["episode_metrics"]
    assert metrics["duration"] == pytest.approx(0.15)
    assert metrics["collisions_vehicle"] == 0
    assert metrics["end_reason"] == "arrived"
    assert 0.0 <= metrics["driving_score"] <= 100.0
    assert "episode_metrics" not in drive(make_env(), [1])[-1][4]


def test_human_rendering_without_a_display_says_so_and_goes_on(make_env, monkeypatch, caplog):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    env = make_env("human")
    drive(env, [1, 1])
    assert [record.message for record in caplog.records if "no display" in record.message] != []
    assert env.render() is None


def test_an_unknown_render_mode_is_a_sentence(embedded_server):
    with pytest.raises(ConfigError, match="rgb_array"):
        CarlaEnv(make_config(embedded_server), render_mode="ansi")


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        ({"type": "tests.experiments:PoseExperimnt"}, "PoseExperiment"),
        ({"type": None}, "subclass of BaseExperiment"),
        ({"town": 7}, "a town's name"),
    ],
)
def test_an_environment_that_can_not_be_made_says_why(embedded_server, experiment, expected):
    with pytest.raises(ConfigError, match=expected):
        CarlaEnv(make_config(embedded_server, **experiment))


def test_without_an_experiment_the_error_says_what_is_missing():
    with pytest.raises(ConfigError, match=r"experiment\.type is missing"):
        CarlaEnv({})


def test_rllibs_environment_context_is_taken_as_configuration(embedded_server):
    from ray.rllib.env.env_context import EnvContext

    context = EnvContext(make_config(embedded_server), worker_index=1)
    env = CarlaEnv(context)
    assert env.config["experiment"]["town"] == TOWN
    env.close()


def test_env_runners_of_one_configured_seed_see_different_episodes(embedded_server):
    from ray.rllib.env.env_context import EnvContext

    starts = []
    for worker in (1, 2, 1):
        env = CarlaEnv(EnvContext(make_config(embedded_server, carla={"seed": 4}), worker_index=worker))
        starts.append([env.reset()[0].tobytes() for _ in range(4)])
        env.close()
    assert starts[0] == starts[2] != starts[1]


def test_an_environment_made_only_for_its_spaces_starts_no_server():
    env = CarlaEnv({"experiment": {"type": PoseExperiment}})
    assert env.action_space == spaces.Discrete(4)
    assert env.hero is None
    assert env._core is None
    env.close()


def test_close_leaves_an_external_server_as_it_was(make_env, start_server):
    server = start_server()
    client = carla.Client(*server.address)
    client.set_timeout(60.0)
    env = CarlaEnv(make_config(server.address, hero={"sensors": {"imu": {"type": "sensor.other.imu"}}}))
    env.reset()
    env.close()
    env.close()
    world = client.get_world()
    world.wait_for_tick(60.0)
    types = {actor.type_id for actor in actors_of(world)}
    assert not [type_id for type_id in types if type_id.startswith(("vehicle", "sensor"))]
    assert not world.get_settings().synchronous_mode
    assert server.stop() is not None


def test_a_closed_environment_begins_again_with_reset(make_env):
    env = make_env()
    first = env.reset(seed=4)[0]
    env.close()
    assert env.reset(seed=4)[0].tobytes() == first.tobytes()


def test_gymnasium_makes_it_by_name(embedded_server):
    name = "rllib_integration:rllib_integration/Carla-v0"
    env = gymnasium.make(name, config=make_config(embedded_server), max_episode_steps=3)
    episode = drive(env, [1, 1, 1])
    env.close()
    assert [outcome[3] for outcome in episode[1:]] == [False, False, True]


def test_steps_and_episodes_leave_nothing_behind(make_env):
    sensors = {"bird": {"type": "sensor.birdview", "size": 84}, "imu": {"type": "sensor.other.imu"}}
    env = make_env(hero={"sensors": sensors}, others={"step_limit": 20})

    def live_objects(episodes):
        for seed in range(episodes):
            drive(env, [1] * 20, seed)
        gc.collect()
        return len(gc.get_objects())

    live_objects(2)
    before, threads = live_objects(2), threading.active_count()
    assert live_objects(8) - before < 8 * 20  # less than one a step
    assert threading.active_count() == threads
