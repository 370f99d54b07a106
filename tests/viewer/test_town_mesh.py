"""Towns as browsers get them."""

from __future__ import annotations

import zlib

import numpy as np

from rllib_integration.roads.lanes import town_lanes
from rllib_integration.telemetry.messages import Kind, unpack
from rllib_integration.telemetry.town_mesh import SURFACES, is_key, load_town, read_town


def strips_of(arrays, unit):
    kinds, counts, starts, steps = arrays[:4]
    at, strips = 0, []
    for kind, count, start in zip(kinds, counts, starts):
        points = np.vstack([start, start + np.cumsum(steps[at : at + count - 1].astype(np.int64), axis=0)])
        strips.append((int(kind), points * unit))
        at += count - 1
    assert at == len(steps)
    return strips


def test_every_driving_lane_is_drawn_where_it_is(world, tmp_path):
    carla_map = world.get_map()
    town = read_town(world, carla_map, tmp_path)
    message = unpack(zlib.decompress(town.body))
    assert (message.kind, message.head["town"]) == (Kind.TOWN, "Minitown")
    strips = strips_of(message.arrays, message.head["unit"])
    middles = [
        (points[:, :3] + points[:, 3:]) / 2
        for kind, points in strips
        if kind == SURFACES["driving"] and len(points) > 1
    ]
    starts = np.array([line[0] for line in middles])
    lanes = town_lanes(carla_map, tmp_path)
    runs = [lanes.driving[a:b] for a, b in zip(lanes.starts[:-1], lanes.starts[1:]) if b - a > 1]
    assert len(runs) == len(middles)
    for run in runs:
        place = np.array([run["x"][0], run["y"][0], run["z"][0]])
        assert np.abs(starts - place).max(axis=1).min() < 0.05
    # Between the points that are left, the lane is where it was.
    for run, line in zip(runs, middles):
        for sample in run[:: max(1, len(run) // 5)]:
            point = np.array([sample["x"], sample["y"]])
            assert distance_to(line[:, :2], point) < 0.12


def distance_to(line, point):
    a, b = line[:-1], line[1:]
    along = b - a
    share = np.clip(((point - a) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-9), 0, 1)
    return np.hypot(*(a + share[:, None] * along - point).T).min()


def test_a_town_is_kept_under_its_key_and_nothing_else_is_found(world, tmp_path):
    town = read_town(world, world.get_map(), tmp_path)
    assert is_key(town.key)
    assert load_town(town.key, tmp_path) == town.body
    assert read_town(world, world.get_map(), tmp_path) == town
    for other in ("0" * 32, "../" + town.key, "", town.key.upper()):
        assert load_town(other, tmp_path) is None
