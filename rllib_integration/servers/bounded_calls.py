"""Calls to a server through the CARLA client, bounded in time and cut short by the server's death.

The client alone bounds neither: a call to a killed server waits its whole time-out, and a Traffic Manager's
lost wake-up (`world.tick` in synchronous mode) waits for ever. So the blocking calls of one environment run
on a thread of their own, while the caller waits for whichever comes first: the result, the end of the
server's process, or the time allowed. Handing a call over costs some 5 us on one core, 50 us across cores.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from rllib_integration.servers.carla_server import CarlaServer
from rllib_integration.servers.errors import ServerDiedError, ServerHangError
from rllib_integration.servers.placement import pin_process

Result = TypeVar("Result")
_LIFE_SECONDS = 0.5  # over which a working server does something
_QUESTION_SECONDS = 2.0  # that a new client waits for a server that seems to do nothing
_CLIENT_TIME_OUT = "time-out of"  # how the client's own error about a silent server begins
_EXIT_SECONDS = 5.0  # that the interpreter's end waits for threads left behind in the client
_stranded: list[threading.Thread] = []


class BoundedCalls:
    """Makes the client's calls to one server, and notices when that server is no longer there.

    Create the `carla.Client` through `call` as well: its own threads then share the watch's core.

    Args:
        server: a started server.
        timeout: seconds that a call may take unless it says otherwise.
        core: run the server and the client's threads on this core; None leaves them to the scheduler.
    """

    def __init__(self, server: CarlaServer, timeout: float, core: int | None = None) -> None:
        self.server = server
        self.timeout = timeout
        self._core = core
        self._calls: queue.SimpleQueue[PendingCall[Any] | None] = queue.SimpleQueue()
        self._current: PendingCall[Any] | None = None
        self._dead = False
        self._lost: str | None = None
        self._stuck = False
        if core is not None and server.pid is not None:
            pin_process(server.pid, core)
        self._client_thread = threading.Thread(target=self._make_calls, name="carla-client", daemon=True)
        self._client_thread.start()
        self._closing, self._close_event = os.pipe()
        self._exit_event = os.dup(server.exit_event()) if server.exit_event() >= 0 else -1
        self._exit_thread = threading.Thread(target=self._await_exit, name="carla-server-exit", daemon=True)
        self._exit_thread.start()

    def call(self, function: Callable[..., Result], *arguments: object, timeout: float | None = None) -> Result:
        """Call a function that blocks on the server, and return what it returns.

        Args:
            function: usually a bound method of a `carla` object.
            arguments: its positional arguments.
            timeout: seconds for this call, None for the watch's own.

        Raises:
            ServerDiedError: the server's process has ended, before or during the call.
            ServerHangError: neither happened in time, or the server was silent for `hang_after` seconds and neither
                works nor answers any more. The function may still be running on its thread, which is given up:
                every later call raises this error too.
            Exception: whatever the function raised.
        """
        return self.begin(function, *arguments, timeout=timeout).result()

    def begin(
        self, function: Callable[..., Result], *arguments: object, timeout: float | None = None
    ) -> PendingCall[Result]:
        """Begin such a call, and do other things while the server works; calls are made one after the other.

        Raises:
            ServerDiedError, ServerHangError: the server is lost already.
        """
        if self._lost is not None:
            raise ServerHangError(self._lost)
        self._refuse_if_dead()
        call = self._current = PendingCall(self, function, arguments, self.timeout if timeout is None else timeout)
        self._calls.put(call)
        if self._dead:
            call.wake()
        return call

    def expect(self, name: str, timeout: float) -> PendingCall[Any]:
        """Begin to wait for something that another thread reports by `PendingCall.complete`, with the same limits.

        It saves the way through the client's thread, there and back.

        Args:
            name: what messages call it.
            timeout: seconds that it may take.

        Raises:
            ServerDiedError, ServerHangError: the server is lost already.
        """
        if self._lost is not None:
            raise ServerHangError(self._lost)
        if self._dead:
            self._refuse_if_dead()
        call = self._current = PendingCall[Any](self, None, (), timeout, name)
        if self._dead:
            call.wake()
        return call

    def hand_over(self, call: PendingCall[Any], function: Callable[..., object], *arguments: object) -> None:
        """Let the client's thread call a function that leads to what `expect` waits for; an error ends the wait."""
        call.function, call.arguments = function, arguments
        self._calls.put(call)

    def note_progress(self) -> None:
        """Let the time allowed for the present call count from now, as its next part begins. Called by any thread."""
        if (call := self._current) is not None:
            call.renewed = time.monotonic()

    def is_calling(self) -> bool:
        """Whether this is asked within such a call."""
        return threading.current_thread() is self._client_thread

    def _finish(self, call: PendingCall[Result]) -> Result:
        """Wait for a call's end, and return or raise what came of it."""
        before = time.monotonic()
        try:
            symptom = self._wait(call, call.seconds)
        finally:
            has_ended = call.done
            if not has_ended:
                call.give_up()
            self._stuck = not has_ended and call.function is not None
        if self._current is call:
            self._current = None
        if not has_ended:
            self._refuse_if_dead()
            waited = time.monotonic() - before
            self._lost = f"{call.name} got no answer from the {self.server.describe()} within {waited:.1f} s{symptom}."
            raise ServerHangError(self._lost)
        error = call.take_error()
        if error is None:
            return cast(Result, call.value)
        try:
            if isinstance(error, RuntimeError) and str(error).startswith(_CLIENT_TIME_OUT):
                self._refuse_if_dead()
                raise ServerHangError(f"The {self.server.describe()} did not answer: {error}") from error
            raise error
        finally:
            del error  # it leads to this frame

    def close(self) -> None:
        """End the watch's threads. One that hangs in the client is left behind; it holds no lock of ours."""
        if self._close_event < 0:
            return
        self._calls.put(None)
        os.close(self._close_event)
        self._close_event = -1
        self._exit_thread.join()
        if self._stuck:
            _stranded[:] = [thread for thread in (*_stranded, self._client_thread) if thread.is_alive()]
        else:
            self._client_thread.join()

    def _wait(self, call: PendingCall[Any], seconds: float) -> str:
        """Wait for news, at most so long, and only while the server lives; return what it lacked, if that is known."""
        begin = time.monotonic()
        patience = min(self.timeout, self.server.settings.hang_after)
        now = begin
        while not (call.done or self._dead) and (remaining := max(begin, call.renewed) + seconds - now) > 0:
            call.wait(min(remaining, patience))
            now = time.monotonic()
            is_over = now >= max(begin, call.renewed) + seconds
            if not (is_over or call.done or self._dead) and (symptom := self._hang_symptom(call, now - begin)):
                return symptom
            now = time.monotonic()
        return ""

    def _hang_symptom(self, call: PendingCall[Any], waited: float) -> str:
        """What shows that an answer will never come; empty while it may.

        A server on a busy machine uses little processor time but would use more, one that loads a town uses much, one
        that waits for something answers at least a new client: only a frozen or dead-locked one does none of these.
        """
        before = self.server.health()
        if before is None:  # of a server elsewhere nothing is known but its answers
            return "" if waited < self.timeout or self.server.answers(_QUESTION_SECONDS) else ", nor did a new client"
        call.wait(_LIFE_SECONDS)
        after = self.server.health()
        if call.done or self._dead or after is None or after.work_since(before):
            return ""
        if before.stopped and after.stopped:
            return ": a process of it was stopped (SIGSTOP, or a debugger)"
        return "" if self.server.answers(_QUESTION_SECONDS) else ": it neither works nor answers a new client"

    def _refuse_if_dead(self) -> None:
        if self._dead or self.server.exit_status() is not None:
            raise ServerDiedError(self.server.exit_report())

    def _make_calls(self) -> None:
        if self._core is not None:
            os.sched_setaffinity(0, {self._core})
        while (call := self._calls.get()) is not None:
            call.run()

    def _await_exit(self) -> None:
        poller = select.poll()
        poller.register(self._closing, select.POLLIN)
        if self._exit_event >= 0:
            poller.register(self._exit_event, select.POLLIN)
        while self._closing not in {descriptor for descriptor, _ in poller.poll()}:
            if self.server.exit_status() is not None:
                self._dead = True
                if (call := self._current) is not None:
                    call.wake()
                break
        os.close(self._closing)
        if self._exit_event >= 0:
            os.close(self._exit_event)


