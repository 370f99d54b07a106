"""When the world ticks by itself, and by how much; time is what the test says it is."""

from __future__ import annotations

import pytest

from minicarla.world import clock as clock_module
from minicarla.world.clock import Clock
from minicarla.world.settings import EpisodeSettings, SettingsError
from tests.minicarla.physics.scene import Scene, sedan

VARIABLE = EpisodeSettings()
FIXED = EpisodeSettings(fixed_delta_seconds=0.02)


def ticks(clock: Clock, settings: EpisodeSettings, start: float, stop: float, look: float) -> list[tuple[float, float]]:
    """When a server that looks every `look` seconds ticks, and by how much."""
    found, now = [], start
    while now < stop:
        delta = clock.due(now, settings)
        if delta is not None:
            found.append((now, delta))
        now += look
    return found


def test_a_variable_step_follows_the_wall_clock_at_the_frame_rate():
    found = ticks(Clock(frame_rate=20.0), VARIABLE, 100.0, 110.0, 0.001)
    assert len(found) == pytest.approx(200, abs=2)
    assert sum(delta for _, delta in found) == pytest.approx(10.0, abs=0.1)


def test_a_variable_step_after_a_pause_is_cut():
    clock = Clock(frame_rate=20.0)
    clock.due(100.0, VARIABLE)
    assert clock.due(103.0, VARIABLE) == pytest.approx(0.1)
    assert clock.due(103.01, VARIABLE) is None
    assert clock.due(103.06, VARIABLE) == pytest.approx(0.06)


def test_a_fixed_step_passes_one_step_a_period_whatever_the_frame_rate():
    found = ticks(Clock(frame_rate=5.0), FIXED, 100.0, 101.0, 0.0005)
    assert {delta for _, delta in found} == {0.02}
    assert len(found) == pytest.approx(50, abs=1)


def test_a_tick_that_came_late_does_not_shift_the_following_ones():
    clock = Clock()
    moments = [moment for moment, _ in ticks(clock, FIXED, 100.0, 100.5, 0.003)]
    assert moments[-1] == pytest.approx(100.0 + 0.02 * (len(moments) - 1), abs=0.0035)


def test_a_world_as_fast_as_possible_ticks_whenever_it_is_asked():
    for settings, step in ((VARIABLE, 0.05), (FIXED, 0.02)):
        found = ticks(Clock(frame_rate=20.0, as_fast_as_possible=True), settings, 100.0, 100.1, 0.001)
        assert len(found) >= 100
        assert {delta for _, delta in found} == {step}


def test_a_synchronous_world_with_a_variable_step_advances_by_the_time_between_ticks(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(clock_module.time, "monotonic", lambda: now[0])
    settings, clock = EpisodeSettings(synchronous_mode=True), Clock(frame_rate=25.0)
    assert clock.synchronous_delta(settings) == pytest.approx(0.04)
    for pause, expected in ((0.03, 0.03), (5.0, 0.1), (0.0, 0.001)):
        now[0] += pause
        assert clock.synchronous_delta(settings) == pytest.approx(expected)


def test_substeps_change_a_landing_a_little_and_where_it_ends_not_at_all():
    def land(substep: float, most: int) -> tuple[list[float], float]:
        scene = Scene(sedan())
        scene.vehicles["z"] = 1.0
        heights = []
        for _ in range(40):
            scene.tick(dt=0.1, substep=substep, max_substeps=most)
            heights.append(float(scene.vehicles["z"][0]))
        return heights, float(scene.vehicles["x"][0])

    fine, coarse, cut = land(0.002, 50), land(0.02, 10), land(0.002, 5)
    assert fine[0] != coarse[0]
    assert cut == coarse, "no more substeps than allowed"
    assert max(abs(a - b) for a, b in zip(fine[0], coarse[0])) < 0.2
    assert fine[0][-1] == pytest.approx(coarse[0][-1], abs=0.01)


def test_a_hurried_tick_comes_early_and_shifts_the_following_ones():
    clock, settings = Clock(), EpisodeSettings(fixed_delta_seconds=0.1)
    assert clock.due(5.0, settings) == 0.1
    clock.hurry()
    assert clock.due(5.005, settings) is None
    assert clock.due(5.012, settings) == 0.1
    assert clock.due(5.1, settings) is None
    assert clock.due(5.12, settings) == 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"fixed_delta_seconds": -0.1},
        {"fixed_delta_seconds": 10.1},
        {"fixed_delta_seconds": float("nan")},
        {"max_substep_delta_time": 0.0},
        {"max_substep_delta_time": 1.1},
        {"max_substeps": 0},
        {"max_substeps": 1001},
    ],
)
def test_steps_that_the_physics_could_not_follow_are_refused_by_name(changes: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(changes))):
        EpisodeSettings(**changes)  # type: ignore[arg-type]


def test_substeps_do_not_matter_without_substepping() -> None:
    assert EpisodeSettings(substepping=False, max_substeps=0, max_substep_delta_time=0.0).max_substeps == 0
