"""Route files of the Leaderboard are read and written, and their mistakes are told by line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import carla
import numpy as np
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.scenarios.drawing import along_route
from rllib_integration.scenarios.errors import ScenarioFileError
from rllib_integration.scenarios.generator import RouteGenerator
from rllib_integration.scenarios.places import find_places
from rllib_integration.scenarios.route_file import RouteEntry, Weather, read_routes, write_routes
from rllib_integration.scenarios.situations import Situation, Trigger
from tests.scenarios.conftest import TOWN
from tests.scenarios.drivers import Driver, drive

ROUTES = """<?xml version="1.0"?>
<routes>
  <route id="24" town="Town12">
    <weathers>
      <weather route_percentage="100" cloudiness="90" sun_altitude_angle="15"/>
      <weather route_percentage="0" cloudiness="5"/>
    </weathers>
    <waypoints>
      <position x="1.0" y="2.0" z="3.0"/>
      <position x="11.0" y="2.0" z="3.0"/>
    </waypoints>
    <scenarios>
      <scenario name="Crossing_1" type="DynamicObjectCrossing">
        <trigger_point x="4.0" y="2.0" z="3.0" yaw="0.5"/>
        <distance value="20"/>
        <direction value="left"/>
        <something_new value="1"/>
      </scenario>
      <scenario name="Parked_1" type="ParkedObstacleTwoWays">
        <trigger_point x="5.0" y="2.0" z="3.0" yaw="0"/>
        <frequency from="20" to="90"/>
      </scenario>
      <scenario name="Exit_1" type="SomeFutureType">
        <trigger_point x="1.0" y="2.0" z="3.0" yaw="0"/>
      </scenario>
    </scenarios>
  </route>
</routes>
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "routes.xml"
    file.write_text(text)
    return file


def test_a_route_with_weathers_and_scenarios_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (route,) = read_routes(written(tmp_path, ROUTES))
    assert (route.route_id, route.town, route.points) == ("24", "Town12", ((1.0, 2.0, 3.0), (11.0, 2.0, 3.0)))
    assert [weather.percentage for weather in route.weathers] == [0.0, 100.0]
    assert route.weathers[0].parameters == {"cloudiness": 5.0, "sun_altitude_angle": 70.0}
    crossing, parked = route.situations
    assert crossing == Situation(
        "DynamicObjectCrossing", Trigger(4.0, 2.0, 3.0, 0.5), {"distance": 20.0, "direction": "left"}, "Crossing_1"
    )
    assert parked.given == {"frequency": (20.0, 90.0)}
    assert "without scenarios of unknown types: SomeFutureType (1)" in caplog.text


def test_routes_of_the_first_leaderboard_are_read(tmp_path: Path) -> None:
    points = '<waypoint x="1" y="2" z="0" yaw="0"/><waypoint x="9" y="2" z="0" yaw="0"/>'
    text = f'<routes><route id="3" map="Town05">{points}</route></routes>'
    (route,) = read_routes(written(tmp_path, text))
    assert (route.town, len(route.points), route.situations) == ("Town05", 2, ())
    assert route.weathers == (Weather(0.0, {"sun_altitude_angle": 70.0, "cloudiness": 50.0}),)


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        (
            'y="2.0" z="3.0"/>\n      <position x="11.0"',
            'y="two" z="3.0"/>\n      <position x="11.0"',
            "line 9: y of <position> is 'two', but it has to be a number",
        ),
        (
            '<trigger_point x="4.0" y="2.0" z="3.0" yaw="0.5"/>',
            '<trigger_point x="4.0" y="2.0" z="3.0"/>',
            "line 14: yaw of <trigger_point> is missing",
        ),
        (
            '<distance value="20"/>',
            '<distance value="2000"/>',
            'line 15: <distance value="2000"/> of DynamicObjectCrossing can\'t be used; it has to be a number',
        ),
        (
            '<frequency from="20" to="90"/>',
            '<frequency from="20"/>',
            'line 21: <frequency from="20"/> of ParkedObstacleTwoWays',
        ),
        (' type="DynamicObjectCrossing"', "", "line 13: a <scenario> needs the attribute 'type'"),
        (' town="Town12"', "", "line 3: a <route> needs the attribute 'town'"),
        ('      <position x="11.0" y="2.0" z="3.0"/>\n', "", "line 8: route 24 needs two positions or more"),
        ("</waypoints>", "</waypoint>", "line 11: this is no valid XML: mismatched tag"),
        ("<routes>", "<paths>", "line 2"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, wrong: str, right: str, expected: str) -> None:
    assert wrong in ROUTES
    file = written(
        tmp_path, ROUTES.replace(wrong, right).replace("</routes>", "</paths>" if "paths" in right else "</routes>")
    )
    with pytest.raises(ScenarioFileError) as error:
        read_routes(file)
    assert expected in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_and_two_routes_of_one_id_are_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioFileError, match="can't be read: No such file"):
        read_routes(tmp_path / "none.xml")
    route = ROUTES[ROUTES.index("  <route ") : ROUTES.index("</routes>")]
    with pytest.raises(ScenarioFileError, match="line 3: there are two routes with the id '24'"):
        read_routes(written(tmp_path, ROUTES.replace("</routes>", f"{route}</routes>")))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    routes = read_routes(written(tmp_path, ROUTES))
    write_routes(tmp_path / "again.xml", routes)
    assert read_routes(tmp_path / "again.xml") == routes


