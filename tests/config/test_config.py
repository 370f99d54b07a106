"""Configuration: layers, checks, and sentences for what can't be used."""

from __future__ import annotations

import copy

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG, BaseExperiment
from rllib_integration.carla_core import BASE_CORE_CONFIG, resolve_core_config
from rllib_integration.config.merging import (
    ConfigError,
    apply_override,
    load_class,
    merge,
    overlay,
    parse_scalar,
    save_config,
)
from rllib_integration.config_file import load_config, resolve_env_config
from rllib_integration.servers import ServerSettingsError
from rllib_integration.traffic.manners import TRAFFIC_MANNERS

DOCUMENT = """
algorithm: DQN
env_config:
  carla: {timeout: 30, seed: 7}
  experiment:
    hero:
      spawn_points: ["1,2,3"]
      sensors:
        birdview: {type: sensor.birdview, size: 84}
training: {lr: 1e-4}
"""


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(DOCUMENT)
    return file


def refusal(carla=None, experiment=None):
    with pytest.raises(ConfigError) as error:
        resolve_env_config({"carla": carla, "experiment": experiment})
    return str(error.value)


def test_the_documented_defaults_are_the_contract():
    documented = {
        "host": "localhost",
        "timeout": 10.0,
        "timestep": 0.05,
        "retries_on_error": 10,
        "resolution_x": 600,
        "resolution_y": 600,
        "quality_level": "Low",
        "enable_map_assets": False,
        "enable_rendering": "auto",
        "show_display": False,
    }
    assert {key: BASE_CORE_CONFIG[key] for key in documented} == documented
    sections = {"scenarios", "dynamics_randomisation"}  # which have tests of their own
    assert {key: value for key, value in BASE_EXPERIMENT_CONFIG.items() if key not in sections} == {
        "hero": {"blueprint": "vehicle.lincoln.mkz_2017", "sensors": {}, "spawn_points": []},
        "background_activity": {
            "n_vehicles": 0,
            "n_walkers": 0,
            "tm_hybrid_mode": True,
            "traffic": "manager",
            "seed": None,
            "pedestrians_cross_factor": 0.1,
            **TRAFFIC_MANNERS,
        },
        "town": "Town05_Opt",
        "weather": "ClearNoon",
        "route": None,
        "others": {},
    }
    assert not any(BASE_EXPERIMENT_CONFIG["scenarios"][way] for way in ("types", "levels", "file", "pinned"))


def test_file_overrides_defaults_and_command_line_overrides_file(document):
    resolved = load_config(document, ["env_config.carla.timeout=60", "env_config.experiment.town=Town01"])
    core = resolved["env_config"]["carla"]
    assert (core["timeout"], core["seed"], core["timestep"]) == (60.0, 7, 0.05)
    assert resolved["env_config"]["experiment"]["town"] == "Town01"
    assert resolved["env_config"]["experiment"]["hero"]["sensors"]["birdview"]["size"] == 84
    assert resolved["training"]["lr"] == 1e-4
    assert resolved["algorithm"] == "DQN"


def test_defaults_are_never_modified_nor_shared():
    before = copy.deepcopy((BASE_CORE_CONFIG, BASE_EXPERIMENT_CONFIG))
    experiment = BaseExperiment({"hero": {"sensors": {"imu": {"type": "sensor.other.imu"}}}})
    experiment.config["hero"]["spawn_points"].append("0,0,0")
    experiment.config["others"]["mine"] = 1
    experiment.config["background_activity"]["n_vehicles"] = 9
    resolve_core_config({})["timeout"] = 1.0
    assert before == (BASE_CORE_CONFIG, BASE_EXPERIMENT_CONFIG)
    assert BaseExperiment().config["hero"]["spawn_points"] == []


def test_the_users_dictionary_is_neither_modified_nor_shared():
    user = {"hero": {"sensors": {"imu": {"type": "sensor.other.imu"}}}, "others": {"list": [1]}}
    before = copy.deepcopy(user)
    config = BaseExperiment(user).config
    config["hero"]["sensors"]["imu"]["type"] = "other"
    config["others"]["list"].append(2)
    assert user == before


@pytest.mark.parametrize(
    ("carla", "experiment", "expected"),
    [
        ({"timeuot": 1}, {}, "env_config.carla.timeuot is not a setting: did you mean env_config.carla.timeout?"),
        ({}, {"twon": "Town01"}, "did you mean env_config.experiment.town?"),
        ({}, {"hero": {"blue_print": "x"}}, "did you mean env_config.experiment.hero.blueprint?"),
        ({}, {"n_vehicles": 3}, "did you mean env_config.experiment.background_activity.n_vehicles?"),
        ({"image": "carla"}, {}, "'image' belongs to env_config.carla.server.image"),
        ({"zzz": 1}, {}, "those of env_config.carla are: enable_map_assets,"),
    ],
)
def test_a_mistyped_key_names_the_nearest_right_one(carla, experiment, expected):
    assert expected in refusal(carla, experiment)


