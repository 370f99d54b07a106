"""The one class that a user writes: what the hero can do, what it perceives and what it is rewarded for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rllib_integration.annotations import Action, Observation, Record, Rewards, Settings
from rllib_integration.config.merging import ConfigError, Rule, merge, overlay
from rllib_integration.dynamics import DYNAMICS_RANDOMISATION, RULES
from rllib_integration.scenarios.settings import SCENARIOS_CONFIG, resolve_scenarios
from rllib_integration.traffic import manners
from rllib_integration.traffic.manners import TRAFFIC_MANNERS

if TYPE_CHECKING:
    import carla
    import gymnasium

    from rllib_integration.carla_core import CarlaCore

BASE_EXPERIMENT_CONFIG: Record = {
    "hero": {
        "blueprint": "vehicle.lincoln.mkz_2017",  # an id, a pattern such as vehicle.tesla.*, or a list of them
        "sensors": {},  # name -> {type: <blueprint id>, transform: "x,y,z,roll,pitch,yaw", <attribute>: value...}
        "spawn_points": [],  # "x,y,z" or "x,y,z,roll,pitch,yaw"; none = the town's own; or {town: [...]}
    },
    "background_activity": {
        "n_vehicles": 0,  # on autopilot
        "n_walkers": 0,  # on the sidewalks
        "tm_hybrid_mode": True,  # cars far from the hero move without physics
        "traffic": "manager",  # who moves it: CARLA's Traffic Manager, or the embedded "server", which costs less
        "seed": None,  # the same traffic in every episode; None = drawn from the episode's seed
        "pedestrians_cross_factor": 0.1,  # share of the walkers that may cross roads anywhere, from 0 to 1
        **TRAFFIC_MANNERS,  # how vehicles drive
    },
    "town": "Town05_Opt",  # a name, a list of names, or "random": drawn for each episode
    "weather": "ClearNoon",  # a preset of carla.WeatherParameters, a list of them, "random", or {parameter: value}
    "route": None,  # {length: metres, or [least, most]} for a random one; {goal: "x,y,z"} or {via: ["x,y,z", ...]}
    "dynamics_randomisation": DYNAMICS_RANDOMISATION,  # how much episodes' cars differ
    "scenarios": SCENARIOS_CONFIG,  # situations on the hero's way
    "others": {},  # the experiment's own
}


_LONGEST_ROUTE = 1_000_000  # [m] takes about a second and 200 MB


def _is_route(value: Settings | None) -> bool:
    if value is None or set(value) == {"goal"}:
        return True
    if set(value) in ({"via"}, {"via", "goal"}):
        return isinstance(value["via"], (list, tuple)) and len(value["via"]) > 0
    if list(value) != ["length"]:
        return False
    length = value["length"]
    if isinstance(length, (list, tuple)):
        return len(length) == 2 and all(map(_is_length, length)) and length[0] <= length[1]
    return _is_length(length)


def _is_length(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _LONGEST_ROUTE


_EXPERIMENT_RULES = {
    "hero.blueprint": Rule(str, list, expected="a blueprint id, or a list of them"),
    "hero.spawn_points": Rule(
        list,
        dict,
        str,
        accepts=lambda value: not isinstance(value, str) or value == "random",
        expected="a list of 'x,y,z' or 'x,y,z,roll,pitch,yaw', a mapping from town to such a list, or 'random'",
    ),
    "background_activity.n_vehicles": Rule(
        int, accepts=lambda number: number >= 0, expected="a whole number, 0 or more"
    ),
    "background_activity.n_walkers": Rule(
        int, accepts=lambda number: number >= 0, expected="a whole number, 0 or more"
    ),
    "background_activity.traffic": Rule(
        str, accepts=lambda driver: driver in ("manager", "server"), expected="'manager' or 'server'"
    ),
    "background_activity.seed": Rule(
        int, type(None), accepts=lambda seed: seed is None or seed >= 0, expected="a whole number, 0 or more, or null"
    ),
    "background_activity.pedestrians_cross_factor": Rule(
        float, accepts=lambda share: 0.0 <= share <= 1.0, expected="a share from 0 to 1"
    ),
    **{f"background_activity.{name}": rule for name, rule in manners.RULES.items()},
    "town": Rule(str, list, accepts=bool, expected="a town's name, a list of names, or 'random'"),
    "weather": Rule(
        str, list, dict, accepts=bool, expected="a preset's name, a list of names, 'random', or {parameter: value}"
    ),
    **{f"dynamics_randomisation.{name}": rule for name, rule in RULES.items()},
    "route": Rule(
        dict,
        type(None),
        accepts=_is_route,
        expected="{length: metres or [least, most]}, up to 1000000, {goal: 'x,y,z'}, {via: ['x,y,z', ...]} or null",
    ),
}


def resolve_experiment_config(config: Settings | None) -> Record:
    """Lay an experiment's settings over `BASE_EXPERIMENT_CONFIG`.

    A key `type` (the experiment's class) is kept as it is.

    Raises:
        ConfigError: A key is unknown or a value is of the wrong type.
    """
    settings = dict(config or {})
    kind = {"type": settings.pop("type")} if "type" in settings else {}
    resolved = merge(
        BASE_EXPERIMENT_CONFIG,
        settings,
        "env_config.experiment",
        rules=_EXPERIMENT_RULES,
        free=("hero.sensors", "scenarios", "others"),
    )
    resolved["scenarios"] = resolve_scenarios(resolved["scenarios"])
    for name, attributes in resolved["hero"]["sensors"].items():
        if not isinstance(attributes, Mapping) or not isinstance(attributes.get("type"), str):
            raise ConfigError(
                f"env_config.experiment.hero.sensors.{name} is {attributes!r}, but it has to be a mapping with a type, "
                "such as {type: sensor.camera.rgb, transform: '1,0,2,0,0,0'}."
            )
    return {**kind, **resolved}


def override_experiment_config(config: Settings, options: Settings) -> Record:
    """Lay the settings of a single episode over an experiment's, which stay as they are.

    Raises:
        ConfigError: A key is unknown or a value is of the wrong type.
    """
    resolve_experiment_config(options)
    return overlay(config, options)


class BaseExperiment:
    """A task in CARLA: derive from it and override everything but `reset`, which is optional.

    Args:
        config: The `experiment` section of the environment's configuration, any part of it.

    Attributes:
        config: That section over `BASE_EXPERIMENT_CONFIG`, complete.

    Raises:
        ConfigError: The configuration has an unknown key or a value of the wrong type.
    """

    def __init__(self, config: Settings | None = None) -> None:
        self.config = resolve_experiment_config(config)

    def find_sensor(self, *types: str) -> str:
        """The name of the hero's first sensor of one of these types, such as `sensor.birdview`.

        Raises:
            ConfigError: The hero has no such sensor.
        """
        for name, sensor in self.config["hero"]["sensors"].items():
            if sensor["type"] in types:
                return str(name)
        raise ConfigError(
            f"env_config.experiment.hero.sensors has no sensor of type {' or '.join(types)}, which "
            f"{type(self).__name__} observes."
        )

    def reset(self) -> None:
        """Forget the last episode. Called when the hero stands at its start, before the first observation."""

    def prepare_world(self, core: CarlaCore, config: Record) -> None:
        """Change the world before the hero comes, or this episode's settings of hero and route.

        Called when town, weather and traffic are there. What is spawned with `core.spawn`, the weather and the time
        step last until the next episode; draw from `core.rng`, which `reset(seed=)` seeds.

        Args:
            core: The world.
            config: The experiment's settings for this episode, to be changed in place, such as
                `config["hero"]["sensors"]["front"]["fov"]`.
        """

    def place_hero(self, core: CarlaCore) -> None:
        """Move the hero from its spawn point, if the task starts elsewhere. Called before the first tick with
        sensors; draw from `core.rng`, which `reset(seed=)` seeds."""

    def get_action_space(self) -> gymnasium.Space:
        """The space of `action` in `compute_action`."""
        raise NotImplementedError(f"{type(self).__name__} has to override get_action_space().")

    def get_observation_space(self) -> gymnasium.Space:
        """The space of the observations that `get_observation` returns."""
        raise NotImplementedError(f"{type(self).__name__} has to override get_observation_space().")

    def get_actions(self) -> object:
        """The actions that `compute_action` chooses from, for spaces that number them."""
        raise NotImplementedError(f"{type(self).__name__} has to override get_actions().")

    def compute_action(self, action: Action) -> carla.VehicleControl:
        """What the hero does for an action of the action space."""
        raise NotImplementedError(f"{type(self).__name__} has to override compute_action(action).")

    def get_observation(self, sensor_data: Record) -> tuple[Observation, Record]:
        """Turn sensor data into an observation.

        Args:
            sensor_data: Sensor name -> (frame, parsed data). An event sensor is present only when it fired.

        Returns:
            The observation, inside the observation space, and a dictionary of further information.
        """
        raise NotImplementedError(f"{type(self).__name__} has to override get_observation(sensor_data).")

    def get_done_status(self, observation: Observation, core: CarlaCore) -> bool:
        """Whether the episode has ended for good: the hero has crashed, fallen or arrived."""
        raise NotImplementedError(f"{type(self).__name__} has to override get_done_status(observation, core).")

    def get_truncated_status(self, observation: Observation, core: CarlaCore) -> bool:
        """Whether the episode is cut off although it could go on, as at a time limit. Called after
        `get_done_status`; learning still values the state reached."""
        return False

    def compute_reward(self, observation: Observation, core: CarlaCore) -> float | dict[str, float]:
        """The step's reward: a number, or named parts whose sum is the reward.

        Parts are also given in the step's `info["reward_parts"]`.
        """
        raise NotImplementedError(f"{type(self).__name__} has to override compute_reward(observation, core).")

    def goal_reward(self, achieved: Observation, desired: Observation) -> Rewards:
        """The reward of tasks with goals, of reaching one place while another was wanted; optional.

        Overriding it makes the environment one of goals, whose observations are a dictionary of `observation`,
        `achieved_goal` and `desired_goal`: hindsight replay then learns from what was reached instead.

        Args:
            achieved: Goals reached, float32 `(..., n)`.
            desired: Goals wanted, of the same shape.

        Returns:
            Rewards, float32 `(...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no goals: override goal_reward(achieved, desired).")
