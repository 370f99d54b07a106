"""Where towns come from: a folder, an installed CARLA, or a wheel that carries CARLA's road networks.

The OpenDRIVE files of CARLA's towns were made by CARLA's authors (Computer Vision Center, Barcelona). None of
them is part of this project: they are read from the place that the user has, or fetched once into the user's
cache folder and checked against their known hashes.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import platformdirs

BUILT_IN_TOWN = "Minitown"
"""The town that this project makes itself: it needs no file and no download."""

RACETRACKS = ("Racetrack01", "Racetrack02")
"""The race tracks that it makes, as free of any file."""

WHEEL = "py123d==0.7.0"
WHEEL_SHA256 = "1f7ce27ef354833b004d75bfc8cfe466b8d924542159ea1e197193520a3e3182"
WHEEL_FOLDER = "py123d/parser/opendrive/carla_maps"

TOWN_SHA256 = {
    "Town01": "5bf925646e376fa3066d64349bf41813a80ae44f4816735ffe079a4bf8056fca",
    "Town02": "6f6775f0032a8514792e32261c6d58dd9d70f404843176aff2c9785ac284ef2b",
    "Town03": "b61d2a351c08202c4032996f3090b50cbc6adae43184550deb3029f4c939c443",
    "Town04": "e481dc300045ed4462391c3bcf334a3fd5ce4bf03e3d42d76f2b11b02f4fbf9f",
    "Town05": "bbd28ccaf31874594a70cecf89d79fa743e863b5763bffb27f39adb9092eaa42",
    "Town06": "9038d322d2c5d332d5ae4862ee3088d892f61f3e499fd70b3d957e9a03ffd7bc",
    "Town07": "f030e6ce4f5b9c95824d89009c408006be351c5ecb47672d378de8a9cfb4a4e5",
    "Town10HD": "8de1cb9091bfe996b0429d3955da584e70fb6ca92e7f54b526be548ad5c3304d",
    "Town11": "b8a4f36fce3ebd0f7257e71562a7e277fcc4c08672a415de00c1faca42a4061a",
    "Town12": "7a024e0a81a0b39c837b5276548123614f21ccd14879c5b2046eda7f3e58770e",
    "Town13": "e6c7acb18af18958c599d6d66890c8d528c0658f35eb0fb15fe026dcd45720ae",
    "Town15": "ec4f6795b574804b4b3633395f111e5ff78880b1ea8f6f648285e71b8a797693",
}
"""Hash of each town's compressed OpenDRIVE file in the wheel."""

LAYERED_TOWNS = tuple(f"Town{n}" for n in ("01", "02", "03", "04", "05", "06", "07", "10HD"))
"""Towns that CARLA also ships as `_Opt`, with layers that can be switched off."""

NESTED_TOWNS = ("Town11", "Town12", "Town13", "Town15")
"""Towns that CARLA keeps in folders of their own: "/Game/Carla/Maps/Town12/Town12"."""

CARLA_SUBFOLDER = Path("CarlaUE4/Content/Carla/Maps")
DOWNLOAD_TIMEOUT = 300.0


class TownError(ValueError):
    """A town cannot be had; the message says what was asked, what there is and what to do."""


def cache_folder() -> Path:
    """The user's folder for what can be made again: fetched towns and all that is derived from them."""
    return Path(platformdirs.user_cache_dir("rllib_integration")) / "towns"


def town_base_name(name: str) -> str:
    """The plain name of a town: "Town05" for "/Game/Carla/Maps/Town05_Opt" or "Carla/Maps/Town05"."""
    return town_file_name(name).removesuffix("_Opt")


def town_file_name(name: str) -> str:
    """The last part of a town's path, "Town05_Opt" for "/Game/Carla/Maps/Town05_Opt"."""
    return name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def map_path(name: str) -> str:
    """A town's path as CARLA reports it, "Carla/Maps/Town05_Opt" or "Carla/Maps/Town12/Town12", from its plain name."""
    return f"Carla/Maps/{name}/{name}" if name in NESTED_TOWNS else f"Carla/Maps/{name}"


def town_names(folder: str | Path | None = None) -> list[str]:
    """Plain names of all towns that may be asked for, `_Opt` variants included, sorted."""
    names = {BUILT_IN_TOWN, *RACETRACKS, *TOWN_SHA256, *(f"{town}_Opt" for town in LAYERED_TOWNS)}
    for place in _local_folders(folder):
        names.update(path.name.removesuffix(".gz").removesuffix(".xodr") for path in _xodr_files(place))
    return sorted(names)


def read_opendrive(name: str, folder: str | Path | None = None) -> str:
    """Read the OpenDRIVE text of a town.

    Looked for in this order: `folder`, the installation that the environment variable CARLA_ROOT names, the
    user's cache, and last the wheel, which is fetched with pip and unpacked into the cache.

    Args:
        name: the town, as CARLA names it, with or without path and `_Opt`.
        folder: folder with `.xodr` or `.xodr.gz` files, or None.

    Raises:
        TownError: there is no such town, or it could not be fetched.
    """
    for place in _local_folders(folder):
        found = _find_xodr(place, name)
        if found is not None:
            return _read_xodr(found)
    base = town_base_name(name)
    if base not in TOWN_SHA256:
        raise TownError(_unknown_town(name, folder))
    return _decompress(_cached_town(base), base)


