"""Runs a program so that nothing it starts outlives it, however it ends.

Ray starts a dozen processes, some in sessions of their own, and a killed driver leaves several of them
behind for minutes. `run_guarded` puts two small processes around the work:

    the command the user typed -> guard -> the work -> whatever the work starts

Both adopt orphans (`PR_SET_CHILD_SUBREAPER`), so no process below them can hide. The guard ends everything
below it when the work ends or when the command is gone, SIGKILL included; the command does the same should
the guard be killed. Signals that the command receives are passed on to the work once. A scratch folder, named
in the environment variable `SCRATCH_VARIABLE`, is removed when all are gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn

from rllib_integration.processes.supervisor import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    descendants,
    is_supervisor,
    prctl,
)

SCRATCH_VARIABLE = "RLLIB_INTEGRATION_SCRATCH"
_PARENT_IS_GONE = signal.SIGUSR1
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCHED = (*_PASSED_ON, signal.SIGCHLD, _PARENT_IS_GONE)
_TERMINATION_SECONDS = 1.5
_SUPERVISORS_SECONDS = 5.0
_KILL_SECONDS = 3.0


def run_guarded(work: Callable[[], int]) -> int:
    """Run `work` in a process of its own and end everything that it leaves behind.

    Call it before threads are started and before heavy packages are imported: it forks. On systems without
    Linux' process control, `work` simply runs here.

    Args:
        work: What to do; its return value is the exit status.

    Returns:
        The exit status of `work`, or 128 plus the number of the signal that ended it.
    """
    if not sys.platform.startswith("linux"):
        return work()
    sys.stdout.flush()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    command = os.getpid()
    # Ray puts sockets there, whose whole path may have about 100 characters: the folder's name is kept short.
    scratch = os.environ[SCRATCH_VARIABLE] = tempfile.mkdtemp(prefix="carla-ray-", dir="/tmp")
    guard = os.fork()
    if guard == 0:
        _be_the_guard(command, scratch, work)
    status = _wait_for(guard)
    shutil.rmtree(scratch, ignore_errors=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    return status


def _be_the_guard(command: int, scratch: str, work: Callable[[], int]) -> NoReturn:
    os.setsid()  # a Ctrl-C in the terminal goes to the command, which passes it on
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    _die_with_parent(_PARENT_IS_GONE, command)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        _do_the_work(guard, work)
    status = _wait_for(child)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(status)


def _do_the_work(guard: int, work: Callable[[], int]) -> NoReturn:
    os.setpgid(0, 0)
    _die_with_parent(signal.SIGKILL, guard)
    for number in (*_PASSED_ON, signal.SIGCHLD, _PARENT_IS_GONE):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    status = 1
    try:
        status = work()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):  # the reader of our output may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _wait_for(child: int) -> int:
    """Pass signals on until the child ends, then end all that is left below this process."""
    while True:
        received = signal.sigwait(_WATCHED)
        if received == _PARENT_IS_GONE:
            end_descendants(first=child)
            return 128 + signal.SIGKILL
        if received in _PASSED_ON:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, received)
            continue
        status = _reap(child)
        if status is not None:
            end_descendants()
            return status


def _reap(child: int) -> int | None:
    """Collect every ended child; the exit status of the one given, if it is among them."""
    result = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                result = code if code >= 0 else 128 - code
    return result


def end_descendants(first: int | None = None) -> None:
    """End every process below this one: SIGTERM, then SIGKILL for what is still there after a moment.

    Supervisors of servers get SIGTERM alone and a while longer: they end what is below them, and containers, which
    are below no process.

    Args:
        first: A direct child that gets SIGKILL at once, so that it starts nothing more.
    """
    if first is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGKILL)
    _signal_until_gone(signal.SIGTERM, _TERMINATION_SECONDS, spare_supervised=True)
    _signal_until_gone(signal.SIGKILL, _SUPERVISORS_SECONDS, spare_supervised=True)
    _signal_until_gone(signal.SIGKILL, _KILL_SECONDS, spare_supervised=False)


def _signal_until_gone(number: int, seconds: float, spare_supervised: bool) -> None:
    deadline = time.monotonic() + seconds
    _reap(-1)
    while left := descendants(os.getpid()):
        supervisors = {pid for pid in left if is_supervisor(pid)} if spare_supervised else set()
        supervised = {below for pid in supervisors for below in descendants(pid)}
        for pid in left:
            if pid not in supervised:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM if pid in supervisors else number)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        signal.sigtimedwait([signal.SIGCHLD], min(remaining, 0.2))
        _reap(-1)


def _die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel for a signal at the parent's end, which may already have come."""
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
