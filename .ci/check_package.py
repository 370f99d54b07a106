"""Checks what `python3 -m build` made: nothing of the repository is missing, and what is installed works.

    python3 .ci/check_package.py DIST

The wheel is installed in a virtual environment of its own, which shares the packages of the one that this runs in.
It is also installed, with what it needs, for each other supported Python that is found. With Python 3.10 that is CARLA
0.9.15, whose client has no other; the compliance suite and the tests of the bird view and of the quickstart's
environment are run with it, too. Nothing is trained there: torch is not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from pythons import SUPPORTED, find_python

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dqn_example", "minicarla", "ppo_example", "rl_example", "rllib_integration")
MADE = ("PKG-INFO", "setup.cfg", "rllib_integration.egg-info")
"""What the source distribution has beside the repository's files."""

OLDER_CLIENT = {"3.10": "carla==0.9.15"}
"""What is installed with some Pythons in place of the newest client, and tried out by `SUITE`."""

SUITE = ("tests/compliance", "tests/sensors/test_bird_view.py", "tests/dqn_example/test_dqn_experiment.py")
SUITE_NEEDS = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")

COMMANDS = (
    ("carla-rllib", "--version"),
    ("carla-rllib", "configs", "quickstart"),
    ("minicarla", "--help"),
    ("python", "-c", "import rllib_integration; print(rllib_integration.__file__)"),
)


def main(dist: Path) -> None:
    """Check the one wheel and the one source distribution of a folder.

    Raises:
        SystemExit: With the files that are missing, or that should not be there.
        subprocess.CalledProcessError: A command of the installed package failed.
    """
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    tracked = set(git_files())
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    visible = {name for name in tracked if not name.startswith(".")}  # the others serve the repository's host
    compare(source.name, {name for name in names if not name.startswith((".", *MADE))}, visible)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    compare(wheel.name, names, {name for name in tracked if name.startswith(tuple(f"{name}/" for name in PACKAGES))})
    try_out(wheel)
    for version in SUPPORTED:
        if version != f"3.{sys.version_info.minor}":
            try_out_on(version, wheel)


def try_out_on(version: str, wheel: Path) -> None:
    """Install a wheel with all that it requires for another Python, where both can be had, and run it."""
    python = find_python(version)
    if python is None:
        print(f"There is no Python {version} here: the package is not tried with it.", flush=True)
        return
    needed = [str(wheel)]
    if version in OLDER_CLIENT:
        needed += [OLDER_CLIENT[version], *suite_requirements()]
    print(f"{' '.join([wheel.name, *needed[1:2]])} on Python {version}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch, "venv")
        subprocess.run([python, "-m", "venv", environment], check=True)
        programs = environment / "bin"
        pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needed]
        if subprocess.run(pip, check=False).returncode != 0:
            print(
                f"What it needs cannot be had for Python {version} here: the package is not tried with it.", flush=True
            )
            return
        run_commands(programs, Path(scratch))
        if version in OLDER_CLIENT:
            suite = [programs / "python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile"]
            subprocess.run([*suite, *SUITE], cwd=ROOT, check=True)


def suite_requirements() -> Iterable[str]:
    """The lines of the tests' requirements that `SUITE` needs."""
    lines = Path(ROOT, "tests", "requirements.txt").read_text(encoding="utf-8").splitlines()
    return (line for line in lines if line.split(">=")[0] in SUITE_NEEDS)


def git_files() -> Iterable[str]:
    """Paths of the repository's files, those without which only git would do left out."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return (name for name in listed.splitlines() if Path(name).name != ".gitignore" and (ROOT / name).exists())


def compare(archive: str, found: set[str], expected: set[str]) -> None:
    """Compare an archive's files with those that it should have."""
    faults = [f"lacks {name}" for name in sorted(expected - found)]
    faults += [f"has {name}, which is not in the repository" for name in sorted(found - expected)]
    if faults:
        raise SystemExit("\n".join([f"{archive} (see MANIFEST.in):", *faults]))


def try_out(wheel: Path) -> None:
    """Install a wheel in a virtual environment, and run it from a folder without a copy of the repository."""
    with tempfile.TemporaryDirectory() as scratch:
        environment, elsewhere = Path(scratch, "venv"), Path(scratch, "elsewhere")
        elsewhere.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        programs, python = environment / "bin", environment / "bin" / "python"
        ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
        library = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        Path(library, "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
        subprocess.run(pip, check=True)
        answer = run_commands(programs, elsewhere)
        if not answer.startswith(library):
            raise SystemExit(f"{answer.strip()} was run instead of the wheel.")


def run_commands(programs: Path, folder: Path) -> str:
    """Run `COMMANDS` from a folder; return what the last one printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for program, *arguments in COMMANDS:
        command = [programs / program, *arguments]
        answer = subprocess.run(command, cwd=folder, env=clean, stdout=subprocess.PIPE, text=True, check=True).stdout
    return answer


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
