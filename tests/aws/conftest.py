"""AWS is moto's server over HTTP; the instances are one SSH server on loopback, reached through `~/.ssh/config`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest

from aws import aws_helper, utils
from minicarla.kernels.cache import base_folder
from minicarla.parent_death import set_parent_death_signal
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"
CIDR = "203.0.113.7/32"


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a moto server that lives as long as the test session."""
    with moto_server(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@contextlib.contextmanager
def moto_server(log: Path, **settings: str) -> Iterator[str]:
    """A moto server and its address; `settings` are variables of its environment."""
    port = free_port()
    environment = os.environ | settings
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    ends_with_us = partial(set_parent_death_signal, signal.SIGTERM)
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment, preexec_fn=ends_with_us) as server,
    ):
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    server.kill()
                    pytest.fail(f"moto's server did not come up: {log.read_text()[-2000:]}")
                time.sleep(0.1)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture
def aws(moto_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An EC2 client of an empty region, and a home folder of its own."""
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "NUMBA_CACHE_DIR": str(base_folder()),  # compiled kernels are the machine's, not this home's
        "HOME": str(home),
        "AWS_ENDPOINT_URL": moto_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{moto_endpoint}/moto-api/reset", method="POST")).close()
    return boto3.client("ec2")


@dataclass
class Result:
    """What one run of the program gave."""

    status: int
    out: str
    err: str


@pytest.fixture
def helper(aws: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `aws_helper.py` as its command line does, in this process, where boto3 is already loaded."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    # moto's instances change their state between two looks, not with time.
    monkeypatch.setattr(utils, "WAIT_INTERVAL", 0.1)

    def run(*words: str, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        try:
            status = aws_helper.main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capfd.readouterr()
        return Result(status, out, err)

    return run


@pytest.fixture
def image(aws: Any) -> str:
    """Id of one of the machine images that moto knows; listing them all takes it a second."""
    return "ami-12c6146b"


class SshServer:
    """A real SSH server on loopback: commands run in a folder of the test, files come and go by SFTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.commands: list[str] = []
        self.authorized_keys: Path | None = None
        self.break_after_bytes: int | None = None
        self.environment: dict[str, str] = {}
        self.own_file_system = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: Any = None

    def start(self) -> None:
        """Listens with a new host key."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    def stop(self) -> None:
        """Closes every connection and the listener."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)

    def close(self) -> None:
        """Ends the thread too."""
        self.stop()
        asyncio.run_coroutine_threadsafe(self._end_tasks(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _start(self) -> None:
        owner = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
                self.connection = connection

            def begin_auth(self, username: str) -> bool:
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                if owner.authorized_keys is None:
                    return True
                allowed = asyncssh.read_private_key(str(owner.authorized_keys))
                return bool(key.public_data == allowed.public_data)

            def connection_requested(self, host: str, port: int, origin: str, origin_port: int) -> bool:
                return host == "127.0.0.1"

        class Sftp(asyncssh.SFTPServer):
            def __init__(self, channel: asyncssh.SSHServerChannel) -> None:
                super().__init__(channel, chroot=str(owner.folder).encode())
                self.received = 0

            async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
                self.received += len(data)
                if owner.break_after_bytes is not None and self.received > owner.break_after_bytes:
                    self.connection.abort()
                file_obj.seek(offset)
                return int(file_obj.write(data))

        self._server = await asyncssh.create_server(
            Server,
            "127.0.0.1",
            self.port,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=self._run,
            sftp_factory=Sftp,
            encoding=None,
        )

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        self.commands.append(command)
        if self.own_file_system:
            # The copied scripts lie under the SFTP root, which stands for the instance's file system.
            command = command.replace("/tmp/", f"{self.folder}/tmp/")
        child = await asyncio.create_subprocess_shell(
            command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=self.folder, env=os.environ | {"HOME": str(self.folder)} | self.environment, start_new_session=True,
        )  # fmt: skip
        outputs = [_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr)]
        feeding = asyncio.ensure_future(_feed(process.stdin, child.stdin))
        try:
            await asyncio.gather(*outputs)
            process.exit(await child.wait())
        finally:
            feeding.cancel()
            assert child.stdin is not None
            child.stdin.close()
            if child.returncode is None:  # the session was cut off; its pipes would outlive the loop
                os.killpg(child.pid, signal.SIGKILL)
                await child.wait()


async def _pump(source: Any, sink: Any) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


async def _feed(source: Any, sink: Any) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


@pytest.fixture
def ssh_server(aws: Any, tmp_path: Path) -> Iterator[SshServer]:
    """The machine behind every instance, whatever public address moto invents for it."""
    folder = tmp_path / "instance"
    (folder / "tmp").mkdir(parents=True)
    server = SshServer(folder)
    server.start()
    config = Path(os.environ["HOME"]) / ".ssh" / "config"
    config.parent.mkdir(mode=0o700)
    config.write_text(f"Host *\n  HostName 127.0.0.1\n  Port {server.port}\n")
    yield server
    server.close()
