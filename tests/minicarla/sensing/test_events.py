"""Who hears of a collision, and what."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest

from minicarla.physics.state import CONTACT
from minicarla.sensing import SENSORS
from tests.minicarla.sensing.world import WALL_AT_TEN_METRES, Town, make_mount, make_view


def contact(kind_a, row_a, kind_b, row_b, impulse_on_a):
    row = np.zeros(1, CONTACT)
    row["kind_a"], row["row_a"], row["kind_b"], row["row_b"] = kind_a, row_a, kind_b, row_b
    for axis, value in zip("xyz", impulse_on_a):
        row[f"impulse_{axis}"] = value
    return row


def collisions(contacts, row, kind=0):
    view = make_view(Town([WALL_AT_TEN_METRES]), vehicles=[{}, {}, {}], walkers=[{}])
    view = view._replace(contacts=np.concatenate(contacts) if contacts else np.zeros(0, CONTACT))
    bodies = SENSORS["sensor.other.collision"]({}).capture(view, make_mount(kind=kind, row=row))
    return [msgpack.unpackb(body) for body in bodies]


def test_both_sides_hear_of_a_collision_with_opposite_impulses():
    contacts = [contact(0, 0, 0, 1, (100.0, -20.0, 3.0))]
    ((first, first_other, first_impulse),) = collisions(contacts, 0)
    ((second, second_other, second_impulse),) = collisions(contacts, 1)
    assert (first[0], first_other[0]) == (0, 1)
    assert (second[0], second_other[0]) == (1, 0)
    assert first_impulse == [100.0, -20.0, 3.0]
    assert second_impulse == [-100.0, 20.0, -3.0]


def test_contacts_of_one_pair_are_one_message_a_tick():
    contacts = [contact(0, 0, 0, 1, (100.0, 0.0, 0.0)), contact(0, 1, 0, 0, (30.0, 0.0, 0.0))]
    ((_, _, impulse),) = collisions(contacts, 0)
    assert impulse == pytest.approx([70.0, 0.0, 0.0])


def test_every_other_body_gets_its_own_message():
    contacts = [contact(0, 0, 0, 1, (1.0, 0.0, 0.0)), contact(0, 0, 1, 0, (2.0, 0.0, 0.0))]
    names = [other[2][1] for _, other, _ in collisions(contacts, 0)]
    assert names == ["vehicle.tesla.model3", "walker.pedestrian.0001"]


def test_a_wall_is_named_by_a_stand_in_actor_with_its_tag():
    ((_, other, _),) = collisions([contact(0, 0, 3, 0, (500.0, 0.0, 0.0))], 0)
    assert other[2][1] == "static.wall"
    assert other[4] == bytes([4])


def test_bystanders_and_unattached_sensors_hear_nothing():
    contacts = [contact(0, 0, 0, 1, (1.0, 0.0, 0.0))]
    assert collisions(contacts, 2) == []
    assert collisions(contacts, -1, kind=-1) == []
    assert collisions([], 0) == []
