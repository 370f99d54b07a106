"""`carla-rllib benchmark` drives, goes on where it was interrupted, and shows what was driven."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import carla
import pytest

from rllib_integration.cli import benchmark
from rllib_integration.failures import exit_status_of
from rllib_integration.roads.routes import RoutePlanner
from rllib_integration.suites.agents import Agent
from rllib_integration.suites.runner import judged_config
from rllib_integration.telemetry.replay import read_about
from tests.known import present


@pytest.fixture
def routes(world: carla.World, tmp_path: Path) -> Path:
    """A file of two routes in the built-in town, in the form of CARLA's Leaderboard."""
    carla_map = world.get_map()
    planner = RoutePlanner.for_map(carla_map)
    points = carla_map.get_spawn_points()
    found = []
    for start in points:
        for goal in points:
            if start is not goal and start.location.distance(goal.location) > 40.0:
                route = planner.route_to(start, goal.location)
                if route.length < 120.0:
                    found.append((start, goal))
                    break
        if len(found) == 2:
            break
    elements = "".join(
        f"<route id='{number}' town='Minitown'>"
        + "".join(
            f"<waypoint x='{pose.location.x}' y='{pose.location.y}' z='{pose.location.z}' yaw='{pose.rotation.yaw}'/>"
            for pose in pair
        )
        + "</route>"
        for number, pair in enumerate(found)
    )
    file = tmp_path / "short.xml"
    file.write_text(f"<routes>{elements}</routes>")
    return file


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    arguments = parser.parse_args(list(words))
    return exit_status_of(lambda: benchmark._benchmark(arguments))


def test_a_rule_drives_the_routes_and_the_same_command_goes_on(
    routes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "result"
    words = [str(routes), "rule", "--workers", "1", "--output", str(folder), "--record-episodes", "1"]
    words += ["--set", "env_config.carla.server=embedded"]
    assert run(*words) == 0
    records = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert [record["end"] for record in records] == ["goal", "goal"]
    (recorded,) = (tmp_path / "data").rglob("*.replay")
    assert present(read_about(recorded))["end"] == "goal"
    (summary,) = json.loads((folder / "results.json").read_text())["summaries"]
    assert summary["success"] == 100.0
    assert summary["route_completion"] > 95.0
    evidence = json.loads((folder / "evidence.json").read_text())
    assert len(evidence["policy_sha256"]) == len(evidence["suite_sha256"]) == 64
    assert evidence["starts"][0]["versions"]["carla"]
    # An interrupted one has lost its last line, and has half of another.
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    (folder / "episodes.jsonl").write_text(lines[0] + "\n" + lines[1][:40] + "\n")
    capsys.readouterr()
    assert run(*words) == 0
    assert "1 are known already" in capsys.readouterr().out
    assert len(json.loads((folder / "evidence.json").read_text())["starts"]) == 2
    routes.write_text(routes.read_text().replace("id='1'", "id='7'"))
    assert run(*words) == 1
    assert "another suite (its hash differs)" in capsys.readouterr().err


SCENARIO = """<scenarios><scenario name="Brake" type="HardBreakRoute">
<trigger_point x="172.98" y="1.38" z="0" yaw="351.5"/><gap value="14"/></scenario></scenarios>"""


def test_a_files_scenarios_take_place_and_its_results_have_the_leaderboards_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ((118.0, 1.75), (172.98, 1.38), (190.77, -7.1), (200.8, -24.06), (201.75, -80.99))
    points = "".join(f"<position x='{x}' y='{y}' z='0'/>" for x, y in places)
    weather = "<weathers><weather route_percentage='0' sun_altitude_angle='20'/></weathers>"
    file, folder = tmp_path / "brake.xml", tmp_path / "result"
    route = f"<route id='1773' town='Minitown'>{weather}<waypoints>{points}</waypoints>{SCENARIO}</route>"
    file.write_text(f"<routes>{route}</routes>")
    words = [str(file), "rule", "--workers", "1", "--output", str(folder), "--set", "env_config.carla.server=embedded"]
    assert run(*words) == 0
    (driven,) = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    (outcome,) = driven["scenarios"]
    assert (driven["end"], outcome["type"], outcome["result"]) == ("goal", "HardBreakRoute", "passed")
    (summary,) = json.loads((folder / "results.json").read_text())["scenarios"]
    assert (summary["type"], summary["number"], summary["passed"]) == ("HardBreakRoute", 1, 100.0)
    assert "HardBreakRoute" in capsys.readouterr().out
    checkpoint = json.loads((folder / "simulation_results.json").read_text())["_checkpoint"]
    (record,) = checkpoint["records"]
    assert (record["index"], record["route_id"], record["town_name"]) == (0, "RouteScenario_1773_rep0", "Minitown")
    assert record["scores"]["score_route"] == 100.0
    assert checkpoint["progress"] == [1, 1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nocrash", "rule", "--tasks", "full"), "--tasks full: nocrash has empty, regular, dense."),
        (("nocrash", "~/no_such_run"), "no_such_run': give rule, random"),
        (("nocrash", "rule", "--weathers", "Snow"), "--weathers Snow"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 1
    assert message in capsys.readouterr().err


def test_a_suites_traffic_and_scenarios_are_not_those_of_the_policys_training() -> None:
    trained = {"n_vehicles": 30, "traffic": "server", "ignore_lights_percentage": 50.0}
    task = {
        "type": "dqn_example.drive_route:DriveInTraffic",
        "background_activity": trained,
        "scenarios": {"types": "all"},
    }
    judged = judged_config({"experiment": task}, Agent("mine", Path("mine")))["experiment"]
    assert judged.keys() == {"type", "others", "route"}
    assert task["background_activity"] is trained
