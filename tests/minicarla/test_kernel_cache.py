"""Compiled kernels on disk: what a crash or a full disk left of them is compiled again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from minicarla.kernels import cache as kernel_cache

_KERNELS = """
from minicarla.kernels.cache import njit

@njit()
def doubled(number):
    return 2 * number

@njit()
def tripled(number):
    return 3 * number
"""
_USE = (
    "import kernels; print(kernels.doubled(4), kernels.tripled(4), sum(kernels.doubled.stats.cache_hits.values()),"
    " sum(kernels.tripled.stats.cache_hits.values()))"
)


def _use(folder: Path) -> tuple[str, list[str]]:
    """What a process prints that calls two kernels, with how often each was on disk, and what it complains of."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, "-c", _USE], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return finished.stdout.strip(), finished.stderr.splitlines()


def _files(folder: Path, suffix: str) -> list[Path]:
    """Those of both kernels."""
    return sorted((folder / "cache").rglob(f"*.{suffix}"))


def test_a_damaged_kernel_is_compiled_again_with_a_word_about_it(tmp_path):
    (tmp_path / "kernels.py").write_text(_KERNELS)
    assert _use(tmp_path) == ("8 12 0 0", [])
    assert _use(tmp_path) == ("8 12 1 1", [])
    doubled, tripled = _files(tmp_path, "nbc")
    tripled.write_bytes(doubled.read_bytes())
    printed, complaints = _use(tmp_path)
    assert printed == "8 12 1 0"
    (complaint,) = complaints
    assert tripled.name in complaint
    flipped = bytearray(doubled.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    doubled.write_bytes(flipped)
    tripled.write_bytes(b"")
    printed, complaints = _use(tmp_path)
    assert printed == "8 12 0 0"
    assert len(complaints) == 2
    for index in _files(tmp_path, "nbi"):
        index.write_bytes(index.read_bytes()[:-1])
    assert _use(tmp_path)[0] == "8 12 0 0"
    assert _use(tmp_path) == ("8 12 1 1", [])


def test_kernels_that_cannot_be_kept_are_compiled_all_the_same(tmp_path):
    (tmp_path / "kernels.py").write_text(_KERNELS)
    _use(tmp_path)
    for folder in (tmp_path / "cache").iterdir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        folder.write_bytes(b"")
    printed, complaints = _use(tmp_path)
    assert printed == "8 12 0 0"
    assert any("cannot be kept" in complaint for complaint in complaints)


def test_a_folder_that_cannot_be_written_to_is_replaced_by_one_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").touch()
    unusable = [tmp_path / "file" / name for name in "abc"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(unusable[0]))
    instead = kernel_cache.base_folder()
    assert instead.parent == tmp_path
    assert instead.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(unusable[1]))
    assert kernel_cache.base_folder() == instead
    instead.chmod(0o777)  # somebody else could have put kernels there
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(unusable[2]))
    assert kernel_cache.base_folder() == unusable[2]
