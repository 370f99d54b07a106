"""Fixtures of the embedded server's own tests."""

from __future__ import annotations

import pytest

from minicarla.rpc import deferrals, traffic_cycles
from minicarla.rpc.quirks import asynchronous_traffic, batch_ticks, synchronous_traffic, world_loading
from tests.minicarla.quirk_rig import Rig


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    own = Rig()
    for module in (deferrals, traffic_cycles, asynchronous_traffic, batch_ticks, synchronous_traffic, world_loading):
        monkeypatch.setattr(module, "time", own)
    return own
