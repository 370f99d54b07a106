"""The server as a program: options, refusals, its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from minicarla.command_line import UsageError, parse_arguments
from tests.patience import PATIENCE
from tests.ports import free_port_pair

_REPOSITORY = Path(__file__).resolve().parents[2]


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minicarla", *options],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def test_carla_launch_options_are_understood_or_accepted():
    options = parse_arguments(
        ["-carla-rpc-port=3000", "-carla-streaming-port=3005", "-RenderOffScreen", "-nosound", "-quality-level=Low",
         "-ResX=800", "-ResY=600", "-windowed", "-fps=20", "-benchmark"]
    )  # fmt: skip
    assert (options.rpc_port, options.streaming_port, options.frame_rate, options.benchmark) == (3000, 3005, 20.0, True)


def test_a_wrong_spelling_of_what_has_no_effect_stops_no_program():
    options = parse_arguments(
        ["-quality_level=Low", "-quality-level", "Low", "-opengl4", "-RenderOffscren", "-benchmark", "-fps=15",
         "-carla-world-port=3000"]
    )  # fmt: skip
    assert (options.rpc_port, options.frame_rate, options.benchmark, options.town) == (3000, 15.0, True, None)


@pytest.mark.parametrize("name", ["/Game/Carla/Maps/Town03", "Town03"])
def test_a_map_may_be_the_first_argument(name):
    assert parse_arguments([name, "-carla-rpc-port=3000"]).town == name


def test_carla_options_may_have_two_dashes_as_unreal_puts_up_with_them():
    options = parse_arguments(
        ["-windowed", "-ResX=600", "--carla-rpc-port=18204", "-quality-level=Low", "--no-rendering",
         "--RenderOffScreen", "--fps=20", "-ini:[/Script/Engine.RendererSettings]:r.GraphicsAdapter=2", "-dx11"]
    )  # fmt: skip
    assert (options.rpc_port, options.frame_rate) == (18204, 20.0)


def test_the_value_of_an_option_may_be_a_word_of_its_own():
    words = ["--recordings-folder", "/tmp/of records", "--town-folder", "/tmp/towns", "Town03", "--rpc-port", "3000"]
    options = parse_arguments([*words[:4], "--town", *words[4:]])
    assert (options.recordings_folder, options.town_folder, options.town) == ("/tmp/of records", "/tmp/towns", "Town03")
    assert options.rpc_port == 3000


def test_several_options_in_one_argument_are_taken_apart():
    options = parse_arguments(
        ["/Game/Carla/Maps/Town01", "-windowed", "-ResX=", "800", "-ResY=", "600", "-benchmark -fps=20",
         "-carla-server", "-carla-world-port=3000 -carla-streaming-port=0"]
    )  # fmt: skip
    assert (options.town, options.rpc_port, options.streaming_port) == ("/Game/Carla/Maps/Town01", 3000, 0)
    assert (options.frame_rate, options.benchmark) == (20.0, True)


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("-carla-rpc-prt=1", "-carla-rpc-port"),
        ("-Benchmarc", "-benchmark"),
        ("--quality-levle=Low", "-quality-level"),
        ("--twon=x", "--town"),
        ("-ros2", "ROS 2"),
        ("--rpc-port=70000", "65534"),
        ("--host=", "IPv4"),
        ("--host=::1", "IPv4"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_right(argument, hint):
    with pytest.raises(UsageError, match=hint):
        parse_arguments([argument])


def _is_one_sentence(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


def test_a_busy_port_is_a_sentence_and_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _run(f"-carla-rpc-port={port}")
    assert result.returncode == 1
    assert _is_one_sentence(result.stderr)
    assert str(port) in result.stderr


def test_ports_are_taken_before_anything_heavy_is_imported_and_open_when_answers_come():
    program = """
import socket, sys
from minicarla import command_line
from minicarla.protocol.connection import open_port

for bound in command_line._bind_ports(command_line.parse_arguments(["-carla-rpc-port=0"])):
    try:
        socket.create_connection(bound.getsockname())
    except ConnectionRefusedError:
        socket.create_connection(open_port(bound).getsockname()).close()
        print("refused, open")
print(sorted({"carla", "numba", "numpy"} & set(sys.modules)))
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=_REPOSITORY, capture_output=True, text=True, timeout=PATIENCE
    )  # fmt: skip
    assert finished.stdout == "refused, open\nrefused, open\n[]\n", finished.stderr


def test_an_unknown_town_is_a_sentence_also_where_nothing_is_compiled_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    result = _run("-carla-rpc-port=0", "--town=Twon05")
    assert result.returncode == 1
    assert _is_one_sentence(result.stderr)
    assert "Town05" in result.stderr


def test_a_service_without_a_home_starts(monkeypatch):
    monkeypatch.delenv("HOME")
    result = _run("--fetch-town=Minitown")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_at_once(start_server, number):
    server = start_server()
    server.process.send_signal(number)
    assert server.process.wait(PATIENCE) == 0


def test_a_signal_right_after_the_first_line_is_not_lost():
    for _ in range(5):
        command = [sys.executable, "-m", "minicarla", "-carla-rpc-port=0"]
        process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert any(line.startswith(b"listening") for line in process.stdout)
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_the_server_ends_with_its_parent():
    port = free_port_pair()
    starter = (
        "import os, subprocess, sys, time;"
        f"p = subprocess.Popen([sys.executable, '-m', 'minicarla', '-carla-rpc-port={port}',"
        " f'--parent-pid={os.getpid()}'], stdout=subprocess.PIPE);"
        "print(p.pid, p.stdout.readline(), flush=True);"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline().split()[0]))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=PATIENCE)
    assert not alive


def test_a_parent_that_does_not_run_is_refused():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    result = _run("-carla-rpc-port=0", f"--parent-pid={gone.pid}")
    assert result.returncode == 1
    assert _is_one_sentence(result.stderr)


def test_it_listens_on_loopback_only(start_server):
    server = start_server()
    addresses = {c.laddr.ip for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}
    assert server.stop() == 0
