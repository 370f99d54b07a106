"""Runs one server program and sees to it that nothing of it outlives the worker that asked for it.

    python supervisor.py CONTROL_FD OWNER_PID CLEANUP_JSON PROGRAM [ARGUMENT ...]

It uses the standard library only and is started as a file, so that it is up within milliseconds and holds
little memory. Two processes stand between the worker and the program:

    worker -> outer -> inner -> program -> whatever the program forks

Both adopt orphans (`PR_SET_CHILD_SUBREAPER`), so a launcher script that forks and exits hides nothing. The
inner one ends everything below it when the program exits, when the worker asks, when the worker is gone, or
when the outer one is gone; the outer one ends everything below it when the inner one is gone. Ray kills a
worker's direct children, and a person may kill any process: whichever of the two is hit, the other acts. SIGTERM
to either, or to both, ends the program and, with a container, what is not below them. One that was stopped is
continued when its parent ends, and the outer one continues the inner one.

The control socket carries lines of JSON to the worker, `{"pid": ...}` and `{"status": ...}` (as
`subprocess.Popen.returncode`: the exit status, or minus the signal), and from it `stop SECONDS`, which
means: SIGTERM, and SIGKILL for what is left after so many seconds. Its end, too, means the worker is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_CHILD_SUBREAPER = 36
_KILL_SECONDS = 5.0
_CLEANUP_SECONDS = 20.0
_PARENT_CHECK_MS = 250  # only where there is no pidfd_open
_OUTER_PATIENCE_SECONDS = 30.0


def prctl(option: int, value: int) -> None:
    """Call prctl(2), raising OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def wake_at_parents_end() -> None:
    """Have the kernel continue this process, should it be stopped, when its parent ends: it can then end, too.

    A parent's thread that ends sends the same signal, which a process that runs ignores.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def open_pidfd(pid: int) -> int:
    """A descriptor that becomes readable when the process ends, or -1 where there is no such thing.

    The kernel has them since Linux 5.3; a Python built on an older system does not know them.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def descendants(root: int) -> list[int]:
    """Process ids of everything below `root`, from /proc, zombies included."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):  # it ended meanwhile
            continue
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def is_supervisor(pid: int) -> bool:
    """Whether a process runs this file; a zombie does not."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsencode(os.path.abspath(__file__)) in file.read().split(b"\0")[:5]
    except OSError:
        return False


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each process that still exists and is ours."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Children:
    """The processes that this one has to reap, and an event for their endings.

    Attributes:
        statuses: of those that have ended, as `subprocess.Popen.returncode`.
        event: descriptor that is readable when a child has ended or a SIGTERM has come.
        told_to_end: whether this process has received SIGTERM: it then ends what is below it first.
    """

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.told_to_end = False
        self.event, write_end = os.pipe()
        os.set_blocking(self.event, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._note_termination)

    def _note_termination(self, number: int, frame: object) -> None:
        self.told_to_end = True

    def reap(self) -> bool:
        """Collect what has ended; return whether any child is left."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.event, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.statuses[pid] = os.waitstatus_to_exitcode(status)

    def end_all(self, grace: float) -> None:
        """End everything below this process: SIGTERM first if there is grace, then SIGKILL until none is left."""
        me = os.getpid()
        deadline = time.monotonic() + grace
        if grace > 0:
            signal_all(descendants(me), signal.SIGTERM)
            while self.reap() and time.monotonic() < deadline:
                self.wait(deadline - time.monotonic())
        deadline = time.monotonic() + _KILL_SECONDS
        while self.reap() and time.monotonic() < deadline:
            signal_all(descendants(me), signal.SIGKILL)
            self.wait(0.02)

    def wait(self, seconds: float) -> None:
        """Wait until a child ends, at most so long."""
        select.select([self.event], [], [], max(0.0, seconds))


def run_program(arguments: list[str]) -> int:
    """Fork and execute the program in a session of its own; it dies with this process. Returns its id."""
    me = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(arguments[0], arguments)
    except OSError as error:
        print(f"{arguments[0]} could not be executed: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(127)


def clean_up(command: list[str]) -> None:
    """Run the command that ends what is not below this process, such as a container."""
    if not command:
        return
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_CLEANUP_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{' '.join(command)} failed: {error}", file=sys.stderr, flush=True)


def send(control: socket.socket, message: dict[str, int]) -> None:
    """Tell the worker, if it is still there."""
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


def wait_for_end(control: socket.socket, owner: int, outer: int, program: int, children: Children) -> float:
    """Wait until the program has to be ended or has ended by itself; return the grace it is given."""
    owner_fd, outer_fd = open_pidfd(owner), open_pidfd(outer)
    watched = [control.fileno(), children.event] + [fd for fd in (owner_fd, outer_fd) if fd >= 0]
    poller = select.poll()
    for descriptor in watched:
        poller.register(descriptor, select.POLLIN)
    timeout = None if owner_fd >= 0 and outer_fd >= 0 else _PARENT_CHECK_MS
    while True:
        if os.getppid() != outer:
            return 0.0
        ready = {descriptor for descriptor, _ in poller.poll(timeout)}
        if owner_fd in ready or outer_fd in ready or children.told_to_end:
            return 0.0
        if control.fileno() in ready:
            return requested_grace(control)
        any_left = children.reap()
        # A launcher may fork the server and leave with status 0; any other ending is the server's.
        if children.statuses.get(program, 0) != 0 or not any_left:
            return 0.0


def requested_grace(control: socket.socket) -> float:
    """Seconds of grace in the worker's `stop` line; none if the worker closed the socket."""
    try:
        words = control.recv(64).split()
        return float(words[1]) if len(words) > 1 else 0.0
    except (OSError, ValueError):
        return 0.0


