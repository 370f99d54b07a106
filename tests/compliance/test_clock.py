"""Frames, seconds and settings."""

from __future__ import annotations

import queue
import threading

import carla
import pytest

from tests.compliance.conftest import STEP
from tests.known import weather_named
from tests.patience import PATIENCE


def test_versions_agree(client):
    assert client.get_server_version() == client.get_client_version()


def test_a_tick_is_one_frame_and_one_step(fresh_world):
    before = fresh_world.get_snapshot()
    frame = fresh_world.tick()
    after = fresh_world.get_snapshot()
    assert frame == after.frame == before.frame + 1
    assert after.timestamp.delta_seconds == pytest.approx(STEP)
    assert after.timestamp.elapsed_seconds == pytest.approx(before.timestamp.elapsed_seconds + STEP)


def test_a_synchronous_world_waits(fresh_world):
    frame = fresh_world.tick()
    with pytest.raises(RuntimeError, match="time-out"):
        fresh_world.wait_for_tick(0.3)
    assert fresh_world.get_snapshot().frame == frame


def test_every_tick_is_told_to_listeners_in_order(fresh_world):
    frames = []
    complete = threading.Event()
    before = fresh_world.get_snapshot().frame

    def note(snapshot):
        if snapshot.frame > before:  # whose listeners may be called after its tick has returned
            frames.append(snapshot.frame)
        if len(frames) == 10:
            complete.set()

    callback = fresh_world.on_tick(note)
    ticked = [fresh_world.tick() for _ in range(10)]
    # Listeners are called on a thread of the client: the last call may come after tick() returned.
    assert complete.wait(PATIENCE)
    fresh_world.remove_on_tick(callback)
    assert frames == ticked


def test_a_second_client_sees_the_same_frames(fresh_world, server_address):
    other = carla.Client(server_address[0], server_address[1], worker_threads=1)
    other.set_timeout(PATIENCE)
    theirs = other.get_world()
    frames: queue.Queue[int] = queue.Queue()
    callback = theirs.on_tick(lambda snapshot: frames.put(snapshot.frame))
    while frames.empty():  # its connection may still be opening
        fresh_world.tick()
    ours = [fresh_world.tick() for _ in range(3)]
    seen = [frames.get(timeout=PATIENCE)]
    while seen[-1] < ours[-1]:
        seen.append(frames.get(timeout=PATIENCE))
    theirs.remove_on_tick(callback)
    assert seen[-3:] == ours


def test_settings_come_back_as_they_were_set(fresh_world):
    original = fresh_world.get_settings()
    changed = fresh_world.get_settings()
    changed.max_substeps, changed.max_substep_delta_time, changed.no_rendering_mode = 8, 0.02, True
    fresh_world.apply_settings(changed)
    assert fresh_world.get_settings() == changed
    fresh_world.apply_settings(original)
    assert fresh_world.get_settings() == original


def test_an_asynchronous_world_ticks_by_itself(fresh_world):
    original = fresh_world.get_settings()
    settings = fresh_world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    fresh_world.apply_settings(settings)
    first = fresh_world.wait_for_tick(PATIENCE)
    second = fresh_world.wait_for_tick(PATIENCE)
    settings.fixed_delta_seconds = 0.02
    fresh_world.apply_settings(settings)
    steps = (fresh_world.wait_for_tick(PATIENCE).timestamp.delta_seconds for _ in range(1000))
    fixed = any(step == pytest.approx(0.02) for step in steps)  # after frames that were under way
    following = [next(steps) for _ in range(3)]
    fresh_world.apply_settings(original)
    assert second.frame > first.frame
    assert second.timestamp.elapsed_seconds > first.timestamp.elapsed_seconds
    assert fixed
    assert following == pytest.approx([0.02] * 3)


def test_the_weather_comes_back_as_it_was_set(fresh_world):
    for weather in (weather_named("HardRainNight"), weather_named("ClearNoon")):
        fresh_world.set_weather(weather)
        fresh_world.tick()
        assert fresh_world.get_weather() == weather
