"""`carla-rllib drive`: let a trained policy drive, and film it."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.annotations import Record, Settings
from rllib_integration.cli.configurations import find_configuration, name_of, policy_path, shipped_policies
from rllib_integration.cli.flags import add_configuration, positive_int, require
from rllib_integration.cli.view import add_record_flag, add_view_flag, replays_of, viewer_of
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.driving.inference import DrivenEpisode, VideoWriter, drive, summary
from rllib_integration.driving.policies import FoundPolicy, find_policy, load_policy
from rllib_integration.failures import INTERRUPTED, report_failure
from rllib_integration.processes.ray_setup import prepare_for_ray, quiet_ray
from rllib_integration.training.options import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv

SUMMARY = "let a trained policy drive, episode after episode; film it with --video"
EXAMPLES = """examples:
  carla-rllib drive drive --episodes 1 --video drive.mp4
  carla-rllib drive quickstart                           what `carla-rllib train quickstart` has learnt
  carla-rllib drive my.yaml ~/ray_results/carla_rllib/my --set env_config.experiment.town=Town03"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_configuration(parser, "env_config.experiment.town=Town03")
    parser.add_argument(
        "policy", nargs="?", metavar="POLICY",
        help="a run's folder (its best checkpoint, else its newest), a checkpoint, its weights.pth, or a shipped "
        "policy's name (default: the configuration's own run, else the policy that is shipped for it)",
    )  # fmt: skip
    parser.add_argument("--episodes", type=positive_int, metavar="N", help="drive N episodes (default: until Ctrl-C)")
    parser.add_argument("--steps", type=positive_int, metavar="N", help="drive N decisions at most")
    parser.add_argument("--seed", type=int, help="seed of the episodes")
    parser.add_argument("--video", metavar="FILE.mp4", help="film the drive")
    parser.add_argument("-d", "--device", help="such as cpu or cuda:0 (default: CUDA where there is one)")
    add_view_flag(parser)
    add_record_flag(parser)


def run(arguments: argparse.Namespace, with_rllib: bool | None = None, experiment: str | None = None) -> int:
    """Drive as the parsed arguments say; print every episode and a summary.

    Args:
        arguments: Of a parser with `add_arguments`.
        with_rllib: Whether the policy is loaded by RLlib; None decides by the checkpoint.
        experiment: The experiment's class, where the configuration names none.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    driven: list[DrivenEpisode] = []
    status = 0
    try:
        require(*(("ray", "torch") if with_rllib else ("torch",)))
        configuration = find_configuration(arguments.configuration)
        document = load_config(configuration, arguments.overrides)
        if experiment is not None:
            document["env_config"]["experiment"].setdefault("type", experiment)
        found = _find_policy(arguments.policy, configuration)
        if document["env_config"].get("agents"):
            return _drive_agents(document, found, arguments)
        with viewer_of(arguments), _environment(document["env_config"], arguments.video) as (env, video):
            policy = load_policy(found.path, arguments.device, with_rllib)
            print(f"Policy: {found}", flush=True)
            bounds = _bounds(arguments, found)
            for episode in drive(env, policy, **bounds, video=video):
                driven.append(episode)
                print(episode, flush=True)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        return report_failure(error)
    if driven:
        print(summary(driven), flush=True)
    return status


def _drive_agents(document: Settings, found: FoundPolicy, arguments: argparse.Namespace) -> int:
    """Let several agents drive with the policies of one checkpoint."""
    require("ray", "torch")
    prepare_for_ray()
    from rllib_integration.driving.agents import AgentsPicture, drive_agents, load_agents
    from rllib_integration.multi_agent.shared_world import SharedWorld
    from rllib_integration.training.agent_policies import policy_mapping

    quiet_ray()
    mapping = policy_mapping(document)
    policies = load_agents(found.path, mapping.policies, arguments.device)
    world = SharedWorld(document["env_config"])
    carla = world.config["carla"]
    rate = max(1.0, 1.0 / (carla["timestep"] * carla["ticks_per_step"]))
    video = VideoWriter(arguments.video, rate) if arguments.video else None
    picture = AgentsPicture(world)
    look = None if video is None else lambda: video.add(picture.draw())
    driven: list[DrivenEpisode] = []
    status = 0
    try:
        with viewer_of(arguments):
            print(f"Policies: {', '.join(policies)} of {found}", flush=True)
            bounds = _bounds(arguments, found)
            for episode in drive_agents(world, policies, mapping, **bounds, look=look):
                driven.append(episode)
                print(episode, flush=True)
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        if video is not None:
            video.close()
        world.close()
    if driven:
        print(summary(driven), flush=True)
    return status


def _bounds(arguments: argparse.Namespace, found: FoundPolicy) -> Record:
    """How many episodes, decisions and recordings were asked for, as keywords of `drive` and `drive_agents`."""
    bounds: Record = {"episodes": arguments.episodes, "steps": arguments.steps, "seed": arguments.seed}
    if arguments.record_episodes:
        bounds |= {"recorded": arguments.record_episodes, "replays": replays_of(found.path)}
    return bounds


def _find_policy(given: str | None, configuration: Path) -> FoundPolicy:
    """The policy that was asked for, or the one that belongs to the configuration."""
    if given is not None:
        return find_policy(policy_path(given))
    name = name_of(configuration)
    if configuration.name == "config.yaml":  # of a run
        return find_policy(configuration.parent)
    own = Path(DEFAULT_DIRECTORY).expanduser() / name
    if any(own.glob("checkpoint_*")):
        return find_policy(own)
    if name in shipped_policies():
        return FoundPolicy(shipped_policies()[name], "shipped with the example")
    raise ConfigError(
        f"There is no policy for {name}: there is no run {own}, and none is shipped. Name a checkpoint or a run's "
        f"folder, or train one with: carla-rllib train {name}"
    )


@contextlib.contextmanager
def _environment(env_config: Settings, film: str | None) -> Iterator[tuple[CarlaEnv, VideoWriter | None]]:
    from rllib_integration.carla_env import CarlaEnv

    if film:
        _add_picture(env_config["experiment"]["hero"]["sensors"])
    env = CarlaEnv(env_config, render_mode="rgb_array" if film else None)
    video = None
    try:
        if film:
            video = VideoWriter(film, env.metadata["render_fps"])
        yield env, video
    finally:
        if video is not None:
            video.close()
        env.close()


def _add_picture(sensors: Record) -> None:
    """Give the hero a coloured bird view for the film, last and so not observed, where it has none to show."""
    for sensor in sensors.values():
        is_picture = sensor.get("type") == "sensor.birdview" and sensor.get("format", "rgb") == "rgb"
        if is_picture or sensor.get("type") == "sensor.camera.rgb":
            return
    sensors["film"] = {"type": "sensor.birdview", "size": 300, "radius": 20, "route": True}
