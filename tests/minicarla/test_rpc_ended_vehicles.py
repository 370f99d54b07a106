"""A client may end the vehicles that its Traffic Manager drives at any moment, also when it is starved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minicarla.protocol.values import PackValue
from minicarla.rpc.quirks.ended_vehicles import END_CALL, EndedVehicles
from tests.minicarla.quirk_rig import Rig, client_at
from tests.ports import free_port


def _vehicle(number: object) -> list[PackValue] | None:
    return [7, 0, "a vehicle"] if number == 7 else None


def test_only_vehicles_of_clients_with_a_traffic_manager_wait(rig: Rig) -> None:
    rig.quirk = EndedVehicles(_vehicle, lambda: None)
    client = client_at()
    assert not rig.ask(client, END_CALL, 7)
    rig.managers.add(free_port(), client)
    assert not rig.ask(client, END_CALL, 8)
    assert not rig.ask(client, END_CALL)
    assert not rig.ask(client, "get_actors_by_id", [7])


def test_a_vehicle_may_still_be_driven_if_the_port_does_not_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = SimpleNamespace(ended=False, answered=False)
    monkeypatch.setattr("minicarla.rpc.quirks.ended_vehicles.PortCalls", lambda *_: ended)
    rig.quirk = EndedVehicles(_vehicle, lambda: None)
    client = client_at()
    rig.managers.add(1, client)
    assert rig.ask(client, END_CALL, 7)
    assert rig.go_on(0.5) == []
    ended.ended = True
    assert rig.go_on() == [END_CALL]
    assert client.drives_what_ends
    ended.answered = True
    rig.ask(client, END_CALL, 7)
    rig.go_on()
    assert not client.drives_what_ends