class PendingCall(Generic[Result]):
    """One function on its way through the client's thread, or something that another thread will report.

    Attributes:
        done: whether it has ended.
        function: what the client's thread calls, if anything.
        arguments: its positional arguments.
        seconds: that it may take, since `renewed` if that is later.
        renewed: when it was last seen to go on, as `time.monotonic` tells it.
    """

    def __init__(
        self,
        watch: BoundedCalls,
        function: Callable[..., Result] | None,
        arguments: tuple[Any, ...],
        seconds: float,
        reported_as: str = "",
    ) -> None:
        self.done = False
        self.value: Result | None = None
        self.error: BaseException | None = None
        self.function: Callable[..., object] | None = function
        self.arguments = arguments
        self.seconds = seconds
        self.renewed = 0.0
        self._given_up = False
        self._watch = watch
        self._reported_as = reported_as
        self._news = threading.Lock()
        self._news.acquire()

    @property
    def name(self) -> str:
        """What messages call the function, or what is waited for."""
        named = getattr(self.function, "__qualname__", None) or getattr(self.function, "__name__", None)
        return self._reported_as or str(named or repr(self.function))

    def result(self) -> Result:
        """Wait for the end; return what the function returned, or raise as `BoundedCalls.call` does."""
        return self._watch._finish(self)

    def take_error(self) -> BaseException | None:
        """What the function raised, handed over: its traceback leads to this call and to all that it was about.

        Kept here it would be a cycle, and a lost client with its map, some 25 MB, would stay until the collector comes.
        """
        error, self.error = self.error, None
        return error

    def give_up(self) -> None:
        """Note that no thread waits for the end any more: an error that the function may still raise is dropped."""
        self._given_up = True
        if self.done:
            self.error = None

    def run(self) -> None:
        """Call the function; wake the threads that wait for its end, or for what it could not lead to."""
        assert self.function is not None
        try:
            value = self.function(*self.arguments)
        except BaseException as error:  # it belongs to the caller, who raises it
            self.error = error
        else:
            if self._reported_as:
                return
            self.value = cast(Result, value)
        self.done = True
        if self._given_up:
            self.error = None
        self.wake()

    def complete(self, value: Result) -> None:
        """Report what `BoundedCalls.expect` waits for. Called by any thread."""
        self.value = value
        self.done = True
        self.wake()

    def came_within(self, seconds: float) -> bool:
        """Wait at most so long for the end; whether it has come."""
        if not self.done:
            self.wait(seconds)
        return self.done

    def wake(self) -> None:
        """Let the waiting thread look: at the result, or at a server that has ended."""
        with contextlib.suppress(RuntimeError):  # woken already
            self._news.release()

    def wait(self, seconds: float) -> None:
        """Wait for news, at most so long."""
        self._news.acquire(timeout=seconds)


@atexit.register
def _await_stranded() -> None:
    """A thread that comes back from C++ while the interpreter ends would abort the process; most return in time."""
    deadline = time.monotonic() + _EXIT_SECONDS
    for thread in _stranded:
        thread.join(max(0.0, deadline - time.monotonic()))
