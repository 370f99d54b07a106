"""Servers for the tests: every one is ended, and every log goes to the test's own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rllib_integration.servers import CarlaServer, create_server
from tests.servers.stand_ins import ANSWERING, make_install

ServerFactory = Callable[..., CarlaServer]


@pytest.fixture
def new_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerFactory]:
    """Makes servers from a `server` section; the default is a stand-in installation that works."""
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    made: list[CarlaServer] = []

    def create(behaviour: str = "works", server: list[str] = ANSWERING, **section: Any) -> CarlaServer:
        core_config: dict[str, Any] = {key: section.pop(key) for key in ("show_display", "timeout") if key in section}
        if section.get("kind", "packaged") == "packaged" and "carla_root" not in section:
            section["carla_root"] = str(make_install(tmp_path / f"CARLA {behaviour}", behaviour, server))
        section = {"kind": "packaged", "log_folder": str(tmp_path / "logs"), "start_timeout": 120, **section}
        made.append(create_server({**core_config, "server": section}))
        return made[-1]

    yield create
    for server in made:
        server.stop()
