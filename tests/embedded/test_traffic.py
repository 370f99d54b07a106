"""How the client's Traffic Manager drives here."""

from __future__ import annotations

import carla

from benchmarks.traffic import Measurement


def test_the_traffic_manager_keeps_to_lights_and_limits_and_hits_nothing(embedded_server: tuple[str, int]) -> None:
    client = carla.Client(*embedded_server)
    client.set_timeout(60.0)
    measurement = Measurement(client, "Minitown", 15, 1, "vehicle.*")
    traffic = measurement.run(90.0)
    measurement.close()
    assert traffic.cars == 15
    assert traffic.events == []
    assert not traffic.lost
    assert traffic.speed > 10.0
    assert traffic.speeding < 0.01
