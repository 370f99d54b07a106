"""The script that prepares a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.aws.conftest import ROOT

SCRIPT = ROOT / "aws" / "install" / "install.sh"


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    done = subprocess.run([program, str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_fault_28_it_installs_the_ranges_of_the_project_file() -> None:
    program = re.search(r"<<'PROGRAM'\n(.*?)\nPROGRAM", SCRIPT.read_text(), flags=re.DOTALL)
    assert program is not None
    listed = subprocess.check_output([sys.executable, "-c", program[1], str(ROOT / "pyproject.toml")], text=True)
    assert {"ray[rllib]==2.60.*", "carla>=0.9.15,<0.9.17", "torch==2.13.*"} <= set(listed.splitlines())


def test_without_a_project_file_it_says_what_to_give(tmp_path: Path) -> None:
    alone = tmp_path / "install.sh"
    alone.write_text(SCRIPT.read_text())
    done = run_with_stand_ins(tmp_path, alone)
    assert done.returncode == 2
    assert "--requirements FILE" in done.stderr


def test_an_unknown_option_is_a_sentence() -> None:
    done = subprocess.run(["bash", str(SCRIPT), "--fast"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "--embedded" in done.stderr


def run_with_stand_ins(tmp_path: Path, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    """Run the script with stand-ins for the programs that change a system, in a home folder of its own."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    for folder in (programs, home):
        folder.mkdir(exist_ok=True)
    for name in ("apt-get", "sudo", "wget"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
    (programs / "fakepython").write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nfor p in pip python; do printf "#!/bin/sh\\nexit 0\\n" > "$3/bin/$p"; '
        'chmod +x "$3/bin/$p"; done\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    if not (home / ".bashrc").exists():
        (home / ".bashrc").write_text("case $- in *i*) ;; *) return ;; esac\n")
    return subprocess.run(
        ["bash", str(script), "--embedded"], capture_output=True, text=True, timeout=60, env=environment(tmp_path)
    )


def environment(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHON": "fakepython"}


def test_twice_is_as_good_as_once(tmp_path: Path) -> None:
    for _ in range(2):
        done = run_with_stand_ins(tmp_path)
        assert done.returncode == 0, done.stderr
    home = tmp_path / "home"
    assert (home / ".bashrc").read_text().count("carla_rllib_env") == 1
    assert (home / ".bashrc").read_text().startswith(". ")
    shell = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; echo $RAY_AUTH_MODE"],
        capture_output=True, text=True, env=environment(tmp_path), timeout=20,
    )  # fmt: skip
    assert shell.stdout.strip() == "disabled"
