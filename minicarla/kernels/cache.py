"""Compiles kernels with numba and keeps them on disk, where an edit makes none of them stale.

numba looks only at the file of a kernel when it decides whether the one on disk is still good. A kernel that calls
functions of other files, or uses their constants, would run old code after an update. So each file with kernels has a
folder of its own, named after what it and all files that it imports hold: an edit compiles again what it can reach,
and nothing else. The folders are the user's: all installations with the same sources share them, also those that
can't be written to.
A file that a full disk or a crash has cut short is compiled again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import logging
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding
import numba
import platformdirs
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserProvidedCacheLocator
from numba.core.compiler import CompileResult
from numba.core.types import Type

from minicarla.checked_files import is_whole, write_checked

Function = TypeVar("Function", bound=Callable[..., object])

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
_NAME = _PACKAGE.name
_IMPORT = re.compile(r"^from (\.*)([\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)
_FOR_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?: .*\n|\n)+", re.MULTILINE)
_SUPERSEDED_FOR = 24 * 3600.0
"""[s] without a start after which kernels are deleted whose sources have changed since, or are gone."""
_UNUSED_FOR = 30 * 24 * 3600.0
"""[s] without a start after which all other kernels are deleted."""

_SPACE = 64 * 2**20
"""[B] without which the kernels of a version, about 20 MB, are not begun to be written."""

_folders: dict[Path, Path] = {}


def njit(**options: object) -> Callable[[Function], Function]:
    """`numba.njit` with kernels kept on disk; not to be called from C, so that there is one wrapper less to compile."""

    def decorate(function: Function) -> Function:
        kernel: Any = numba.njit(**{"no_cfunc_wrapper": True, **options})(function)
        kernel._cache = _KernelCache(function)
        _widen_calls(kernel)
        return kernel

    return decorate


def _widen_calls(kernel: Any) -> None:
    """Have calls with constants use the kernel for any number: numba would compile another one for each constant."""
    template = kernel.get_call_template

    def widened(arguments: Sequence[Type], keywords: Mapping[str, Type]) -> tuple[object, ...]:
        return template(
            tuple(map(_any_number, arguments)), {name: _any_number(kind) for name, kind in keywords.items()}
        )

    kernel.get_call_template = widened


def _any_number(kind: Type) -> Type:
    constants = (numba.types.IntegerLiteral, numba.types.BooleanLiteral)
    return numba.types.unliteral(kind) if isinstance(kind, constants) else kind


class _Locator(UserProvidedCacheLocator):
    """Finds the folder of a function; whether it can be written to shows when something is."""

    def __init__(self, function: Callable[..., object], source: str) -> None:
        super().__init__(function, source)
        self._cache_path = str(_folder(Path(source)))

    def get_source_stamp(self) -> str:
        return os.path.basename(self._cache_path)

    @classmethod
    def from_function(cls, function: Callable[..., object], source: str) -> _Locator:
        return cls(function, source)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _KernelCache(FunctionCache):
    """What was compiled of one function, in files that are checked; one that can't be kept is done without."""

    _impl_class = _Implementation

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        plan = self._impl
        self._cache_file = _CheckedFile(self._cache_path, plan.filename_base, plan.locator.get_source_stamp())

    def save_overload(self, signature: tuple[Type, ...], compiled: CompileResult) -> None:
        try:
            super().save_overload(signature, compiled)
        except OSError as error:
            _say_once(f"compiled kernels cannot be kept in {base_folder()}: {error}")


