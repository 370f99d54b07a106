"""Commands and copies over SSH, with a remembered host key for each instance.

The user's own `~/.ssh/config` is honoured for the address (HostName, Port, User, ProxyCommand, ProxyJump), so a
bastion host works here as it does for `ssh`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import paramiko
from tqdm import tqdm

from aws.errors import AwsHelperError, RemoteCommandError
from aws.keys import KEY_FOLDER

CONNECT_TIMEOUT = 10.0  # [s] one attempt
FIRST_PAUSE = 1.0  # [s] between two attempts; doubles up to LONGEST_PAUSE
LONGEST_PAUSE = 8.0  # [s]


class RememberedHostKey(paramiko.MissingHostKeyPolicy):
    """Accepts an instance's host key once, writes it down, and refuses any other from then on."""

    def __init__(self, alias: str, file: Path) -> None:
        self.alias = alias
        self.file = file

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Called by paramiko, which itself knows no host key, at every connection."""
        remembered = paramiko.HostKeys(str(self.file)) if self.file.exists() else paramiko.HostKeys()
        entry = remembered.lookup(self.alias)
        if entry is None:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            remembered.add(self.alias, key.get_name(), key)
            remembered.save(str(self.file))
            return
        if not remembered.check(self.alias, key):
            raise AwsHelperError(
                f"The host key of {self.alias} ({hostname}) has changed: somebody may be in between. If you know why "
                f"it changed, remove the line of {self.alias} from {self.file} and connect again."
            )


class Connection:
    """One SSH connection; use it as a context manager.

    Args:
        address: Host name or address as EC2 tells it; looked up in `~/.ssh/config`.
        key_file: Private key.
        alias: Name under which the host key is remembered, the instance's id.
        user: Remote user, unless `~/.ssh/config` says another.
        timeout: Seconds until a connection must stand; a fresh instance refuses for a while.
        port: TCP port, unless `~/.ssh/config` says another.
    """

    def __init__(
        self, address: str, key_file: Path, alias: str, user: str = "ubuntu", timeout: float = 120.0, port: int = 22
    ) -> None:
        self.address = address
        self.port = port
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(RememberedHostKey(alias, KEY_FOLDER.expanduser() / "known_hosts"))
        self._jump: Connection | None = None
        self._connect(key_file, user, timeout)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and the one to a jump host."""
        self._client.close()
        if self._jump is not None:
            self._jump.close()

    def run(self, command: str, out: IO[str], err: IO[str]) -> None:
        """Runs a command, passing on what it prints line by line as it comes.

        Raises:
            RemoteCommandError: It ended with a non-zero status, or the connection broke.
        """
        transport = self._client.get_transport()
        assert transport is not None
        channel = transport.open_session()
        channel.exec_command(command)
        reader = threading.Thread(target=_pass_on, args=(channel.makefile_stderr("r"), err), daemon=True)
        reader.start()
        _pass_on(channel.makefile("r"), out)
        reader.join()
        status = channel.recv_exit_status()
        if status == -1:
            raise RemoteCommandError(f"The connection to {self.address} broke while '{command}' ran.", 255)
        if status != 0:
            raise RemoteCommandError(f"'{command}' on {self.address} ended with status {status}.", status)

    def put(self, source: Path, target: str, exclude: Iterable[str] = ()) -> int:
        """Copies a file or a folder to the remote machine.

        Args:
            source: Local file or folder.
            target: Remote path; a folder's content goes into it, a file goes under it if it ends in '/' or is a folder.
            exclude: Shell patterns of names or relative paths, at any depth, that stay behind.

        Returns:
            Number of files copied.
        """
        with _copying(self._client, f"to {self.address}") as sftp:
            target = _expand_home(sftp, target)
            files = list(_local_files(source, tuple(exclude)))
            single = source.is_file()
            if single and (target.endswith("/") or _is_remote_folder(sftp, target)):
                target = str(PurePosixPath(target) / source.name)
            made: set[str] = set()
            sizes = [path.stat().st_size for path, _ in files]
            for path, relative, show in _progress(files, sizes, f"to {self.address}"):
                remote = target if single else str(PurePosixPath(target) / relative)
                _make_remote_folders(sftp, str(PurePosixPath(remote).parent), made)
                sftp.put(str(path), remote, callback=show)
                sftp.chmod(remote, stat.S_IMODE(path.stat().st_mode))
        return len(files)

    def get(self, source: str, target: Path, exclude: Iterable[str] = ()) -> int:
        """Copies a file or a folder from the remote machine; the arguments mirror `put`."""
        with _copying(self._client, f"from {self.address}") as sftp:
            source = _expand_home(sftp, source)
            single = not _is_remote_folder(sftp, source)
            entries = list(_remote_files(sftp, source, tuple(exclude)))
            if single and target.is_dir():
                target = target / PurePosixPath(source).name
            files = [(Path(path), relative) for path, relative, _ in entries]
            for path, relative, show in _progress(files, [size for _, _, size in entries], f"from {self.address}"):
                local = target if single else target / relative
                local.parent.mkdir(parents=True, exist_ok=True)
                sftp.get(str(path), str(local), callback=show)
        return len(entries)

    def _connect(self, key_file: Path, user: str, timeout: float) -> None:
        settings = _ssh_config(self.address)
        deadline = time.monotonic() + timeout
        pause = FIRST_PAUSE
        while True:
            try:
                self._client.connect(
                    hostname=settings.get("hostname", self.address),
                    port=int(settings.get("port", self.port)),
                    username=settings.get("user", user),
                    key_filename=str(key_file),
                    look_for_keys=False,
                    allow_agent=False,
                    timeout=CONNECT_TIMEOUT,
                    banner_timeout=CONNECT_TIMEOUT,
                    auth_timeout=CONNECT_TIMEOUT,
                    sock=self._proxy(settings, key_file),
                )
                return
            except paramiko.AuthenticationException as error:
                self.close()
                raise AwsHelperError(
                    f"{self.address} refused the key {key_file} for the user '{settings.get('user', user)}': "
                    "name the key pair that the instance was made with (--key-name)."
                ) from error
            except AwsHelperError:
                self.close()
                raise
            except (paramiko.SSHException, OSError, EOFError) as error:
                self._client.close()
                if time.monotonic() + pause > deadline:
                    self.close()
                    raise AwsHelperError(
                        f"No SSH connection to {self.address} within {timeout:g} s ({error or type(error).__name__}): "
                        "does its security group let your address in, and does it run ('aws_helper.py info')?"
                    ) from error
            threading.Event().wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _proxy(self, settings: dict[str, Any], key_file: Path) -> Any:
        if "proxycommand" in settings:
            return paramiko.ProxyCommand(settings["proxycommand"])
        if "proxyjump" not in settings or settings["proxyjump"] == "none":
            return None
        if self._jump is None:
            self._jump = _jump_host(settings["proxyjump"].split(",")[-1], key_file)
        transport = self._jump._client.get_transport()
        assert transport is not None
        target = (settings.get("hostname", self.address), int(settings.get("port", self.port)))
        return transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0))