def run_inner(control: socket.socket, owner: int, outer: int, cleanup: list[str], program: list[str]) -> None:
    """Run the program, wait for a reason to end it, end all of it, report."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_at_parents_end()
    children = Children()
    pid = run_program(program)
    send(control, {"pid": pid})
    grace = wait_for_end(control, owner, outer, pid, children)
    children.end_all(grace)
    clean_up(cleanup)
    send(control, {"status": children.statuses.get(pid, -signal.SIGKILL)})


def run_outer(owner: int, inner: int, cleanup: list[str]) -> None:
    """Wait for the inner process; end what it left behind, should it have been killed."""
    children = Children()
    owner_fd = open_pidfd(owner)
    watched = [children.event] + ([owner_fd] if owner_fd >= 0 else [])
    patience = _OUTER_PATIENCE_SECONDS if owner_fd >= 0 else _PARENT_CHECK_MS / 1000
    deadline = float("inf")
    while inner not in children.statuses and time.monotonic() < deadline:
        ready, _, _ = select.select(watched, [], [], patience)
        if owner_fd < 0 and os.getppid() != owner:
            break
        if owner_fd in ready:
            watched.remove(owner_fd)
            deadline = time.monotonic() + _OUTER_PATIENCE_SECONDS
            signal_all([inner], signal.SIGCONT)
        children.reap()
        if children.told_to_end and inner not in children.statuses:
            children.told_to_end = False
            os.kill(inner, signal.SIGTERM)
            deadline = time.monotonic() + _OUTER_PATIENCE_SECONDS
    children.end_all(0.0)
    if children.statuses.get(inner) != 0:
        clean_up(cleanup)


def main(arguments: list[str]) -> None:
    """Become the outer process and fork the inner one."""
    control = socket.socket(fileno=int(arguments[0]))
    os.set_inheritable(control.fileno(), False)
    owner, cleanup, program = int(arguments[1]), json.loads(arguments[2]), arguments[3:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_at_parents_end()
    if os.getppid() != owner:  # the worker ended while this program was starting
        return
    outer = os.getpid()
    inner = os.fork()
    if inner == 0:
        os.setsid()
        run_inner(control, owner, outer, cleanup, program)
    else:
        control.close()
        run_outer(owner, inner, cleanup)


if __name__ == "__main__":
    main(sys.argv[1:])
