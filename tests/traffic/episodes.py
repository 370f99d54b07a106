"""Episodes with traffic: begun by a seed, and the poses of all traffic from tick to tick."""

from __future__ import annotations

import numpy as np

from rllib_integration.base_experiment import resolve_experiment_config


def begin(core, episode_seed, town="Minitown", **activity):
    config = resolve_experiment_config({"town": town, "background_activity": activity})
    core.setup_experiment(config, episode_seed)
    core.reset_hero(config["hero"])
    core.tick(None)


def poses(core):
    """x, y, z, yaw of all traffic, in the order of spawning."""
    snapshot = core.world.get_snapshot()
    transforms = [snapshot.find(actor).get_transform() for actor in core.actors]
    return np.array([(t.location.x, t.location.y, t.location.z, t.rotation.yaw) for t in transforms])


def drive(core, ticks):
    track = [poses(core)]
    for _ in range(ticks):
        core.tick(None)
        track.append(poses(core))
    return np.array(track)
