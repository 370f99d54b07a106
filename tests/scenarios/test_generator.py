"""Routes are made for a town by seed: as asked, drivable, readable, and apart from those that are evaluated."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import carla
import numpy as np
import pytest

from rllib_integration.cli import situations
from rllib_integration.cli.evaluate import FIRST_SEED
from rllib_integration.cli.main import main
from rllib_integration.config.merging import ConfigError
from rllib_integration.scenarios.drawing import along_route
from rllib_integration.scenarios.generator import APART, RouteGenerator
from rllib_integration.scenarios.route_file import RouteEntry, read_routes, write_routes
from rllib_integration.suites.definitions import SUITES
from tests.scenarios.conftest import TOWN, wide_town

KINDS = ("DynamicObjectCrossing", "AccidentTwoWays", "HighwayCutIn", "NonSignalizedJunctionLeftTurn")
WEATHERS = ({"cloudiness": 10.0, "sun_altitude_angle": 45.0}, {"cloudiness": 80.0, "sun_altitude_angle": 20.0})


@pytest.fixture
def generator(town: carla.Map) -> RouteGenerator:
    return RouteGenerator(town, 0, WEATHERS)


@pytest.fixture
def town_file(tmp_path: Path) -> str:
    file = tmp_path / f"{TOWN}.xodr"
    file.write_text(wide_town())
    return str(file)


def triggers(routes: list[RouteEntry]) -> set[tuple[float, ...]]:
    return {situation.trigger[:3] for route in routes for situation in route.situations}


def test_what_is_written_is_read_back_and_begins_on_a_lane(
    generator: RouteGenerator, town: carla.Map, tmp_path: Path
) -> None:
    made = generator.routes(KINDS, 20)
    write_routes(tmp_path / "routes.xml", made)
    routes = read_routes(tmp_path / "routes.xml")
    assert [route.situations[0].kind for route in routes] == [*KINDS] * 5
    for written, route in zip(made, routes):
        (situation,) = route.situations
        assert (route.route_id, route.town, route.weathers) == (written.route_id, TOWN, written.weathers)
        assert situation.given == written.situations[0].given
        np.testing.assert_allclose(route.points, written.points, atol=0.006)
        x, y, z, yaw = situation.trigger
        lane = town.get_waypoint(carla.Location(x, y, z), project_to_road=False)
        assert lane is not None, "the trigger lies on a lane"
        assert abs((lane.transform.rotation.yaw - yaw + 180.0) % 360.0 - 180.0) < 10.0
        assert len(along_route(route, town)["scenarios"]["pinned"]) == 1


def test_the_file_has_the_structure_of_the_leaderboards(generator: RouteGenerator, tmp_path: Path) -> None:
    write_routes(tmp_path / "routes.xml", generator.routes(KINDS, 8, first_id=40))
    root = ElementTree.parse(tmp_path / "routes.xml").getroot()
    routes = list(root)
    assert [route.attrib for route in routes] == [{"id": str(number), "town": TOWN} for number in range(40, 48)]
    for route in routes:
        assert [part.tag for part in route] == ["weathers", "waypoints", "scenarios"]
        weathers, waypoints, scenarios = route
        assert all(hasattr(carla.WeatherParameters, name) for name in set(weathers[0].attrib) - {"route_percentage"})
        assert len(waypoints) >= 2
        assert all(position.keys() == ["x", "y", "z"] for position in waypoints)
        (scenario,) = scenarios
        assert scenario.attrib == {"name": f"{scenario.get('type')}_{route.get('id')}", "type": scenario.get("type")}
        assert scenario[0].tag == "trigger_point"
        assert scenario[0].keys() == ["x", "y", "z", "yaw"]
        forms = (["value"], ["from", "to"], ["x", "y", "z"])
        assert all(parameter.keys() in forms for parameter in scenario[1:])
    assert "other_actor_location" in {parameter.tag for parameter in root.iter()}


def test_routes_differ_by_seed_and_those_of_a_type_do_not_depend_on_others(generator: RouteGenerator) -> None:
    first, alone = generator.routes(KINDS, 8), generator.routes(KINDS[:1], 2)
    assert [route.points for route in alone] == [first[0].points, first[4].points]
    assert triggers(replace(generator, seed=1).routes(KINDS, 8)) != triggers(first)
    many = generator.routes(KINDS, 100)
    assert len({(route.points, str(route.situations[0].given)) for route in many}) == 100


def test_places_for_tests_are_in_no_file_for_training(generator: RouteGenerator) -> None:
    held_out = triggers(replace(generator, for_tests=True).routes(KINDS[:1], 60))
    assert held_out.isdisjoint(triggers(generator.routes(KINDS[:1], 60)))


def test_starts_and_triggers_are_apart_from_those_of_evaluations(
    town_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["situations", town_file, "--types", "DynamicObjectCrossing", "--count", "30", "-o"]
    files = [tmp_path / f"{number}.xml" for number in range(4)]
    assert main([*words, str(files[0])]) == main([*words, str(files[1])]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    first = read_routes(files[0])
    starts = [replace(SUITES["nocrash"]()[0], town=TOWN, start=(*route.points[0], 0.0)) for route in first]

    def apart(file: Path, place: Callable[[RouteEntry], Sequence[float]]) -> float:
        pairs = [(place(one), place(other)) for one in read_routes(file) for other in first]
        return min(float(np.hypot(one[0] - other[0], one[1] - other[1])) for one, other in pairs)

    assert main([*words, str(files[2]), "--apart-from", str(files[0])]) == 0
    assert apart(files[2], lambda route: route.points[0]) >= APART - 0.02
    assert apart(files[2], lambda route: route.situations[0].trigger) >= APART - 0.02
    monkeypatch.setitem(situations.SUITES, "own", lambda: starts)
    assert main([*words, str(files[3])]) == 0
    assert apart(files[3], lambda route: route.points[0]) >= APART - 0.02


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Town03", "--types", "HardBrakeRoute"], "--types: there is no scenario type 'HardBrakeRoute'. Did you mean"),
        (["Twon03"], "There is no town 'Twon03'. The nearest are: Town03"),
        (["nowhere.xodr"], "There is no file nowhere.xodr."),
        (["Town03", "--count", "0"], "'0' is not a whole number above 0."),
        (["Town03", "--seed", "-1"], "'-1' is not a whole number, 0 or more."),
        (["Town03", "--apart-from", "nowhere.xml"], "The route file 'nowhere.xml' can't be read"),
    ],
)
def test_bad_input_is_told_before_anything_starts(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    monkeypatch.setattr(situations, "CarlaCore", None)
    try:
        status = main(["situations", *words, "-o", "never.xml"])
    except SystemExit:  # of the parser
        status = 1
    assert status == 1
    assert said in capfd.readouterr().err


def test_a_town_without_places_or_with_too_few_is_told(town: carla.Map, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rllib_integration.scenarios.generator._ROUNDS", 1)
    with pytest.raises(ConfigError, match=r"Widetown has only \d+ different routes for HighwayCutIn, but 10000 were"):
        RouteGenerator(town, 0, WEATHERS).routes(["HighwayCutIn"], 10_000)
    from minicarla.town.minitown import minitown

    small = carla.Map("Minitown", minitown())
    with pytest.raises(ConfigError, match=r"Minitown has no held-out place for ParkedObstacle\. Choose other types"):
        RouteGenerator(small, FIRST_SEED, WEATHERS, for_tests=True).routes(["ParkedObstacle"], 1)
