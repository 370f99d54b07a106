"""Cars that differ between episodes, and starts at a speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import carla
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.dynamics import DYNAMICS_RANDOMISATION, Dynamics
from tests.experiments import PoseExperiment

MakeEnv = Callable[..., CarlaEnv]


@pytest.fixture
def make_env(embedded_server: tuple[str, int]) -> Iterator[MakeEnv]:
    environments = []

    def make(**ranges: Any) -> CarlaEnv:
        host, port = embedded_server
        connection = {"server": {"kind": "external", "port": port}, "host": host}
        experiment = {"type": PoseExperiment, "town": "Minitown", "dynamics_randomisation": ranges}
        environments.append(CarlaEnv({"carla": connection, "experiment": experiment}))
        return environments[-1]

    yield make
    for env in environments:
        env.close()


def drawn(seed: int = 0, seconds: float = 0.2, **ranges: Any) -> Dynamics:
    return Dynamics({**DYNAMICS_RANDOMISATION, **ranges}, seed, seconds)


def test_nothing_differs_unless_it_is_asked_for() -> None:
    dynamics, control = drawn(), carla.VehicleControl(throttle=0.5, steer=-0.3)
    assert dynamics.told == {}
    assert dynamics.act(control) is control


def test_values_come_from_the_seed_and_from_their_ranges_alone() -> None:
    one = drawn(3, mass=[0.8, 1.2], brake=[0.5, 0.7])
    assert one.told == drawn(3, mass=[0.8, 1.2], brake=[0.5, 0.7]).told != drawn(4, mass=[0.8, 1.2]).told
    assert one.told["mass"] == drawn(3, mass=[0.8, 1.2], control_delay=[1, 5]).told["mass"]
    assert 0.8 <= one.told["mass"] <= 1.2
    assert 0.5 <= one.told["brake"] <= 0.7
    assert {drawn(seed, control_delay=[1, 3]).told["control_delay"] for seed in range(40)} == {1, 2, 3}


def test_controls_come_late_and_the_steering_follows_slowly() -> None:
    late = drawn(control_delay=[2, 2])
    given = [late.act(carla.VehicleControl(throttle=0.1 * step)).throttle for step in range(1, 6)]
    assert given == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.3])
    slow = drawn(steering_lag=[0.2, 0.2])
    steered = [slow.act(carla.VehicleControl(steer=1.0, reverse=True)) for _ in range(3)]
    assert [control.steer for control in steered] == pytest.approx([0.632, 0.865, 0.950], abs=1e-3)
    assert steered[0].reverse


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"mass": [1.2, 0.8]}, r"dynamics_randomisation\.mass .* shares from 0\.1 to 10"),
        ({"brake": [0.0, 1.0]}, "shares from 0.1 to 10"),
        ({"drag": [1.0, float("nan")]}, "shares from 0.1 to 10"),
        ({"control_delay": [0.5, 1.0]}, "whole numbers of decisions"),
        ({"steering_lag": [0.1]}, "seconds from 0 to 2"),
        ({"weight": [1.0, 2.0]}, "weight"),
    ],
)
def test_ranges_of_no_use_are_refused_before_a_server_starts(ranges: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        CarlaEnv({"experiment": {"type": PoseExperiment, "dynamics_randomisation": ranges}})


def test_an_episodes_car_is_another_one_and_told(make_env: MakeEnv) -> None:
    env = make_env(mass=[1.4, 1.5], tyre_friction=[0.5, 0.6], engine=[0.7, 0.8], brake=[0.6, 0.7], drag=[1.5, 2.0])
    plain = make_env()
    _, info = plain.reset(seed=1)
    before = plain.core.hero.get_physics_control()
    assert "dynamics" not in info
    plain.close()
    _, info = env.reset(seed=1)
    told, after = info["dynamics"], env.core.hero.get_physics_control()
    assert after.mass == pytest.approx(before.mass * told["mass"], rel=1e-4)
    assert after.torque_curve[1].y == pytest.approx(before.torque_curve[1].y * told["engine"], rel=1e-4)
    assert after.wheels[2].tire_friction == pytest.approx(before.wheels[2].tire_friction * told["tyre_friction"])
    assert after.wheels[0].max_brake_torque == pytest.approx(before.wheels[0].max_brake_torque * told["brake"])
    assert after.drag_coefficient == pytest.approx(before.drag_coefficient * told["drag"], rel=1e-4)


@pytest.mark.parametrize("speed", [4.0, 8.0, 15.0])
def test_a_start_at_a_speed_is_in_gear(make_env: MakeEnv, speed: float) -> None:
    env = make_env()
    env.reset(seed=2)
    core = env.core
    pose = core.hero.get_transform()
    core.start_hero(pose, speed)
    core.tick(None)
    begun, moved = core.hero.get_velocity().length(), core.hero.get_location().distance(pose.location)
    core.tick(carla.VehicleControl(throttle=0.45), 10)
    held = core.hero.get_velocity().length()
    core.tick(carla.VehicleControl(), 20)
    assert begun == pytest.approx(speed, abs=0.5)
    assert moved < 1.5
    assert held == pytest.approx(speed, abs=1.0)
    assert core.hero.get_velocity().length() < held - 1.5
    core.start_hero(pose, 0.0)
    core.tick(None, 20)
    assert core.hero.get_velocity().length() < 0.2