def _jump_host(description: str, key_file: Path) -> Connection:
    """The connection to `[user@]host[:port]`, by the identity that `~/.ssh/config` names for it, else by our key."""
    user, _, host = description.rpartition("@")
    host, _, port = host.partition(":")
    identities = (Path(path) for path in _ssh_config(host).get("identityfile", []))
    identity = next((path for path in identities if path.is_file()), key_file)
    user = user or os.environ.get("USER", "ubuntu")
    return Connection(host, identity, f"jump-{host}", user, CONNECT_TIMEOUT, int(port or 22))


def _ssh_config(host: str) -> dict[str, Any]:
    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    try:
        return dict(paramiko.SSHConfig.from_path(str(path)).lookup(host))
    except paramiko.ConfigParseError as error:
        raise AwsHelperError(f"{path} cannot be read: {error}.") from error


def _pass_on(stream: Any, sink: IO[str]) -> None:
    for line in stream:
        sink.write(line)
        sink.flush()


@contextlib.contextmanager
def _copying(client: paramiko.SSHClient, what: str) -> Iterator[paramiko.SFTPClient]:
    """An SFTP session whose failures are sentences."""
    try:
        sftp = client.open_sftp()
    except (paramiko.SSHException, EOFError) as error:
        raise AwsHelperError(f"Copying {what} is not possible: {error}.") from error
    try:
        yield sftp
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise AwsHelperError(
            f"Copying {what} stopped ({error or type(error).__name__}); what had arrived is still there: copy again."
        ) from error
    finally:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):  # the connection may be what broke
            sftp.close()


