"""How programs of this library end: their exit statuses, and what they say about an exception."""

from __future__ import annotations

import json
import linecache
import os
import re
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rllib_integration.errors import IntegrationError

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C."""

TERMINATED = 128 + signal.SIGTERM
"""Exit status after SIGTERM."""

_PACKAGE = Path(__file__).resolve().parent
_FRAME = re.compile(r'^ *File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)', re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_NOT_THE_USERS = tuple(
    f"{Path(folder).resolve()}{os.sep}"
    for folder in (str(_PACKAGE), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
)


@dataclass(frozen=True)
class Failure:
    """What the user is told about an exception.

    Attributes:
        message: A sentence, or the exception's class and message.
        place: File, line and function of the user's own code that raised it, and the line itself; empty if unknown,
            or where the message is a sentence of this library's.
        traceback: All of it; empty where the message is a sentence of this library's.
    """

    message: str
    place: str = ""
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception, or the one behind it where Ray or RLlib wrapped it in its own."""
        error = original_error(error)
        message = " ".join(str(error).split())
        if isinstance(error, IntegrationError):
            return cls(message)
        text = _COLOUR.sub("", "".join(traceback.format_exception(error)) + getattr(error, "traceback_str", ""))
        named = f"{type(error).__name__}: {message}" if message else type(error).__name__
        return cls(named, _users_place(text), text)

    @classmethod
    def from_json(cls, text: str) -> Failure:
        """The failure that `to_json` wrote, in this process or another."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """The failure as JSON."""
        return json.dumps(asdict(self))


class UserCodeFailure(Exception):
    """An exception of the user's own code in another process, with what is known of it.

    Args:
        failure: Its description.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)  # from which Ray, which copies exceptions, makes it anew
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.message


def exit_status_of(work: Callable[[], int], interrupted: str = "") -> int:
    """Run a command's work; an error and Ctrl-C become a sentence and an exit status.

    Args:
        work: Returns the exit status.
        interrupted: Printed to the standard error after Ctrl-C.

    Returns:
        That of `work`, 130 after Ctrl-C, 1 after an error.
    """
    try:
        return work()
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return report_failure(error)


def report_failure(error: BaseException, folder: Path | None = None) -> int:
    """Say on stderr what went wrong; the traceback of an exception that is not this library's goes into a file.

    Args:
        error: The exception.
        folder: Gets the file `error.log`; a temporary file is used where it does not exist or can't be written to.

    Returns:
        The exit status, 1.
    """
    failure = error.failure if isinstance(error, UserCodeFailure) else Failure.of(error)
    lines = [f"Error: {failure.message}"]
    if failure.place:
        lines.append(failure.place)
    if failure.traceback:
        lines.append(f"The traceback is in {_write_traceback(failure.traceback, folder)}")
    print("\n".join(lines), file=sys.stderr, flush=True)
    return 1


def original_error(error: BaseException) -> BaseException:
    """What the user's code raised: Ray keeps it as `cause`, and RLlib raises a RuntimeError without a word from it."""
    while True:
        inner = getattr(error, "cause", None) if hasattr(error, "as_instanceof_cause") else None
        if inner is None and type(error) is RuntimeError and not str(error):
            inner = error.__cause__
        if not isinstance(inner, BaseException) or inner is error:
            return error
        error = inner


def is_users_file(file: str) -> bool:
    """Whether a source file belongs to neither this library nor an installed package."""
    return not file.startswith("<") and not str(Path(file).resolve()).startswith(_NOT_THE_USERS)


def _users_place(text: str) -> str:
    """The innermost frame of a traceback's text that lies in neither this library nor an installed package."""
    for frame in reversed(list(_FRAME.finditer(text))):
        file = frame["file"]
        if is_users_file(file):
            place = f"  {file}, line {frame['line']}, in {frame['function']}"
            source = linecache.getline(file, int(frame["line"])).strip()
            return f"{place}\n    {source}" if source else place
    return ""


def _write_traceback(text: str, folder: Path | None) -> Path:
    if folder is not None and folder.is_dir():
        try:
            file = folder / "error.log"
            file.write_text(text, encoding="utf-8")
            return file
        except OSError:  # the folder may be what the error is about
            pass
    descriptor, name = tempfile.mkstemp(prefix="carla_rllib_error_", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(text)
    return Path(name)
