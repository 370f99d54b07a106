"""What a lap test says of the laps driven."""

from __future__ import annotations

from typing import Any

import pytest

from ppo_example.ppo_lap_test import drive_reference, lap_table, summarise_laps
from rllib_integration.cli.flags import with_hyphens
from tests.ppo_example.conftest import race_config


def lap(direction: str, end: str, seconds: float, policy: str = "mine") -> dict[str, Any]:
    metrics = {"lap_time": seconds, "steering_rate": 0.1, "steering_sign_changes": 1.0, "offset_95": 0.5}
    return {"policy": policy, "town": "Racetrack02", "direction": direction, "end": end, "metrics": metrics}


def test_the_share_of_clean_laps_and_their_time_are_told_beside_the_driver_by_rule() -> None:
    laps = [lap("forward", "laps_done", 30.0), lap("forward", "off_track", 0.0), lap("backward", "laps_done", 32.0)]
    by_rule = [lap("forward", "laps_done", 40.0), lap("forward", "stuck", 1.0)]
    backward, forward = summarise_laps(laps, by_rule)
    assert (forward["clean"], forward["lap_time"], forward["reference_time"]) == (0.5, 30.0, 40.0)
    assert forward["ends"] == {"laps_done": 1, "off_track": 1}
    assert (backward["clean"], backward["reference_time"]) == (1.0, None)
    table = lap_table([backward, forward])
    assert " 0.75 " in table
    assert "mine on Racetrack02: 2 of 3 laps clean, 66.7 %" in table


def test_the_driver_by_rule_drives_the_laps_it_is_compared_with() -> None:
    config = race_config(carla={"ticks_per_step": 2}, laps=3, start_speed=5.0)
    laps = list(drive_reference(config, ["Racetrack02"], [1]))
    assert [(lap["direction"], lap["end"]) for lap in laps] == [("forward", "laps_done"), ("backward", "laps_done")]
    assert [lap["metrics"]["laps"] for lap in laps] == [1, 1]


@pytest.mark.parametrize("written", ["--stop_duration=9m", "--stop-duration=9m"])
def test_flags_may_be_written_with_underscores(written: str) -> None:
    assert with_hyphens(["my_config.yaml", written, "--set", "a_b.c_d=1"]) == [
        *("my_config.yaml", "--stop-duration=9m", "--set", "a_b.c_d=1")
    ]
