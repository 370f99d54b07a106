"""The script that prepares a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.aws.conftest import ROOT

SCRIPT = ROOT / "aws" / "install" / "install.sh"


def ranges(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if re.match(r"[a-z]", line.strip())}


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck") or str(Path(sys.executable).with_name("shellcheck"))
    done = subprocess.run([program, str(SCRIPT)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_fault_28_it_installs_the_ranges_that_were_tried() -> None:
    tried = ranges((ROOT / "requirements.txt").read_text())
    listed = re.search(r"cat <<REQUIREMENTS\n(.*?)\nREQUIREMENTS", SCRIPT.read_text(), flags=re.DOTALL)
    assert listed is not None
    assert {"ray[rllib]==2.60.*", "carla==0.9.16"} <= ranges(listed.group(1)) <= tried
    assert ranges((ROOT / "dqn_example" / "dqn_requirements.txt").read_text()) <= tried


def test_an_unknown_option_is_a_sentence() -> None:
    done = subprocess.run(["bash", str(SCRIPT), "--fast"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "--embedded" in done.stderr


def test_twice_is_as_good_as_once(tmp_path: Path) -> None:
    """Run with stand-ins for the programs that change a system, in a home folder of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "sudo", "wget"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
    (programs / "fakepython").write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nfor p in pip python; do printf "#!/bin/sh\\nexit 0\\n" > "$3/bin/$p"; '
        'chmod +x "$3/bin/$p"; done\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text("case $- in *i*) ;; *) return ;; esac\n")
    environment = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "PYTHON": "fakepython"}
    for _ in range(2):
        done = subprocess.run(
            ["bash", str(SCRIPT), "--embedded"], capture_output=True, text=True, timeout=60, env=environment
        )
        assert done.returncode == 0, done.stderr
    assert (home / ".bashrc").read_text().count("carla_rllib_env") == 1
    assert (home / ".bashrc").read_text().startswith(". ")
    shell = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; echo $RAY_AUTH_MODE"], capture_output=True, text=True, env=environment, timeout=20
    )
    assert shell.stdout.strip() == "disabled"
