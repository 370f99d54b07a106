"""Compiles kernels with numba and keeps them on disk, where an edit makes none of them stale.

numba looks only at the file of a kernel when it decides whether the one on disk is still good. A kernel that calls
functions of other files, or uses their constants, would run old code after an update. So each file with kernels has a
folder of its own, named after what it and all files that it imports hold: an edit compiles again what it can reach,
and nothing else. The folders are the user's, which also serves installations that can't be written to.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import platformdirs

_PACKAGE = Path(__file__).parent
_NAME = __package__ or ""
_IMPORT = re.compile(r"^from (\.*)([\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)
_FOR_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n|\n)+", re.MULTILINE)
_UNUSED_FOR = 30 * 24 * 3600.0
"""[s] after which kernels are deleted that no start has touched."""

_folders: dict[Path, Path] = {}


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with kernels kept on disk; not to be called from C, so that there is one wrapper less to compile."""

    def decorate(function: Callable[..., Any]) -> Any:
        source = Path(function.__code__.co_filename)
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(_folder(source))
        try:
            return numba.njit(**{"cache": True, "no_cfunc_wrapper": True, **options})(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


def base_folder() -> Path:
    """Holds the folders of all files; `NUMBA_CACHE_DIR` names another one."""
    own = Path(platformdirs.user_cache_dir("rllib_integration")) / "kernels"
    return Path(os.environ.get("NUMBA_CACHE_DIR") or own)


def _folder(source: Path) -> Path:
    if source not in _folders:
        digest = hashlib.sha1()
        for path in sorted(_reached_from(source)):
            digest.update(path.as_posix().encode())
            digest.update(path.read_bytes())
        _folders[source] = base_folder() / f"{source.parent.name}.{source.stem}-{digest.hexdigest()[:12]}"
    return _folders[source]


def _reached_from(source: Path) -> set[Path]:
    reached: set[Path] = set()
    ahead = [source]
    while ahead:
        path = ahead.pop()
        if path not in reached:
            reached.add(path)
            ahead += _imported_by(path)
    return reached


@functools.cache
def _imported_by(source: Path) -> list[Path]:
    """Files of this package that a file imports when it is itself imported."""
    text = _FOR_TYPES_ONLY.sub("", source.read_text("utf-8"))
    return [path for dots, module, names in _IMPORT.findall(text) for path in _files(source, dots, module, names)]


def _files(source: Path, dots: str, module: str, names: str) -> Iterator[Path]:
    if dots:
        target = source.parents[len(dots) - 1].joinpath(*filter(None, module.split(".")))
    elif module == _NAME or module.startswith(_NAME + "."):
        target = _PACKAGE.joinpath(*filter(None, module[len(_NAME) :].split(".")))
    else:
        return
    if target.with_suffix(".py").is_file():
        yield target.with_suffix(".py")
        return
    for name in re.findall(r"(?:^|,)\s*(\w+)", re.sub(r"#.*", "", names).strip("() ")):
        submodule = target / f"{name}.py"
        yield submodule if submodule.is_file() else target / "__init__.py"


def _marker() -> Path:
    """Exists once all kernels of these sources are compiled for this interpreter and processor."""
    digest = hashlib.sha1(f"{sys.version} {numba.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.as_posix().encode())
        digest.update(path.read_bytes())
    return base_folder() / f"complete-{digest.hexdigest()[:12]}"


def is_complete() -> bool:
    """Whether all kernels of the sources as they are now have been compiled."""
    return _marker().exists()


def note_complete() -> None:
    """Remember that all kernels are compiled, and delete those of sources that nobody has compiled for long.

    Raises:
        OSError: The folder cannot be written to.
    """
    base_folder().mkdir(parents=True, exist_ok=True)
    _marker().touch()
    names = {folder.name.rpartition("-")[0] for folder in _folders.values()} | {"complete"}
    for path in base_folder().iterdir():
        if path.name.rpartition("-")[0] in names and path.stat().st_mtime < time.time() - _UNUSED_FOR:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
