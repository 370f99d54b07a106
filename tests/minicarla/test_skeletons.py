"""The bones that clients ask for are where cameras draw the walker's limbs."""

from __future__ import annotations

import numpy as np
import pytest

from minicarla.sensing.models import JOINTS, model, posed_walker, walk_pose
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import spawn


@pytest.fixture(scope="module")
def walker():
    simulation = Simulation()
    simulation.load("Minitown")
    actor = spawn(
        simulation, simulation.library.find("walker.pedestrian.0001"), {}, ((5.0, 5.0, 50.0), (0.0, 30.0, 0.0))
    )
    return simulation.episode, actor


def feet_ahead(episode, actor):
    """How far the right foot is ahead of the left one [m], by its bones and by its picture."""
    bones = {name: own[0] for name, _, own, _ in episode.skeletons.walker_bones(actor)}
    row = episode.row(actor)
    size = (float(row["extent_x"]), float(row["extent_y"]), float(row["extent_z"]))
    points = model(actor.type_id, size, 1, walk_pose(row)).vertices
    feet = points[points[:, 2] < points[:, 2].min() + 0.1]
    drawn = [feet[np.sign(feet[:, 1]) == side, 0].mean() for side in (1, -1)]
    return bones["crl_foot__R"][0] - bones["crl_foot__L"][0], drawn[0] - drawn[1]


def test_a_pose_that_a_client_gave_is_drawn(walker):
    episode, actor = walker
    row, skeletons = episode.row(actor), episode.skeletons
    row["vx"] = row["vy"] = 0.0
    size = (float(row["extent_x"]), float(row["extent_y"]), float(row["extent_z"]))
    skeletons.pose_walker(actor, {"crl_arm__R": ((0.0, 0.15, 0.0), (0.0, 0.0, -90.0))})
    assert skeletons.posture(actor) is None
    skeletons.blend(actor, 1.0)
    hand = skeletons.posture(actor)[JOINTS.index("crl_hand__R")]
    points = posed_walker(actor.type_id, size, skeletons.posture(actor)).vertices
    assert np.linalg.norm(points - hand, axis=1).min() < 0.1
    assert points[:, 1].max() > 0.6 > -points[:, 1].min()
    skeletons.blend(actor, 0.0)
    assert skeletons.posture(actor) is None


def test_a_walkers_bones_swing_as_it_is_drawn(walker):
    episode, actor = walker
    row = episode.row(actor)
    row["vx"], row["vy"] = 0.0, 0.0
    assert feet_ahead(episode, actor) == pytest.approx((0.0, 0.0), abs=1e-6)
    row["vx"], row["vy"] = 1.4 * np.cos(row["yaw"]), 1.4 * np.sin(row["yaw"])
    found = []
    for _ in range(8):
        row["x"] += 0.175 * np.cos(row["yaw"])
        row["y"] += 0.175 * np.sin(row["yaw"])
        found.append(feet_ahead(episode, actor))
    bones, drawn = np.array(found).T
    assert bones.max() > 0.5
    assert bones.min() < -0.5
    assert bones == pytest.approx(drawn, abs=0.15)
