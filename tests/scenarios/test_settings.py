"""Settings of scenarios are checked before anything starts."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np
import pytest

from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.config.merging import ConfigError
from rllib_integration.scenarios.drawing import draw_place
from rllib_integration.scenarios.places import find_places
from rllib_integration.scenarios.settings import resolve_scenarios
from rllib_integration.scenarios.situations import Situation, Trigger, draw_parameters
from rllib_integration.scenarios.types import SCENARIO_TYPES

PINNED = {"type": "HardBreakRoute", "trigger": "1,2,0,90"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"types": {"HardBrakeRoute": {}}}, "no scenario type 'HardBrakeRoute'. Did you mean HardBreakRoute?"),
        ({"types": ["DynamicObjectCrossing", "Nonsense"]}, "no scenario type 'Nonsense'."),
        ({"types": {"Accident": {"distnace": 3}}}, "types.Accident.distnace is no parameter of Accident"),
        ({"types": {"Accident": {"distance": 3}}}, "distance is 3, but it has to be a number from 20 to 300"),
        ({"types": {"Accident": {"distance": [90, 60]}}}, "distance is [90, 60], but it has to be"),
        ({"types": {"Accident": {"direction": "up"}}}, "direction is 'up', but it has to be left or right"),
        ({"types": {"AccidentTwoWays": {"frequency": 20}}}, "frequency is 20, but it has to be a range [low, high]"),
        ({"types": {"Accident": {"weight": 0}}}, "weight is 0, but it has to be a number above 0"),
        (
            {"levels": [["Accident"], ["Acident"]]},
            "levels[1]: there is no scenario type 'Acident'. Did you mean Accident?",
        ),
        ({"levels": [["Accident"]], "level": 1}, "level is 1, but there are 1 levels, counted from 0"),
        ({"share": 1.5}, "share is 1.5, but it has to be a share from 0 to 1"),
        ({"lead": [5, 60]}, "lead is [5, 60], but it has to be a range [low, high] of metres, 10 or more"),
        (
            {"pinned": [{"type": "Accident"}]},
            "pinned[0] is {'type': 'Accident'}, but it has to be a mapping with a type",
        ),
        ({"pinned": [{**PINNED, "trigger": "1,2,3"}]}, "pinned[0].trigger is '1,2,3', but it has to be 'x,y,z,yaw'"),
        ({"pinned": [{**PINNED, "gap": "wide"}]}, "pinned[0].gap is 'wide', but it has to be a number from 5 to 40"),
        ({"file": "routes.xml", "types": "all"}, "file can't be set together with types"),
        ({"tpyes": {}}, "did you mean env_config.experiment.scenarios.types?"),
    ],
)
def test_what_can_not_be_used_is_told_in_a_sentence(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_experiment_config({"scenarios": given})
    assert expected in str(error.value)


def test_types_are_a_mapping_a_list_or_all() -> None:
    assert resolve_scenarios({"types": "all"})["types"].keys() == SCENARIO_TYPES.keys()
    assert resolve_scenarios({"types": ["Accident"]})["types"] == {"Accident": {}}
    assert resolve_scenarios({"types": {"Accident": {"distance": [30, 60]}}})["types"]["Accident"] == {
        "distance": [30, 60]
    }


def test_parameters_are_drawn_from_their_ranges_and_repeat_with_a_seed() -> None:
    given = {"distance": [10, 20], "direction": ["left", "right"]}
    drawn = [draw_parameters("DynamicObjectCrossing", given, np.random.default_rng(seed), "") for seed in range(40)]
    distances = [values["distance"] for values in drawn]
    assert 10 <= min(distances) < 12
    assert 18 < max(distances) <= 20
    assert {values["direction"] for values in drawn} == {"left", "right"}
    assert {values["blocker_model"] for values in drawn} == {"static.prop.vendingmachine"}
    assert drawn[3] == draw_parameters("DynamicObjectCrossing", given, np.random.default_rng(3), "")


def test_a_situation_is_the_same_after_being_written_and_read() -> None:
    situation = Situation(
        "AccidentTwoWays", Trigger(1.25, -3.0, 0.5, 90.0), {"distance": 33.0, "frequency": (20.0, 80.0)}, "A1"
    )
    again = Situation.read(situation.settings(), "pinned")
    assert again.trigger == situation.trigger
    assert (again.kind, again.name) == ("AccidentTwoWays", "A1")
    assert again.values(np.random.default_rng(0)) == situation.values(np.random.default_rng(0))


@pytest.mark.parametrize("kind", sorted(SCENARIO_TYPES))
def test_every_type_has_places_whose_starts_lie_before_the_trigger(town: carla.Map, kind: str) -> None:
    places = find_places(town, kind)
    assert places
    for place in places[:50]:
        near, far = (
            np.hypot(start[0] - place.trigger.x, start[1] - place.trigger.y)
            for start in (place.starts[0], place.starts[-1])
        )
        assert near == pytest.approx(10.0, abs=1.0)
        assert far >= near
        goal = place.points[-1]
        assert np.hypot(goal[0] - place.trigger.x, goal[1] - place.trigger.y) > 15.0


def test_a_start_lies_as_far_before_the_trigger_as_asked(town: carla.Map) -> None:
    settings = resolve_scenarios({"types": ["HardBreakRoute"], "lead": [40.0, 60.0]})
    for seed in range(10):
        drawn = draw_place(settings, town, np.random.default_rng(seed))
        x, y = (float(part) for part in drawn["hero"]["spawn_points"][0].split(",")[:2])
        trigger = Trigger.read(drawn["scenarios"]["pinned"][0]["trigger"], "trigger")
        assert np.hypot(x - trigger.x, y - trigger.y) < 61.0


def test_a_town_without_a_place_is_told() -> None:
    from minicarla.town.minitown import minitown

    small = carla.Map("Minitown", minitown())
    settings = resolve_scenarios({"types": ["ParkedObstacle"]})
    with pytest.raises(ConfigError, match=r"Minitown has no place for ParkedObstacle\. Choose other types"):
        draw_place(settings, small, np.random.default_rng(0))
