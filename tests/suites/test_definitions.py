"""The suites are what their papers describe, and their results are counted right."""

from __future__ import annotations

from pathlib import Path

import carla
import pytest

from rllib_integration.config.merging import ConfigError
from rllib_integration.suites.definitions import (
    CORL2017,
    LONG,
    NOCRASH,
    SUITES,
    TRAINING_WEATHERS,
    find_suite,
    hash_of,
    weathers,
)
from rllib_integration.suites.results import scenario_summary, scenario_table, summarise, table


def test_corl2017_has_four_tasks_in_two_towns_and_six_weathers() -> None:
    scenarios = find_suite("corl2017")
    assert len(scenarios) == 4 * 25 * 2 * 6
    assert {one.town for one in scenarios if one.split.startswith("new town")} == {"Town02"}
    assert {one.weather for one in scenarios if one.split == "train"} == set(TRAINING_WEATHERS)
    dynamic = {(one.town, one.vehicles, one.walkers) for one in scenarios if one.task == "navigation dynamic"}
    assert dynamic == {("Town01", 20, 50), ("Town02", 15, 50)}
    assert {(one.vehicles, one.walkers) for one in scenarios if one.task != "navigation dynamic"} == {(0, 0)}


def test_nocrash_has_three_densities_of_traffic() -> None:
    scenarios = find_suite("nocrash")
    assert len(scenarios) == 3 * 25 * 2 * 6
    dense = {(one.town, one.vehicles, one.walkers) for one in scenarios if one.task == "dense"}
    assert dense == {("Town01", 100, 250), ("Town02", 70, 150)}
    assert {one.rules for one in scenarios} == {NOCRASH}


def test_long_routes_are_six_in_each_of_six_towns() -> None:
    scenarios = find_suite("long")
    assert [one.town for one in scenarios] == [f"Town0{town}" for town in range(1, 7) for _ in range(6)]
    assert min(len(one.points) for one in scenarios) > 30


def test_every_episode_has_a_name_of_its_own_and_a_weather_that_exists() -> None:
    for name in SUITES:
        scenarios = find_suite(name)
        assert len({one.key(0) for one in scenarios}) == len(scenarios)
        assert {one.weather for one in scenarios} <= set(weathers())


def test_times_are_those_of_the_papers() -> None:
    assert CORL2017.seconds(100.0) == pytest.approx(46.0)
    assert NOCRASH.seconds(100.0) == pytest.approx(92.0)
    assert LONG.seconds(1e6) == float("inf")


def test_weathers_are_given_by_values_that_carla_takes() -> None:
    for name, values in weathers().items():
        weather = carla.WeatherParameters(**values)
        assert weather.sun_altitude_angle == pytest.approx(getattr(carla.WeatherParameters, name).sun_altitude_angle)


def test_the_hash_of_a_suite_tells_the_smallest_change() -> None:
    scenarios = find_suite("long")
    assert hash_of(scenarios) == hash_of(find_suite("long"))
    assert hash_of(scenarios) != hash_of(scenarios[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<routes><route id='1' town='Town01'><waypoint x='1' y='2' z='0'/></route></routes>", "two positions or more"),
        ("<routes><route id='1'><waypoint x='1' y='2' z='0'/><waypoint x='3' y='2' z='0'/></route></routes>", "town"),
        ("<routes>\n<route id='1' town='Town01'>\n</routes>", "line 3: this is no valid XML"),
    ],
)
def test_a_file_that_holds_no_routes_is_told(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.xml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_suite(str(file))


def test_a_mistyped_suite_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nocrash"):
        find_suite("nocrsh")


def record(seed: int, success: bool, **metrics: float) -> dict:
    facts = {"suite": "nocrash", "task": "dense", "split": "train", "seed": seed}
    figures = {"distance": 500.0, "driving_score": 80.0, "route_completion": 90.0, **metrics}
    return {**facts, "success": success, "end": "goal" if success else "collision", "metrics": figures}


def test_scenarios_are_summed_up_by_type_without_those_that_had_no_room() -> None:
    results = {"HardBreakRoute": ["passed", "failed", "skipped", "passed"], "Accident": ["timeout"]}
    outcomes = [{"type": kind, "result": result} for kind, found in results.items() for result in found]
    accident, brake = scenario_summary([{"scenarios": outcomes}, {"key": "a suite without scenarios"}])
    assert [accident[name] for name in ("type", "number", "passed", "timeout")] == ["Accident", 1, 0.0, 100.0]
    assert (brake["number"], brake["passed"], brake["failed"]) == (3, pytest.approx(200 / 3), pytest.approx(100 / 3))
    assert scenario_table([accident, brake]).splitlines()[-1].split()[:5] == ["mean", "of", "the", "types", "4"]
    assert scenario_table([]) == ""


def test_success_is_averaged_over_seeds_and_infractions_over_kilometres() -> None:
    records = [record(0, True), record(0, True), record(1, True), record(1, False, collisions_vehicle=1)]
    (summary,) = summarise(records)
    assert summary["success"] == pytest.approx(75.0)
    assert summary["success_sd"] == pytest.approx(35.36, abs=0.01)
    assert summary["infractions_per_km"]["collisions_vehicle"] == pytest.approx(0.5)
    assert summary["ends"] == {"collision": 0.25, "goal": 0.75}
    text = table([summary], "mine")
    assert "75.0 ± 35.4" in text
    assert "published: CILRS" in text.splitlines()[-1]