def excluded(relative: str, patterns: Iterable[str]) -> bool:
    """Whether a path, relative to the copied folder, fits one of the patterns as a whole or by one of its names."""
    parts = relative.split("/")
    return any(
        fnmatch.fnmatch(candidate, pattern.rstrip("/")) for pattern in patterns for candidate in (relative, *parts)
    )


def _local_files(source: Path, exclude: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    if source.is_file():
        yield source, source.name
        return
    if not source.is_dir():
        raise AwsHelperError(f"There is nothing to copy at {source}.")
    for folder, names, files in os.walk(source):
        base = Path(folder).relative_to(source).as_posix()
        prefix = "" if base == "." else f"{base}/"
        names[:] = sorted(name for name in names if not excluded(prefix + name, exclude))
        for name in sorted(files):
            if not excluded(prefix + name, exclude):
                yield Path(folder) / name, prefix + name


def _remote_files(sftp: paramiko.SFTPClient, source: str, exclude: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    try:
        status = sftp.stat(source)
    except FileNotFoundError as error:
        raise AwsHelperError(f"There is no {source} on the instance.") from error
    if not stat.S_ISDIR(status.st_mode or 0):
        yield source, PurePosixPath(source).name, status.st_size or 0
        return
    waiting = [""]
    while waiting:
        base = waiting.pop()
        for entry in sorted(sftp.listdir_attr(str(PurePosixPath(source) / base)), key=lambda item: item.filename):
            relative = f"{base}/{entry.filename}" if base else entry.filename
            if excluded(relative, exclude):
                continue
            if stat.S_ISDIR(entry.st_mode or 0):
                waiting.append(relative)
            elif stat.S_ISREG(entry.st_mode or 0):
                yield str(PurePosixPath(source) / relative), relative, entry.st_size or 0


def _progress(
    files: list[tuple[Path, str]], sizes: list[int], what: str
) -> Iterator[tuple[Path, str, Callable[[int, int], None]]]:
    with tqdm(total=sum(sizes), unit="B", unit_scale=True, desc=what, disable=None) as bar:
        for (path, relative), size in zip(files, sizes):
            start = bar.n
            yield path, relative, lambda done, _: bar.update(start + done - bar.n)  # noqa: B023
            bar.update(start + size - bar.n)


def _is_remote_folder(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        return stat.S_ISDIR(sftp.stat(path).st_mode or 0)
    except FileNotFoundError:
        return False


def _make_remote_folders(sftp: paramiko.SFTPClient, folder: str, made: set[str]) -> None:
    if folder in made or folder in ("", ".", "/"):
        return
    _make_remote_folders(sftp, str(PurePosixPath(folder).parent), made)
    if not _is_remote_folder(sftp, folder):
        sftp.mkdir(folder)
    made.add(folder)


def _expand_home(sftp: paramiko.SFTPClient, path: str) -> str:
    """SFTP knows no '~'; relative paths start in the user's home anyway."""
    if path == "~" or path.startswith("~/"):
        return str(PurePosixPath(sftp.normalize(".")) / path[2:])
    return path


def quoted(arguments: Iterable[str]) -> str:
    """Arguments as one string for the remote shell."""
    return " ".join(shlex.quote(argument) for argument in arguments)
