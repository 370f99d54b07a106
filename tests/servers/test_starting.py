"""A start ends in a server that answers a client, or in an error that says what happened."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import carla
import pytest

from rllib_integration.processes.health import Health
from rllib_integration.servers import (
    ServerSettings,
    ServerSettingsError,
    ServerStartError,
    ServerVersionError,
    create_server,
    is_port_free,
    lease_port_block,
    placement,
    started_server,
    starting,
)
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.conftest import ServerFactory
from tests.servers.stand_ins import ANSWERING, make_install


def command_line(log_path: Path | None) -> str:
    return next(line for line in present(log_path).read_text().splitlines() if line.startswith("arguments:"))


def test_a_started_server_answers_a_client_on_its_leased_port(new_server: ServerFactory) -> None:
    server = new_server()
    server.start()
    client = carla.Client(server.host, server.port)
    client.set_timeout(PATIENCE)
    assert client.get_server_version() == server.version == "0.9.16"
    assert server.exit_status() is None
    assert str(server.log_path) in server.describe()


def test_stopping_twice_is_fine(new_server: ServerFactory) -> None:
    server = new_server()
    server.start()
    port = server.port
    server.stop()
    server.stop()
    assert server.exit_status() is not None
    assert is_port_free(port)


def test_a_stopped_server_can_be_started_again(new_server: ServerFactory) -> None:
    server = new_server()
    server.start()
    server.stop()
    server.start()
    assert server.exit_status() is None


def test_a_crash_at_the_start_is_told_at_once_with_signal_log_lines_and_log_path(new_server: ServerFactory) -> None:
    server = new_server("crashes", start_timeout=600)
    with pytest.raises(ServerStartError) as caught:
        server.start()
    text = str(caught.value)
    assert "signal 11 (SIGSEGV)" in text
    assert "no Vulkan device" in text
    assert str(server.log_path) in text


def test_garbage_in_the_log_does_not_reach_the_terminal(new_server: ServerFactory) -> None:
    with pytest.raises(ServerStartError, match="exit status 7") as caught:
        new_server("talks_nonsense").start()
    assert all(character.isprintable() or character in "\n\t" for character in str(caught.value))
    assert len(str(caught.value)) < 20000


def test_a_server_that_never_answers_is_ended_after_the_start_timeout(new_server: ServerFactory) -> None:
    server = new_server("never_answers", start_timeout=0.5)
    with pytest.raises(ServerStartError, match=r"no answer within \d+\.\d s.*start_timeout"):
        server.start()
    assert server.exit_status() is not None


def test_a_server_that_takes_its_time_is_waited_for(new_server: ServerFactory) -> None:
    server = new_server("takes_its_time")
    server.start()
    assert server.version == "0.9.16"


def test_a_program_that_listens_but_stays_silent_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        section = {"kind": "external", "port": listener.getsockname()[1], "start_timeout": 0.5}
        with pytest.raises(
            ServerStartError, match=r"within \d+\.\d s \(a client that asks.*names its host and RPC port"
        ):
            create_server({"server": section}).start()


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(200, 256)), b"\x94\x01"],
    ids=["ssh", "http", "bytes", "half an answer"],
)
def test_another_kind_of_server_gets_a_sentence_and_no_client_which_would_end_the_process(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        section = {"kind": "external", "port": listener.getsockname()[1], "start_timeout": PATIENCE}
        with pytest.raises(ServerStartError, match=r"is no CARLA server: asked for its version, it answered b'"):
            create_server({"server": section}).start()
        thread.join()


def test_a_log_folder_that_cannot_be_made_gets_a_sentence(new_server: ServerFactory) -> None:
    with pytest.raises(ServerSettingsError, match=r"/dev/null/logs for the servers' logs can't be made: .*log_folder"):
        new_server(log_folder="/dev/null/logs").start()


def test_another_version_gets_a_sentence_and_can_be_allowed(new_server: ServerFactory) -> None:
    with pytest.raises(ServerVersionError, match=r"is CARLA 0\.9\.15, but the installed client is carla 0\.9\.16"):
        new_server(extra_arguments=["--version", "0.9.15"]).start()
    server = new_server(extra_arguments=["--version", "0.9.15"], ignore_version=True)
    server.start()
    assert server.version == "0.9.15"


def test_builds_of_the_clients_release_are_its_version(new_server: ServerFactory) -> None:
    server = new_server(extra_arguments=["--version", "0.9.16-21-gabcdef-dirty"])
    server.start()
    assert server.version == "0.9.16-21-gabcdef-dirty"


def test_a_port_taken_after_the_lease_costs_another_attempt(new_server: ServerFactory, monkeypatch) -> None:
    lease = lease_port_block()
    leases = iter([lease])
    monkeypatch.setattr(started_server, "lease_port_block", lambda: next(leases, None) or lease_port_block())
    monkeypatch.setattr(starting, "_QUESTION_SECONDS", 0.2)
    server = new_server()
    with socket.create_server(("127.0.0.1", lease.first)):
        server.start()
    assert server.port != lease.first
    assert server.version == "0.9.16"


def test_a_start_can_be_cancelled_from_another_thread(new_server: ServerFactory) -> None:
    server = new_server("never_answers", start_timeout=600)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except ServerStartError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while server.pid is None and time.monotonic() < deadline:
        thread.join(0.01)
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_a_server_answers_until_it_freezes_or_dies(new_server: ServerFactory) -> None:
    frozen, dead = new_server(extra_arguments=["--freeze-after", "3"]), new_server()
    for server in (frozen, dead):
        server.start()
        assert server.answers()
    os.kill(present(dead.pid), signal.SIGKILL)
    dead.wait_for_exit(PATIENCE)
    assert not frozen.answers(0.3)
    assert not dead.answers()


def test_fault_5_a_killed_servers_obituary_names_the_signal(new_server: ServerFactory) -> None:
    server = new_server(server=ANSWERING)
    server.start()
    os.kill(present(server.pid), signal.SIGKILL)
    assert server.wait_for_exit(PATIENCE) == -signal.SIGKILL
    assert "signal 9 (SIGKILL)" in server.exit_report()


@pytest.mark.parametrize("name", ["CarlaUE4.sh", "CarlaUnreal.sh"])
def test_auto_takes_the_installation_of_carla_root_also_with_spaces(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARLA_ROOT", str(make_install(tmp_path / "my CARLA 0.9 (new)", "works", name=name)))
    server = create_server({"server": {"log_folder": str(tmp_path)}})
    assert server.kind == "packaged"
    try:
        server.start()
        assert server.version == "0.9.16"
    finally:
        server.stop()


def test_auto_without_carla_root_is_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    assert create_server({}).kind == "embedded"


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ("", "CARLA_ROOT is empty"),
        ("/no/such/folder", "'/no/such/folder', which is not a folder"),
        ("EMPTY", "holds neither CarlaUE4.sh nor CarlaUnreal.sh"),
    ],
)
def test_a_useless_carla_root_gets_a_sentence(
    root: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARLA_ROOT", str(tmp_path) if root == "EMPTY" else root)
    with pytest.raises(ServerSettingsError, match=sentence):
        create_server({}).start()


def test_fault_6_a_missing_carla_root_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    with pytest.raises(ServerSettingsError, match="CARLA_ROOT is not set"):
        create_server({"server": "packaged"}).start()


def test_fault_6_carla_is_told_to_render_off_screen_on_the_gpu_asked_for(
    new_server: ServerFactory, monkeypatch
) -> None:
    monkeypatch.setattr(placement, "gpu_memory_in_use", lambda: {0: 900, 1: 100})
    server = new_server(gpu=1, extra_arguments=["-prefernvidia"])
    server.start()
    told = command_line(server.log_path)
    expected = ["-RenderOffScreen", "-nosound", "-quality-level=Low", "-graphicsadapter=1", "-prefernvidia"]
    expected += [f"-carla-streaming-port={server.port + 1}", f"-carla-secondary-port={server.port + 2}"]
    assert [word for word in expected if f"'{word}'" not in told] == []
    assert "-opengl" not in told  # gone since CARLA 0.9.12


def test_fault_5_no_shell_takes_an_argument_apart(new_server: ServerFactory, tmp_path: Path) -> None:
    argument = f'-ini:[/Script/Engine]:a="b c"; touch {tmp_path}/harm $HOME *'
    server = new_server(extra_arguments=[argument])
    server.start()
    assert repr(argument) in command_line(server.log_path)
    assert not (tmp_path / "harm").exists()


def test_carla_is_told_to_open_a_window_of_the_size_asked_for(new_server: ServerFactory) -> None:
    server = new_server(show_display=True)
    server.start()
    told = command_line(server.log_path)
    assert "-RenderOffScreen" not in told
    assert all(f"'{word}'" in told for word in ("-windowed", "-ResX=600", "-ResY=600"))


def test_a_town_is_fetched_where_its_user_can_read_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("CARLA_ROOT", raising=False)
    server = create_server({"server": {"kind": "embedded"}})
    with pytest.raises(ServerSettingsError, match="Three ways out"):
        server.prepare_town("Carla/Maps/Town07_Opt")
    assert "Computer Vision Center" in capsys.readouterr().err
    server.prepare_town("Minitown")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("held", [True, False], ids=["another compiles", "it compiles"])
def test_whoever_waits_for_a_first_start_is_told_what_the_server_does(
    new_server: ServerFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    held: bool,
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # where no kernel has been compiled yet
    monkeypatch.setattr(starting, "_TOLD_AFTER", 0.0)
    server = new_server(kind="embedded", start_timeout=120)
    with (tmp_path / "compiling.lock").open("w") as lock, ThreadPoolExecutor(1) as pool:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        start = pool.submit(server.start)
        expected = "it waits for another server that compiles" if held else "it compiles its kernels, once on this"
        told = ""
        while f"is not ready yet: {expected}" not in told and not start.done():
            with contextlib.suppress(TimeoutError):
                start.exception(0.1)
            told += capfd.readouterr().err
        server.stop()
        assert isinstance(start.exception(), ServerStartError)
    assert f"is not ready yet: {expected}" in told


def test_a_process_with_many_descriptors_has_servers_too(new_server: ServerFactory) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, 2048), most))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (allowed, most))
        for _ in range(1100):  # select() knows descriptors up to 1023 only
            stack.enter_context(open(os.devnull))
        server = new_server()
        server.start()
        server.stop()
    assert server.exit_status() is not None


def test_a_server_that_is_stopped_while_it_starts_is_noticed_long_before_its_bound(new_server: ServerFactory) -> None:
    server = new_server(start_timeout=600, hang_after=0.2, extra_arguments=["--freeze-after", "1"])
    with pytest.raises(ServerStartError, match=r"will never be ready: a process of it was stopped \(SIGSTOP"):
        server.start()


class StartingServer:
    """A server that never answers, seen through what it says and does."""

    settings = ServerSettings(start_timeout=10.0)
    log_path = None
    kind, host, port = "embedded", "127.0.0.1", 2000

    def __init__(self, doing: str, seconds_of_work: float) -> None:
        self._doing, self._seconds, self._now = doing, seconds_of_work, 0.0

    def describe(self) -> str:
        return "server"

    def start_seconds(self) -> float:
        return 10.0

    closed_seconds = start_seconds

    def doing_at_start(self) -> str:
        return self._doing

    def log_tail(self) -> str:
        return ""

    def monotonic(self) -> float:
        return self._now

    def health(self) -> Health:
        return Health(min(self._now, self._seconds), active=False, stopped=False)

    def wait_until_given_up(self) -> str:
        server: Any = self
        patience = starting._Patience(server)
        try:
            while True:
                self._now += min(1.0, patience.remaining("silent"))
        except ServerStartError as error:
            return str(error)


@pytest.mark.parametrize(
    ("doing", "seconds_of_work", "expected"),
    [
        ("", 99.0, "no answer within 10.0 s (silent)"),
        ("it loads Town05", 15.0, "no answer within 30.0 s (it loads Town05)"),
        ("it loads Town05", 99.0, "no answer within 50.0 s (it loads Town05)"),
        ("it waits for another server that compiles", 0.0, "no answer within 50.0 s (it waits for another"),
    ],
)
def test_a_server_that_is_at_it_gets_more_time_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, doing: str, seconds_of_work: float, expected: str
) -> None:
    server = StartingServer(doing, seconds_of_work)
    monkeypatch.setattr(starting, "time", server)
    assert expected in server.wait_until_given_up()
