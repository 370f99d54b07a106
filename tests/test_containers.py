"""The compose file and what it names fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_every_variable_has_a_value_in_the_environment_file_and_the_same_default() -> None:
    values = dict(
        line.split("=", 1)
        for line in (ROOT / ".env").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    assert used == {name: values[name] for name in used}
    assert set(values) == set(used)
    assert not re.findall(r"\$\{\w+\}", TEXT), "a variable without default is empty where .env is missing"


def test_ports_are_published_on_the_loopback_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) >= 4
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_every_service_has_a_profile_and_a_health_check() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["profiles"], name
        assert service["healthcheck"]["test"], name


@pytest.mark.parametrize("name", [name for name in COMPOSE["services"] if name.startswith("client")])
def test_clients_train_configurations_that_exist_with_settings_that_do(name: str) -> None:
    from rllib_integration.config_file import load_config

    words = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in COMPOSE["services"][name]["command"]]
    assert (ROOT / words[1]).is_file()
    settings = [words[number + 1] for number, word in enumerate(words) if word == "--set"]
    document = load_config(ROOT / words[words.index("--config") + 1], settings)
    assert document["env_config"]["carla"]["server"]


def test_the_development_container_builds_from_what_is_there() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve().is_file()
    assert (ROOT / ".devcontainer" / container["build"]["context"]).resolve() == ROOT