class _CheckedFile(IndexDataCacheFile):
    """Files of which a damaged one counts as missing."""

    def _load_index(self) -> dict[object, str]:
        version, stamp, names = self._read(self._index_path) or (None, None, {})
        return names if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, names: Mapping[object, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, names))

    def _load_data(self, name: str) -> object:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: object) -> None:
        self._write(self._data_path(name), data)

    def _read(self, path: str) -> Any:
        try:
            with open(path, "rb") as file:
                if is_whole(file, os.path.basename(path)):
                    return pickle.load(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            _say_once(f"compiled kernels cannot be read: {error}")
            return None
        logger.warning("the compiled kernel %s is damaged; it is compiled again", path)
        return None

    def _write(self, path: str, content: object) -> None:
        with self._open_for_write(path) as file:
            write_checked(file, os.path.basename(path), self._dump(content))


@functools.cache
def _say_once(text: str) -> None:
    logger.warning("%s", text)


def base_folder() -> Path:
    """Holds the folders of all files; `NUMBA_CACHE_DIR` names another one.

    Where that can't be written to and lacks kernels, it is a folder of this user's among the temporary ones.
    """
    own = Path(platformdirs.user_cache_dir("rllib_integration")) / "kernels"
    return _usable(Path(os.environ.get("NUMBA_CACHE_DIR") or own))


@functools.cache
def _usable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            if shutil.disk_usage(folder).free < _SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return folder
    except OSError as error:
        if (folder / _marker_name()).exists():
            return folder
        return _temporary_folder(folder, error)


def _temporary_folder(folder: Path, reason: OSError) -> Path:
    """The folder of this user alone, where nobody else can have put anything; what others made is left alone."""
    instead = Path(tempfile.gettempdir()) / f"rllib_integration-kernels-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        instead.mkdir(mode=0o700)
    about = instead.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        return folder
    _say_once(f"compiled kernels cannot be kept in {folder} ({reason.strerror}); they are kept in {instead} instead")
    return instead


def _folder(source: Path) -> Path:
    if source not in _folders:
        digest = hashlib.sha1()
        _add_files(digest, _reached_from(source))
        _folders[source] = base_folder() / f"{source.parent.name}.{source.stem}-{digest.hexdigest()[:12]}"
    return _folders[source]


def _add_files(digest: hashlib._Hash, files: Iterable[Path]) -> None:
    for path in sorted(files):
        digest.update((path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else path).as_posix().encode())
        digest.update(path.read_bytes())


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
    """Exists once all kernels of these sources are compiled for this interpreter and processor; touched at each start.

    It names the package's folder and, a line each, the folders of its kernels.
    """
    return base_folder() / _marker_name()


@functools.cache
def _marker_name() -> str:
    processor = llvmlite.binding.get_host_cpu_name()
    installation = hashlib.sha1(f"{_PACKAGE} {sys.version} {numba.__version__} {processor}".encode())
    sources = hashlib.sha1()
    _add_files(sources, _PACKAGE.rglob("*.py"))
    return f"complete-{installation.hexdigest()[:8]}-{sources.hexdigest()[:12]}"


def is_complete() -> bool:
    """Whether all kernels of the sources as they are now have been compiled; whoever asks is going to use them."""
    marker = _marker()
    with contextlib.suppress(OSError):  # there is none, or the folder belongs to somebody else
        os.utime(marker)
    return marker.exists()


def note_complete() -> None:
    """Remember that all kernels are compiled, and delete those that nobody has used for long.

    Raises:
        OSError: The folder cannot be written to.
    """
    base_folder().mkdir(parents=True, exist_ok=True)
    marker = _marker()
    lines = [str(_PACKAGE), *sorted(folder.name for folder in _folders.values())]
    unnamed = base_folder() / f"marker-{os.getpid()}"
    unnamed.write_text("\n".join(lines), "utf-8")
    unnamed.replace(marker)
    _delete_unused(marker)


def _delete_unused(newest: Path) -> None:
    """Delete the kernels of versions that are out of use, but for those that a version in use shares with them."""
    in_use: set[str] = set()
    unused: set[str] = set()
    for marker in base_folder().glob("complete-*-*"):
        package, *folders = marker.read_text("utf-8").splitlines()
        superseded = _installation(marker) == _installation(newest) or not Path(package).is_dir()
        if marker != newest and _age(marker) > (_SUPERSEDED_FOR if superseded else _UNUSED_FOR):
            marker.unlink(missing_ok=True)
            unused.update(folders)
        else:
            in_use.update(folders)
    kinds = {name.rpartition("-")[0] for name in in_use}
    for folder in base_folder().iterdir():
        abandoned = folder.name.rpartition("-")[0] in kinds and _age(folder) > _UNUSED_FOR
        if folder.name not in in_use and (folder.name in unused or abandoned):
            shutil.rmtree(folder, ignore_errors=True)


def _installation(marker: Path) -> str:
    """The part of a marker's name that stands for the package's folder, the interpreter and the processor."""
    return marker.name.split("-")[1]


def _age(path: Path) -> float:
    """[s] Since a file or folder was last changed."""
    return time.time() - path.stat().st_mtime
