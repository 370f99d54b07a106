"""Clients that are starved of processor time neither abort nor hang (see `tests.minicarla.starve` for more of it)."""

from __future__ import annotations

import pytest

from tests.minicarla.starve import starve

_BUSY = 3
"""Processes beside the client, on its core."""


@pytest.mark.parametrize(
    ("defect", "times"),
    [
        ("asynchronous_traffic", 2),
        ("ended_vehicles", 16),
        ("second_listens", 2),
        ("subscribing", 4),
        ("synchronous_traffic", 3),
        ("world_loading", 3),
    ],
)
def test_a_starved_client_goes_on(defect: str, times: int, start_server) -> None:
    server = start_server()
    outcome = starve(defect, server, times, _BUSY)
    assert outcome.failures == 0, outcome.said
    assert outcome.rounds == times
