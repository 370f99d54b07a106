"""What a run's folder holds, in the page: curves of several runs, driving tests, evaluations; finished and live."""

from __future__ import annotations

import json

import pytest

from rllib_integration.telemetry.announcement import LIVE_FOLDER, Announcement, write_announcement
from rllib_integration.viewer.driving_maps import driving_tests, last_places

EPISODES = [
    {"policy": "good", "town": "Minitown", "end": "distance_limit", "position": [40, 0], "track": [[0, 0], [40, 0]]},
    {"policy": "good", "town": "Minitown", "end": "collision", "position": [0, 30], "track": [[0, 0], [0, 30]]},
]
SUMMARY = {"policy": "good", "town": "Minitown", "episodes": 2, "median": 35.0, "mean": 35.0, "worst_tenth": 30.0}
TEST = {
    "policies": {"good": "there"},
    "best": "good",
    "summaries": [{**SUMMARY, "off_lane": 0.25, "speed": 20.0, "ends": {"distance_limit": 0.5, "collision": 0.5}}],
    "episodes": EPISODES,
}


@pytest.fixture
def make_run(tmp_path):
    """Makes a run's folder as a training leaves it."""

    def make(name, returns):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text("algorithm: DQN\n")
        steps = "num_env_steps_sampled_lifetime"
        rows = [{steps: 100 * n, "env_runners/episode_return_mean": value} for n, value in enumerate(returns)]
        (folder / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


def test_several_runs_are_compared_and_a_run_tells_what_it_holds(make_run, start_viewer, open_page):
    first, second = make_run("first", [1.0, 2.0]), make_run("second", [5.0, 7.0])
    (second / "test.json").write_text(json.dumps(TEST))
    (second / "error.log").write_text("one line that was logged\n")
    viewer = start_viewer(str(first), str(second))
    page = open_page(viewer.url, width=900, height=700)
    page.page.click("#tabs [data-page=learning]")
    values = "[...document.querySelectorAll('.charts .chart .keys span')].map(key => key.textContent)"
    page.wait_for(f"String({values}) === 'first2.00,second7.00'")
    with (first / "result.json").open("a") as file:  # it goes on training
        file.write('{"num_env_steps_sampled_lifetime": 300, "env_runners/episode_return_mean": 9.5}\n')
    page.wait_for(f"String({values}) === 'first9.50,second7.00'")

    page.page.click("#tabs [data-page=run]")
    page.wait_for("document.querySelector('.run table')?.textContent.includes('good (best)')")
    page.wait_for("document.querySelector('.maps .ends')?.textContent === 'Collision 1Distance limit 1'")
    colours = page.wait_for(
        """(() => {
          const map = document.querySelector("canvas.map");
          if (!map.width) return 0;
          const pixels = map.getContext("2d").getImageData(0, 0, map.width, map.height).data.buffer;
          const count = new Set(new Uint32Array(pixels)).size;
          return count > 2 && count;
        })()"""
    )
    assert colours > 2
    page.page.click("summary:has-text('error.log')")
    page.wait_for("document.querySelector('details[open] pre').textContent.includes('one line that was logged')")
    rows = [{"iteration": 4, "town": "Minitown", "end": "idle", "position": [1.0, 2.0], "distance": 3.0}]
    (second / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.wait_for("document.querySelector('.run').textContent.includes('Where evaluation 4 ended')")
    page.wait_for("document.querySelector('details[open] pre') !== null")  # what was open stays so


def test_an_environment_of_another_machine_is_named_but_not_sought_here(make_run, start_viewer, open_page):
    run = make_run("shared", [1.0])
    write_announcement(run / LIVE_FOLDER, Announcement("7-1", host="127.0.0.1", port=9, pid=7, node="far-away"))
    page = open_page(start_viewer(str(run)).url)
    page.wait_for("document.querySelector('#notice').textContent.includes('runs on far-away')")
    assert page.evaluate("viewer.state") == "elsewhere"


def test_what_is_no_driving_test_is_left_out(make_run):
    run = make_run("only", [1.0])
    assert driving_tests(run) == []
    for name, content in (("half", '{"policies": {}, "summ'), ("list", "[1, 2]"), ("other", '{"a": 1}')):
        (run / f"{name}.json").write_text(content)
    assert driving_tests(run) == []
    (run / "test.json").write_text(json.dumps(TEST))
    (test,) = driving_tests(run)
    assert [episode["place"] for episode in test["towns"]["Minitown"]] == [[40, 0], [0, 30]]


def test_without_evaluation_it_is_trainings_last_episodes_that_have_places(make_run):
    run = make_run("only", [1.0])
    assert last_places(run)["towns"] == {}
    lines = [{"town": "Town01", "position": [n, 0.0, 0.0], "end": "idle"} for n in range(3)]
    (run / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [{"end": "lost"}, *lines]))
    found = last_places(run)
    assert found["of"] == "training"
    assert [episode["place"] for episode in found["towns"]["Town01"]] == [[0, 0.0], [1, 0.0], [2, 0.0]]