@pytest.fixture(scope="module")
def routes(town: carla.Map, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two routes of the town, each with one scenario, the first of them also with one beside it."""
    found = []
    for number, kind in enumerate(("DynamicObjectCrossing", "HardBreakRoute")):
        place = find_places(town, kind)[5 * number]
        situations = [Situation(kind, place.trigger, {}, f"{kind}_1")]
        if number == 0:
            situations.append(Situation(kind, place.trigger._replace(yaw=place.trigger.yaw + 90.0), {}, "Beside_1"))
        points = (place.starts[-1][:3], *place.points)
        weather = Weather(0.0, {"cloudiness": 20.0, "sun_altitude_angle": 45.0})
        found.append(RouteEntry(str(number), TOWN, points, (weather,), tuple(situations)))
    file = tmp_path_factory.mktemp("routes") / "routes.xml"
    write_routes(file, found)
    return file


def test_an_episode_drives_a_route_of_a_file(
    make_env: Callable[..., CarlaEnv], routes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env = make_env(scenarios={"file": str(routes)})
    with caplog.at_level(logging.WARNING):
        info = drive(env, lambda env, situation: Driver(), scenarios={"routes": ["0"]})
    assert [(outcome["name"], outcome["result"]) for outcome in info["scenarios"]] == [
        ("DynamicObjectCrossing_1", "passed")
    ]
    assert info["episode_metrics"]["route_completion"] == pytest.approx(100.0, abs=0.5)
    assert "Route 0: Beside_1 is not on it, so it is left out." in caplog.text
    assert env.core.world.get_weather().cloudiness == pytest.approx(20.0)
    seen = {env.reset(seed=seed)[1]["situation"]["scenarios"]["pinned"][0]["name"] for seed in range(8)}
    assert seen == {"DynamicObjectCrossing_1", "HardBreakRoute_1"}
    with pytest.raises(ConfigError, match=r"has no route .7.\. There are: 0, 1"):
        env.reset(options={"scenarios": {"routes": ["7"]}})


def test_an_episode_drives_a_generated_route(
    make_env: Callable[..., CarlaEnv], town: carla.Map, tmp_path: Path
) -> None:
    kinds = ("DynamicObjectCrossing", "HardBreakRoute")
    generated = RouteGenerator(town, 3, [{"cloudiness": 20.0, "sun_altitude_angle": 45.0}]).routes(kinds, 2)
    write_routes(tmp_path / "generated.xml", generated)
    env = make_env(scenarios={"file": str(tmp_path / "generated.xml")})
    for number, kind in enumerate(kinds):
        info = drive(env, lambda env, situation: Driver(), scenarios={"routes": [str(number)]})
        assert [(outcome["type"], outcome["result"]) for outcome in info["scenarios"]] == [(kind, "passed")]


def test_the_hero_starts_on_the_route_and_heads_along_it(town: carla.Map, routes: Path) -> None:
    for route in read_routes(routes):
        settings = along_route(route, town)
        x, y, z, _, _, yaw = (float(part) for part in settings["hero"]["spawn_points"][0].split(","))
        assert np.hypot(x - route.points[0][0], y - route.points[0][1]) < 0.5
        assert z == pytest.approx(route.points[0][2] + 0.5, abs=0.1)
        ahead = np.degrees(np.arctan2(route.points[1][1] - y, route.points[1][0] - x))
        assert abs((yaw - ahead + 180.0) % 360.0 - 180.0) < 45.0
