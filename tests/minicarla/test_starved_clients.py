"""Clients that are starved of processor time neither abort nor hang (see `tests.minicarla.starve` for more of it)."""

from __future__ import annotations

import pytest

from tests.minicarla.starve import starve

_BUSY = 2
"""Processes beside the client, on its core."""


@pytest.mark.parametrize(
    ("defect", "times"),
    [
        ("asynchronous_traffic", 1),
        ("ended_vehicles", 16),
        ("subscribing", 2),
        ("synchronous_traffic", 2),
        ("world_loading", 2),
    ],
)
def test_a_starved_client_goes_on(defect: str, times: int, embedded_server: tuple[str, int]) -> None:
    outcome = starve(defect, embedded_server, times, _BUSY)
    assert outcome.failures == 0, outcome.said
    assert outcome.rounds == times