@pytest.mark.parametrize(
    ("carla", "experiment", "expected"),
    [
        ({"timeout": "soon"}, {}, "env_config.carla.timeout is 'soon', but it has to be a number of seconds above 0."),
        ({"timeout": "30"}, {}, "Write it without quotes: 30"),
        ({"timeout": -1}, {}, "above 0"),
        ({"timestep": True}, {}, "env_config.carla.timestep is True"),
        ({"enable_rendering": 1}, {}, "it has to be true, false or 'auto'"),
        ({"resolution_x": 600.5}, {}, "a whole number of pixels"),
        ({"quality_level": "Ultra"}, {}, "Low, Medium, High or Epic"),
        ({"ticks_per_step": 0}, {}, "a whole number, 1 or more"),
        ({}, {"hero": "car"}, "env_config.experiment.hero is 'car', but it has to be a mapping of settings"),
        ({}, {"hero": {"spawn_points": "here"}}, "'x,y,z' or 'x,y,z,roll,pitch,yaw'"),
        ({}, {"background_activity": {"n_vehicles": "many"}}, "n_vehicles is 'many'"),
        (
            {},
            {"background_activity": {"ignore_lights_percentage": 101}},
            "ignore_lights_percentage is 101, but it has to be a number of percent from 0 to 100, "
            "or a range [least, most] of them.",
        ),
        (
            {},
            {"background_activity": {"pedestrians_cross_factor": 10}},
            "pedestrians_cross_factor is 10, but it has to be a share from 0 to 1.",
        ),
        ({}, {"background_activity": {"pedestrians_cross_factor": True}}, "a share from 0 to 1"),
        ({}, {"background_activity": {"distance_to_leading_vehicle": [3, 2]}}, "a number of metres from 0 to 50"),
        ({}, {"background_activity": {"vehicle_percentage_speed_difference": ["0", 9]}}, "from -200 to 100"),
        (
            {},
            {"background_activity": {"auto_lane_change": 1}},
            "auto_lane_change is 1, but it has to be true or false.",
        ),
        ({}, {"background_activity": {"ignore_light_percentage": 5}}, "did you mean"),
        (
            {},
            {"route": {"lenght": 3}},
            "{length: metres or [least, most]}, up to 1000000, {goal: 'x,y,z'}, {via: ['x,y,z', ...]} or null",
        ),
        ({}, {"route": {"length": [300, 200]}}, "{length: metres or [least, most]}"),
        ({}, {"route": {"length": [300]}}, "{length: metres or [least, most]}"),
        ({}, {"route": {"length": float("inf")}}, "{length: metres or [least, most]}, up to 1000000"),
        ({}, {"hero": {"sensors": {"eye": "sensor.camera.rgb"}}}, "hero.sensors.eye is 'sensor.camera.rgb'"),
        ({}, {"hero": {"sensors": {"eye": {"size": 3}}}}, "it has to be a mapping with a type"),
        ({}, {"others": [1]}, "env_config.experiment.others is [1]"),
    ],
)
def test_a_value_of_the_wrong_type_says_what_was_expected(carla, experiment, expected):
    assert expected in refusal(carla, experiment)


def test_unknown_sections_beside_carla_and_experiment_are_refused():
    with pytest.raises(ConfigError, match=r"did you mean env_config\.carla\?"):
        resolve_env_config({"calra": {}})


def test_a_mistake_inside_the_server_section_is_found_before_a_server_starts():
    with pytest.raises(ServerSettingsError, match="embedded"):
        resolve_core_config({"server": {"kind": "embeded"}})


def test_free_sections_take_any_key():
    config = resolve_env_config({"experiment": {"others": {"anything": {"goes": 1}}}})
    assert config["experiment"]["others"] == {"anything": {"goes": 1}}


