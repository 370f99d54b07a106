"""The section `env_config.carla.server`: what is understood, and what is refused with which sentence."""

from __future__ import annotations

from typing import Any

import pytest

from rllib_integration.servers import ServerSettings, ServerSettingsError, create_server


def test_a_kinds_name_alone_is_a_section() -> None:
    assert ServerSettings.from_core_config({"server": "docker"}).kind == "docker"


def test_a_port_alone_means_a_server_that_runs_already() -> None:
    settings = ServerSettings.from_core_config({"server": {"port": 2000, "host": "simulator"}})
    assert (settings.kind, settings.host, settings.port) == ("external", "simulator", 2000)


def test_an_external_server_is_sought_on_the_configured_host() -> None:
    server = create_server({"host": "simulator", "server": "external"})
    assert (server.host, server.port) == ("simulator", 2000)


def test_an_external_server_does_not_start_anything_and_cannot_be_seen_ending() -> None:
    server = create_server({"server": {"kind": "external", "port": 2000}})
    assert server.pid is None
    assert server.exit_status() is None
    assert server.exit_event() == -1


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("embeded", r"kind is 'embeded', but it has to be auto, embedded, packaged, docker or external"),
        ({"kidn": "docker"}, r"server.kidn is not a setting: did you mean env_config.carla.server.kind"),
        ({"start_timeout": "long"}, r"start_timeout is 'long', but it has to be a number of seconds above 0"),
        ({"start_timeout": "60"}, r"Write it without quotes: 60"),
        ({"start_timeout": 0}, r"start_timeout is 0, but it has to be a number of seconds above 0"),
        ({"max_failures": True}, r"max_failures is True, but it has to be a whole number above 0"),
        ({"host": "simulator:2000"}, r"host is 'simulator:2000', .* goes under env_config.carla.server.port"),
        ({"port": 70000}, r"port is 70000, but it has to be a port, 1 to 65535"),
        ({"addresses": "carla:2000"}, r"addresses is 'carla:2000', but it has to be a list of hosts with their"),
        ({"addresses": ["carla"]}, r"has to be a list of hosts with their RPC ports, such as \[carla-1:2000, carla-2"),
        ({"addresses": ["carla:2000"], "port": 2000}, r"has addresses as well as host or port. Name the one server by"),
        ({"gpu": "fastest"}, r"gpu is 'fastest', but it has to be an index, 'auto' or null"),
        ({"pin_to_core": "yes"}, r"pin_to_core is 'yes'"),
        ({"spare": "always"}, r"spare is 'always', but it has to be true, false or 'auto'"),
        ({"kind": "external", "spare": True}, r"spare is true, but a server of kind 'external' is never started here"),
        ({"hang_after": 0}, r"hang_after is 0, but it has to be a number of seconds above 0"),
        ({"extra_arguments": "-nosound"}, r"has to be a list of words"),
        ({"restart_above_gb": -1}, r"has to be 0 \(never\) or more"),
        (7, r"server is 7; it must be one of auto, embedded, packaged, docker, external"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(section: Any, sentence: str) -> None:
    with pytest.raises(ServerSettingsError, match=sentence):
        create_server({"server": section})
