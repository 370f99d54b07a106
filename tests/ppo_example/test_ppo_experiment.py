"""The race: starts, directions, laps, ends, observations and actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import carla
import numpy as np
import pytest
from gymnasium import spaces

from ppo_example.ppo_actions import ACTION, Actions
from ppo_example.ppo_augmentations import WeatherCycle
from ppo_example.ppo_experiment import edges
from ppo_example.ppo_reference import PurePursuit
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.sensors.base_sensor import CarlaSensor
from tests.known import actors_of, of_kind, present, weather_named
from tests.ppo_example.conftest import progress_of, race_config, race_of

MakeEnv = Callable[..., CarlaEnv]
WIDE = {"continuous_accel_range": [-8.0, 3.0], "continuous_steer_range": [-0.43, 0.43]}
CAMERA = {
    "type": "sensor.camera.rgb",
    "transform": "0.8,0,1.2,0,-10,0",
    "image_size_x": 84,
    "image_size_y": 84,
    "grayscale": True,
}


def drive_by_rule(env: CarlaEnv, seed: int, most: int = 1200) -> dict[str, Any]:
    """Drive an episode by pure pursuit; returns the last info."""
    _, info = env.reset(seed=seed)
    driver = PurePursuit()
    for _ in range(most):
        _, _, terminated, truncated, info = env.step(driver.act(race_of(env), env.core))
        if terminated or truncated:
            break
    return info


@pytest.mark.parametrize("town", ["Racetrack01", "Racetrack02"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_laps_of_both_directions_are_driven_timed_and_end_the_episode(
    make_env: MakeEnv, town: str, direction: str
) -> None:
    info = drive_by_rule(make_env(town=town, direction=direction, action=WIDE), seed=1)
    metrics = info["episode_metrics"]
    assert info["end"] == "laps_done"
    assert metrics["laps"] == 1
    assert info["state"]["progress"] == pytest.approx(100.0, abs=1.0)
    assert metrics["lap_time"] == pytest.approx(metrics["duration"], abs=0.2)
    assert info["state"]["is_reversed"] is (direction == "backward")
    assert info["town"] == town


def test_starts_go_round_the_track_at_random_or_in_turn(make_env: MakeEnv) -> None:
    env = make_env(n_spawn_points=10, direction="both", spawn_off_center=True, start_angle=20.0, start_speed=6.0)
    told = [env.reset(seed=seed)[1]["randomisation"] for seed in range(12)]
    track = progress_of(env).track
    places = {round(start["start"]["distance"] / track.length * 10, 6) for start in told}
    assert places <= set(map(float, range(10)))
    assert len(places) > 4
    assert {start["direction"] for start in told} == {"forward", "backward"}
    assert any(abs(start["start"]["lateral"]) > 0.5 for start in told)
    assert all(abs(start["start"]["lateral"]) <= 0.25 * 7.0 for start in told)
    again = [env.reset(seed=seed)[1]["randomisation"] for seed in range(12)]
    assert again == told
    settings: Any = race_of(env).starts._settings
    settings |= {"spawn_mode": "consequent", "consequent_mode_step": 3}
    in_turn = [round(env.reset()[1]["randomisation"]["start"]["distance"] / track.length * 10) for _ in range(5)]
    assert np.diff(in_turn).tolist() == [3 if step > 0 else -7 for step in np.diff(in_turn)]


def test_the_hero_starts_where_and_as_fast_as_told(make_env: MakeEnv) -> None:
    env = make_env(start_speed=8.0, start_angle=30.0, spawn_off_center=True)
    for seed in range(4):
        _, info = env.reset(seed=seed)
        start, pose = info["randomisation"]["start"], present(progress_of(env).pose)
        assert pose.lateral == pytest.approx(start["lateral"], abs=0.3)
        assert pose.heading_error == pytest.approx(start["angle"], abs=3.0)
        assert env.core.hero.get_velocity().length() == pytest.approx(start["speed"], abs=1.0)


def test_spawn_points_of_the_configuration_are_kept_and_decide_the_direction(make_env: MakeEnv) -> None:
    for yaw, direction in ((0.0, "forward"), (180.0, "backward")):
        place = f"20,0.5,0.5,0,0,{yaw}"
        env = make_env(experiment={"hero": {"spawn_points": [place]}})
        _, info = env.reset(seed=0)
        here = env.core.hero.get_location()
        assert (here.x, here.y) == pytest.approx((20.0, 0.5), abs=0.1)
        assert info["randomisation"]["direction"] == direction
        assert "start" not in info["randomisation"]


def test_leaving_the_track_ends_the_episode_with_minus_one(make_env: MakeEnv) -> None:
    env = make_env()
    env.reset(seed=0)
    for _ in range(200):
        _, reward, terminated, truncated, info = env.step(np.array([2.0, 0.3], np.float32))
        if terminated or truncated:
            break
    assert (terminated, truncated, info["end"]) == (True, False, "off_track")
    assert info["state"]["is_offtrack"] is True
    assert reward == -1.0


def test_a_threshold_ends_it_at_a_distance_from_the_middle(make_env: MakeEnv) -> None:
    env = make_env(out_lane_threshold=1.5)
    env.reset(seed=0)
    for _ in range(200):
        _, _, terminated, _, info = env.step(np.array([2.0, 0.3], np.float32))
        if terminated:
            break
    assert 1.5 < info["state"]["distance_from_center"] < 3.0
    assert info["end"] == "off_track"


def test_standing_still_and_the_time_limit_end_it(make_env: MakeEnv) -> None:
    env = make_env(max_time_stuck=1.0)
    env.reset(seed=0)
    results = [env.step(np.array([-3.0, 0.0], np.float32)) for _ in range(10)]
    assert results[-1][4].get("end") == "stuck" or env.step(np.array([-3.0, 0.0], np.float32))[4]["end"] == "stuck"
    env = make_env(max_time_episode=4)
    env.reset(seed=0)
    results = [env.step(np.array([1.0, 0.0], np.float32)) for _ in range(4)]
    assert [(terminated, truncated) for _, _, terminated, truncated, _ in results] == [(False, False)] * 3 + [
        (False, True)
    ]
    assert results[-1][4]["end"] == "time_limit"


def test_the_lidars_observation_is_its_rays_and_five_numbers(make_env: MakeEnv) -> None:
    env = make_env(spawn_off_center=True, start_angle=30.0, start_speed=6.0)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        assert observation.shape == env.observation_space.shape == (2 * (1 + 2 * 7) + 5,)
        rays = env._sensor_data["lidar"][1]
        pose = present(progress_of(env).pose)
        assert (observation[:-5] == rays).all()
        assert observation[-5] == pytest.approx(pose.lateral / 3.5, abs=1e-4)
        assert observation[-4] == pytest.approx(pose.heading_error / 90.0, abs=1e-4)
        assert observation[-3] == pytest.approx(env.core.hero.get_velocity().length() / 20.0, abs=1e-4)
    observation, *_ = env.step(np.array([0.0, -0.15], np.float32))
    assert observation[-1] == pytest.approx(0.5)  # to the right


def test_the_cameras_observation_is_a_stack_of_grey_pictures_and_a_plane_for_the_speed(make_env: MakeEnv) -> None:
    env = make_env(sensors={"camera": CAMERA}, framestack=3, carla={"ticks_per_step": 4}, start_speed=8.0)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (84, 84, 4)
    assert observation.dtype == np.uint8
    assert (observation[..., 0] == observation[..., 2]).all()
    shown = [observation[..., 2]]
    for _ in range(4):
        observation, *_ = env.step(np.array([2.0, 0.05], np.float32))
        assert env._sensor_data["camera"][0] == env.core.frame
        shown.append(observation[..., 2])
        for place, picture in enumerate(shown[-3:][::-1]):
            assert (observation[..., 2 - place] == picture).all()
        speed = env.core.hero.get_velocity().length()
        assert observation[0, 0, 3] == pytest.approx(255 * speed / 20.0, abs=3)
    assert (shown[0] != shown[-1]).any()


def test_a_cameras_edges_are_alike_by_day_and_by_night(make_env: MakeEnv) -> None:
    env = make_env(sensors={"camera": CAMERA}, framestack=1, picture="edges")
    observation, _ = env.reset(seed=0)
    grey = env._sensor_data["camera"][1]
    shown = observation[..., :1]
    assert (shown == edges(grey)).all()
    dark = edges((grey // 4).astype(np.uint8))
    assert np.corrcoef(shown.ravel(), dark.ravel())[0, 1] > 0.9
    assert not edges(np.full_like(grey, 90)).any()


def test_acceleration_and_steering_become_pedals_and_wheel() -> None:
    actions = Actions({**ACTION, **WIDE})
    control = actions.control(np.array([1.5, 0.2], np.float32), 0.0)
    assert (control.throttle, control.brake, control.steer) == pytest.approx((0.5, 0.0, -0.2))
    control = actions.control(np.array([-4.0, -0.9], np.float32), 0.0)
    assert (control.throttle, control.brake, control.steer) == pytest.approx((0.0, 0.5, 0.43))


def test_numbered_actions_are_the_pairs_of_the_lists() -> None:
    actions = Actions({**ACTION, "discrete": True, "discrete_acc": [-3.0, 3.0], "discrete_steer": [-0.2, 0.0, 0.2]})
    assert actions.space == spaces.Discrete(6)
    assert [actions.control(number, 0.0).steer for number in range(3)] == pytest.approx([0.2, 0.0, -0.2])
    assert actions.control(0, 0.0).brake == pytest.approx(0.375)
    assert actions.control(5, 0.0).throttle == 1.0


def test_the_steering_limit_lets_a_demand_be_reached_step_by_step() -> None:
    actions = Actions({**ACTION, "max_steer_change": 0.1})
    steer, seen = 0.0, []
    for _ in range(5):
        steer = actions.control(np.array([0.0, 0.3], np.float32), steer).steer
        seen.append(steer)
    assert seen == pytest.approx([-0.1, -0.2, -0.3, -0.3, -0.3])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"town": "Minitown"}, r"Minitown is not one closed course: the road forks"),
        ({"town": "Minitown", "track": {"through": ["100,-100,0", "9999,0,0"]}}, r"\(9999, 0\) is \d+ m from"),
        ({"track": {"through": ["0,0", "1,1,1"]}}, r"track\.through has '0,0', but it has to be 'x,y,z'"),
    ],
)
def test_a_town_without_the_track_is_refused_with_a_sentence(make_env: MakeEnv, settings: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_env(**settings).reset(seed=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sensors": {}}, "no sensor of type sensor.virtual_lidar or sensor.camera.rgb"),
        ({"direction": "left"}, "it has to be forward, backward or both"),
        ({"action": {"continuous_steer_range": [0.3, -0.3]}}, r"\[least, most\], from -1 to 1"),
        ({"augmentations": {"timestep_range": [0.05]}}, "two numbers of seconds"),
        ({"augmentations": {"throttle_noise": 0.1}}, "did you mean .*throttle_noise_std"),
        ({"laps": -1}, "a whole number, 0 or more"),
        ({"picture": "edge"}, "it has to be 'plain' or 'edges'"),
    ],
)
def test_settings_that_can_not_be_used_are_refused_before_anything_starts(settings: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        CarlaEnv(race_config(**settings))


# Domain randomisation


def test_nothing_is_randomised_by_default(make_env: MakeEnv) -> None:
    _, info = make_env().reset(seed=3)
    assert set(info["randomisation"]) == {"start", "direction"}


def test_noise_is_drawn_from_the_episodes_seed_and_leaves_unpressed_pedals_alone(make_env: MakeEnv) -> None:
    noise = {"throttle_noise_std": 0.2, "brake_noise_std": 0.1, "steering_noise_std": 0.05}
    env = make_env(augmentations=noise)

    def drive(seed: int) -> list[tuple[float, float, float]]:
        _, info = env.reset(seed=seed)
        assert info["randomisation"] | noise == info["randomisation"]
        controls = []
        for _ in range(20):
            env.step(np.array([1.5, 0.1], np.float32))
            control = env.core.hero.get_control()
            controls.append((control.throttle, control.brake, control.steer))
        return controls

    first, other, again = drive(1), drive(2), drive(1)
    assert first == again != other
    throttle, brake, steer = np.array(first).T
    assert (brake == 0.0).all()
    assert 0.05 < np.std(throttle) < 0.4
    assert 0.02 < np.std(steer) < 0.1
    assert np.mean(steer) == pytest.approx(-0.1, abs=0.05)


def test_time_steps_differ_between_episodes_and_seconds_say_so(make_env: MakeEnv) -> None:
    env = make_env(augmentations={"randomize_fps": True, "timestep_range": [0.02, 0.06]})
    seen = set()
    for seed in range(4):
        _, info = env.reset(seed=seed)
        timestep = info["randomisation"]["timestep"]
        assert 0.02 <= timestep <= 0.06
        _, _, _, _, info = env.step(np.array([1.0, 0.0], np.float32))
        assert info["state"]["seconds"] == pytest.approx(2 * timestep, rel=1e-3)
        assert env.core.world.get_snapshot().timestamp.delta_seconds == pytest.approx(timestep, rel=1e-3)
        seen.add(timestep)
    assert len(seen) == 4


def test_slippery_areas_lie_on_the_track_are_told_and_go_with_the_episode(make_env: MakeEnv) -> None:
    env = make_env(augmentations={"low_friction_enable": True, "low_friction_n": 5, "low_friction_areas_size": 6.0})
    for seed in range(2):
        _, info = env.reset(seed=seed)
        areas = info["randomisation"]["low_friction_areas"]
        triggers = actors_of(env.core.world, "static.trigger.friction")
        assert len(areas) == len(triggers) == 5
        track = progress_of(env).track
        for x, y in areas:
            assert abs(track.locate(x, y, 0.0, 0.0).lateral) <= 3.5
        assert {(round(t.get_location().x), round(t.get_location().y)) for t in triggers} == {
            (round(x), round(y)) for x, y in areas
        }


def test_a_slippery_track_lengthens_braking(make_env: MakeEnv) -> None:
    def braking_distance(**augmentations: Any) -> float:
        env = make_env(
            n_spawn_points=1,
            start_speed=30.0,
            action={"continuous_accel_range": [-8.0, 3.0]},
            max_time_stuck=60.0,
            augmentations=augmentations,
        )
        env.reset(seed=4)
        hero = env.core.hero
        hero.set_target_velocity(carla.Vector3D(14.0, 0.0, 0.0))
        begin = hero.get_location()
        for _ in range(40):
            _, _, terminated, _, _ = env.step(np.array([-8.0, 0.0], np.float32))
            if terminated or hero.get_velocity().length() < 0.1:
                break
        distance: float = hero.get_location().distance(begin)
        env.close()
        return distance

    dry = braking_distance()
    wet = braking_distance(
        low_friction_enable=True, low_friction_n=40, low_friction_areas_size=60.0, low_friction_multiplier=0.1
    )
    assert wet > 1.3 * dry


def test_the_weather_goes_on_and_is_as_configured_after_a_reset(make_env: MakeEnv) -> None:
    changing = {"weather_change_enable": True, "weather_update_freq": 0.5, "weather_speed_factor": 60.0}
    env = make_env(augmentations=changing)
    _, info = env.reset(seed=0)
    first = env.core.world.get_weather()
    assert first.sun_azimuth_angle == pytest.approx(info["randomisation"]["weather"]["sun_azimuth_angle"], abs=0.01)
    for _ in range(10):
        env.step(np.array([0.5, 0.0], np.float32))
    assert env.core.world.get_weather().sun_azimuth_angle != pytest.approx(first.sun_azimuth_angle, abs=0.1)
    race_of(env).others["augmentations"]["weather_change_enable"] = False
    env.reset(seed=1)
    assert env.core.world.get_weather() == weather_named("ClearNoon")


def test_the_weathers_cycle_stays_within_carlas_bounds() -> None:
    cycle = WeatherCycle(weather_named("ClearNoon"), np.random.default_rng(0), 1.0, 10.0)
    seen = []
    for _ in range(3000):
        if cycle.pass_time(1.0):
            seen.append(cycle.told())
    bounds = {"cloudiness": 90, "precipitation": 80, "precipitation_deposits": 85, "wetness": 100, "fog_density": 30}
    for name, high in bounds.items():
        values = [told[name] for told in seen]
        assert (min(values), max(values)) == pytest.approx((0.0, high), abs=0.5)
    altitudes = [told["sun_altitude_angle"] for told in seen]
    assert (min(altitudes), max(altitudes)) == pytest.approx((-90.0, 50.0), abs=0.5)
    assert math.isfinite(cycle.parameters().fog_distance)


def test_the_cameras_pose_and_field_of_view_differ_and_are_told(make_env: MakeEnv) -> None:
    spread = {"camera_position_std": 0.05, "camera_rotation_std": 2.0, "camera_fov_std": 5.0}
    env = make_env(sensors={"camera": CAMERA}, augmentations=spread)
    told = []
    for seed in (0, 1, 0):
        _, info = env.reset(seed=seed)
        drawn = info["randomisation"]["camera_camera"]
        sensor = present(of_kind(CarlaSensor, env.core.sensor_interface.sensors["camera"]).sensor)
        assert float(sensor.attributes["fov"]) == pytest.approx(drawn["fov"], abs=0.01)
        told.append((drawn["transform"], drawn["fov"]))
    assert told[0] == told[2] != told[1]
    assert env.config["experiment"]["hero"]["sensors"]["camera"]["transform"] == CAMERA["transform"]
