"""Where town files come from, and what is said when there are none."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicarla.town import TownError, available_towns, load_town, sources
from minicarla.town.minitown import minitown


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user cache with nothing in it, and no CARLA."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["Town05", "Town05_Opt", "/Game/Carla/Maps/Town05", "Carla/Maps/Town05_Opt", "/Game/Carla/Maps/Town05/Town05"],
)
def test_every_way_of_naming_a_town_means_the_same_town(name: str) -> None:
    assert sources.town_base_name(name) == "Town05"


def test_available_towns_are_carlas_paths() -> None:
    towns = available_towns()
    assert "/Game/Carla/Maps/Town03" in towns
    assert "/Game/Carla/Maps/Town10HD_Opt" in towns
    assert "/Game/Carla/Maps/Town12/Town12" in towns
    assert "/Game/Carla/Maps/Town12" not in towns
    assert len(towns) == len(set(towns))


def test_a_mistyped_town_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TownError, match=r"no town 'Twon05'.*Did you mean 'Town05'"):
        load_town("Twon05")


def test_a_folder_comes_first(empty_cache: Path) -> None:
    text = minitown().replace("Minitown", "Hamlet")
    (empty_cache / "Town05.xodr").write_text(text)
    (empty_cache / "Hamlet.xodr.gz").write_bytes(gzip.compress(text.encode()))
    assert sources.read_opendrive("Town05_Opt", empty_cache) == text
    assert sources.read_opendrive("/Game/Carla/Maps/Hamlet", empty_cache) == text
    assert "/Game/Carla/Maps/Hamlet" in available_towns(empty_cache)


def test_an_installed_carla_is_used(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = empty_cache / "carla/CarlaUE4/Content/Carla/Maps/OpenDrive"
    maps.mkdir(parents=True)
    (maps / "Town05.xodr").write_text("the installed one")
    monkeypatch.setenv("CARLA_ROOT", str(empty_cache / "carla"))
    assert sources.read_opendrive("Town05") == "the installed one"


def test_a_folder_that_is_none_is_refused(empty_cache: Path) -> None:
    with pytest.raises(TownError, match="is not a folder"):
        load_town("Town05", empty_cache / "missing")


def test_offline_and_not_cached_names_the_three_ways(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "1" if name == "PIP_NO_INDEX" else "http://127.0.0.1:9/")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(TownError) as failure:
        load_town("Town07")
    sentence = str(failure.value)
    assert "--town-folder" in sentence
    assert "CARLA_ROOT" in sentence
    assert "py123d==0.7.0" in sentence
    assert not list((empty_cache / "cache").rglob("*.xodr.gz"))


def test_a_damaged_download_in_the_cache_is_not_used(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = gzip.compress(b"good")
    monkeypatch.setitem(sources.TOWN_SHA256, "Town07", hashlib.sha256(good).hexdigest())
    place = sources.cache_folder() / "py123d-0.7.0"
    sources.write_atomically(place / "Town07.xodr.gz", b"half of a fi")
    fetched = []

    def fetch(folder: Path, base: str) -> None:
        fetched.append(base)
        sources.write_atomically(folder / f"{base}.xodr.gz", good)

    monkeypatch.setattr(sources, "_fetch_wheel", fetch)
    assert sources.read_opendrive("Town07") == "good"
    assert sources.read_opendrive("Town07") == "good"
    assert fetched == ["Town07"]


def test_processes_that_start_at_once_share_one_cache(empty_cache: Path) -> None:
    code = (
        "from minicarla.town import load_town; import hashlib;"
        "t = load_town('Minitown'); print(hashlib.sha256(t.scenery.vertices.tobytes() + t.surface.height.tobytes()"
        " + t.spawn_points.tobytes() + t.navigation_mesh()[1]).hexdigest())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    outputs = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(outputs) == 1
    assert not list((empty_cache / "cache").rglob("*.part"))