def ensure_town(name: str, folder: str | Path | None = None) -> None:
    """Fetch a town of CARLA's that is not on this machine yet; says so on stderr.

    Args:
        name: the town, as CARLA names it; unknown ones are left to `read_opendrive`.
        folder: as for `read_opendrive`.

    Raises:
        TownError: it could not be fetched.
    """
    base = town_base_name(name)
    if base in TOWN_SHA256 and not any(_find_xodr(place, name) for place in _local_folders(folder)):
        _cached_town(base)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a second writer, never sees a part of it."""
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes its place as `path` when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _local_folders(folder: str | Path | None) -> list[Path]:
    places = []
    if folder is not None:
        place = Path(folder).expanduser()
        if not place.is_dir():
            raise TownError(
                f"The town folder {str(folder)!r} is not a folder: name one that holds .xodr files, or leave it out."
            )
        places.append(place)
    root = os.environ.get("CARLA_ROOT")
    if root:
        places.append(Path(root).expanduser() / CARLA_SUBFOLDER)
    return places


def _xodr_files(place: Path) -> list[Path]:
    return sorted([*place.rglob("*.xodr"), *place.rglob("*.xodr.gz")])


def _find_xodr(place: Path, name: str) -> Path | None:
    files = {path.name.removesuffix(".gz").removesuffix(".xodr"): path for path in reversed(_xodr_files(place))}
    return files.get(town_file_name(name)) or files.get(town_base_name(name))


def _read_xodr(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return _decompress(data, str(path))
    return data.decode("utf-8", errors="replace")


def _decompress(data: bytes, origin: str) -> str:
    try:
        return gzip.decompress(data).decode("utf-8", errors="replace")
    except (OSError, EOFError) as error:
        raise TownError(f"The OpenDRIVE file of {origin} is damaged ({error}): fetch or unpack it again.") from error


def _unknown_town(name: str, folder: str | Path | None) -> str:
    names = town_names(folder)
    near = difflib.get_close_matches(town_file_name(name)[:100], names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no town {name[-100:]!r}.{hint} Towns: {', '.join(names)}; more with a folder of .xodr files."


def _cached_town(base: str) -> bytes:
    path = cache_folder() / WHEEL.replace("==", "-") / f"{base}.xodr.gz"
    data = _read_checked(path, base)
    if data is None:
        try:
            with _lock(path.parent):
                data = _read_checked(path, base)
                if data is None:
                    _fetch_wheel(path.parent, base)
                    data = _read_checked(path, base)
        except OSError as error:
            raise TownError(_not_fetched(base, f"{path.parent} cannot be written to: {error}")) from error
    if data is None:
        raise TownError(f"{path} could not be written: check the space and rights of {path.parent}.")
    return data


def _read_checked(path: Path, base: str) -> bytes | None:
    """The file's bytes; None where it is missing or damaged."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TownError(f"The road network of {base} cannot be read: {error}.") from error
    return data if hashlib.sha256(data).hexdigest() == TOWN_SHA256[base] else None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time fetch; the lock ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        # Without file locks two processes may both fetch; each replaces whole files, so nothing breaks.
        yield
        return
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_wheel(folder: Path, base: str) -> None:
    print(
        f"{base}: fetching the road networks of CARLA's towns (made by CARLA's authors, Computer Vision Center"
        f" Barcelona) from the wheel {WHEEL} into {folder}; this happens once",
        file=sys.stderr,
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="town-wheel-") as temporary:
        wheel = _download(Path(temporary), base)
        with zipfile.ZipFile(wheel) as archive:
            for town, digest in TOWN_SHA256.items():
                data = archive.read(f"{WHEEL_FOLDER}/{town}.xodr.gz")
                if hashlib.sha256(data).hexdigest() != digest:
                    raise TownError(f"{town} in {WHEEL} is not the file that was expected: its hash differs.")
                write_atomically(folder / f"{town}.xodr.gz", data)


def _download(folder: Path, base: str) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--no-input"]
    command += ["--only-binary=:all:", "--retries=1", "--dest", str(folder), "--requirement", str(requirements)]
    if shutil.which(sys.executable) is None:
        raise TownError(_not_fetched(base, "the Python interpreter's own path is unknown"))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise TownError(_not_fetched(base, f"pip did not finish within {DOWNLOAD_TIMEOUT:.0f} s")) from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise TownError(_not_fetched(base, lines[-1].strip() if lines else f"pip ended with {done.returncode}"))
    return wheels[0]


def _not_fetched(base: str, reason: str) -> str:
    return (
        f"The road network of {base} is not on this machine and could not be fetched ({reason}). Three ways out:"
        f" name a folder that holds {base}.xodr (--town-folder), set CARLA_ROOT to an installed CARLA, or let pip"
        f" reach a package index that has {WHEEL}. The town {BUILT_IN_TOWN!r} needs none of them."
    )