def test_empty_sections_mean_the_defaults(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text("env_config:\n  carla:\n  experiment:\n    hero:\n      sensors:\n")
    assert load_config(file)["env_config"] == resolve_env_config({})


def test_a_resolved_configuration_reads_back_from_its_file(document, tmp_path):
    resolved = load_config(document)
    resolved["env_config"]["experiment"]["type"] = BaseExperiment
    saved = save_config(resolved, tmp_path / "run" / "config.yaml")
    assert yaml.safe_load(saved.read_text())["env_config"]["carla"]["timeout"] == 30.0
    again = load_config(saved)
    assert again["env_config"]["experiment"].pop("type") == "rllib_integration.base_experiment:BaseExperiment"
    del resolved["env_config"]["experiment"]["type"]
    assert again == resolved


def test_a_whole_number_may_stand_for_a_number_and_becomes_one():
    timeout = resolve_env_config({"carla": {"timeout": 60}})["carla"]["timeout"]
    assert (timeout, type(timeout)) == (60.0, float)


def test_who_reads_a_configuration_while_it_is_saved_reads_a_whole_one(tmp_path):
    file = save_config({"text": "old" * 100_000}, tmp_path / "config.yaml")
    with file.open() as reader:
        first = reader.read(10)
        save_config({"text": "new"}, file)
        assert yaml.safe_load(first + reader.read())["text"] == "old" * 100_000
    assert yaml.safe_load(file.read_text()) == {"text": "new"}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("env_config.carla.timeout", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("env_config..timeout=3", "write it as section.key=value"),
        ("env_config.carla.timeout.seconds=3", "env_config.carla.timeout is 30 and has no keys below"),
        ("env_config.carla.timeout=[", "can't be read as a value"),
    ],
)
def test_an_override_that_can_not_be_laid_is_a_sentence(document, override, expected):
    with pytest.raises(ConfigError) as error:
        load_config(document, [override])
    assert expected in str(error.value)


def test_an_override_is_checked_like_the_file(document):
    with pytest.raises(ConfigError, match=r"did you mean env_config\.carla\.timestep"):
        load_config(document, ["env_config.carla.time_step=0.1"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("5", 5), ("true", True), ("null", None), ("[1, a]", [1, "a"]), ("Town01", "Town01")],
)
def test_values_of_the_command_line_are_read_as_yaml(text, value):
    assert parse_scalar(text) == value
    assert type(parse_scalar(text)) is type(value)


def test_override_leaves_the_document_alone():
    document = {"a": {"b": [1]}}
    assert apply_override(document, "a.c.d=2") == {"a": {"b": [1], "c": {"d": 2}}}
    assert document == {"a": {"b": [1]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "'a' is given twice"),
        ("a: [1\n", "not valid YAML"),
        ("- 1\n", "sections are expected"),
    ],
)
def test_a_file_that_is_no_configuration_is_a_sentence(tmp_path, text, expected):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert expected in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_names_its_neighbours(document):
    with pytest.raises(ConfigError, match=r"no configuration file .*confg\.yaml.*config\.yaml"):
        load_config(document.with_name("confg.yaml"))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("tests.experiments", "write it as 'package.module:Class'"),
        ("no_such_module:Thing", "can't be imported"),
        ("tests.experiments:PoseExperimnt", "PoseExperiment"),
        ("rllib_integration.config.merging:Rule", "has to be a subclass of BaseExperiment"),
        (7, "has to be a subclass of BaseExperiment"),
    ],
)
def test_an_experiment_that_can_not_be_had_is_a_sentence(reference, expected):
    with pytest.raises(ConfigError) as error:
        load_class(reference, BaseExperiment, "env_config.experiment.type")
    assert expected in str(error.value)


SETTINGS = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda below: st.dictionaries(st.text("abc", min_size=1, max_size=1), below, max_size=3),
    max_leaves=8,
)
SECTIONS = st.dictionaries(st.text("abc", min_size=1, max_size=1), SETTINGS, max_size=3)


@settings(max_examples=60)
@given(SECTIONS, SECTIONS)
def test_overlay_keeps_what_is_laid_over_and_shares_nothing(base, over):
    before = copy.deepcopy((base, over))
    merged = overlay(base, over)
    assert overlay(merged, over) == merged
    for key, value in over.items():
        if not isinstance(value, dict) or not isinstance(base.get(key), dict):
            assert merged[key] == value
    for value in merged.values():
        if isinstance(value, list):
            value.append(0)
        if isinstance(value, dict):
            value["z"] = 0
    assert (base, over) == before


@settings(max_examples=60)
@example({"a": {"a": 0}}, {"a": {"a": '"'}})
@given(SECTIONS, SECTIONS)
def test_merge_refuses_exactly_the_keys_and_types_that_the_defaults_lack(defaults, user):
    if follows(defaults, user):
        assert merge(defaults, user, "top").keys() == defaults.keys()
    else:
        with pytest.raises(ConfigError, match=r"^top\."):
            merge(defaults, user, "top")


def follows(defaults, user):
    """Whether settings have only keys of the defaults, and values of the same type."""
    return all(
        key in defaults
        and type(value) is type(defaults[key])
        and (not isinstance(value, dict) or follows(defaults[key], value))
        for key, value in user.items()
    )
