"""Defect: a client's synchronous Traffic Manager loses wake-ups, and the client hangs for ever.

The client's main thread and its Traffic Manager's wake each other by condition variables without holding the lock
(see `rpc.traffic_cycles`). A wake-up is lost if the other thread is just between looking at the condition and falling
asleep. From here only the order of answers can be chosen:

- a tick is answered a grace after the settings that follow the last batch, so that the thread sleeps before "begin"; a
  main thread that does not wait for "end", as one was left over when synchronous mode was switched off and on, waits
  here instead;
- a spawn is answered while the thread rests: it drops a vehicle that it is given before that one's first frame;
- a thread that was stopped between looking and sleeping for longer than that is woken through the Traffic Manager's own
  port, once it is clear that it missed its wake-up.

Sign: the call for the settings that ends a cycle. Test: `tests/minicarla/test_rpc_tick_gate.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import NOT_YET, Deferrals, Wait
from minicarla.rpc.quirks.quirk import Answered, Quirk
from minicarla.rpc.session import Client
from minicarla.rpc.traffic_cycles import TrafficCycles
from minicarla.rpc.traffic_port import wake_main_thread, wake_traffic_manager

_SIGN = "its Traffic Manager's cycle has ended"


class SynchronousTraffic(Quirk):
    """Decides when ticks may happen and when spawns are answered.

    Args:
        deferrals: What waits.
        clients: All clients that run Traffic Managers.
        is_synchronous: Tells whether the world is.
    """

    def __init__(self, deferrals: Deferrals, clients: list[Client], is_synchronous: Callable[[], bool]) -> None:
        self._deferrals = deferrals
        self._clients = clients
        self._is_synchronous = is_synchronous

    def _cycles(self) -> list[TrafficCycles]:
        return [client.traffic for client in self._clients if client.traffic is not None and not client.closed]

    def before(self, client: Client, request: Request) -> Wait | None:
        """A tick waits until all threads do."""
        if request.method != "tick_cue" or not self._clients or not self._is_synchronous():
            return None
        now = time.monotonic()
        if all(cycles.rests(now) for cycles in self._cycles()):
            return None
        return Wait(self._asleep_at, _SIGN, self._wait_is_over)

    def _asleep_at(self) -> float:
        cycles = self._cycles()
        if any(one.is_running for one in cycles):
            return NOT_YET
        return max((one.asleep_at for one in cycles), default=0.0)

    def _wait_is_over(self, expired: bool) -> None:
        if expired:
            for cycles in self._cycles():
                if cycles.is_running:
                    cycles.give_up()

    def observe(self, client: Client, method: str) -> None:
        """Follow the cycle of the client's Traffic Manager."""
        if client.traffic is not None:
            client.traffic.observe(method, from_thread=self._deferrals.awaits(client))

    def after(self, client: Client, answered: Answered) -> Wait | None:
        """A change of what the client's thread drives is answered when that rests."""
        cycles = client.traffic
        if not (answered.changes_traffic and answered.is_synchronous) or cycles is None:
            return None
        if cycles.has_settled(time.monotonic()):
            return None

        def due() -> float:
            return NOT_YET if cycles.is_running else cycles.settled_at

        return Wait(due, _SIGN, lambda expired: cycles.give_up() if expired else None)

    def ticked(self, client: Client) -> None:
        """The Traffic Managers of the same process should begin a cycle now."""
        now = time.monotonic()
        for owner in self._clients:
            cycles = owner.traffic
            if cycles is None:
                continue
            if owner is client:
                cycles.tick(now)
            elif cycles.keeps_step():
                cycles.expect(now)
            cycles.cycles_since_tick = 0
            cycles.frame_is_out()

    def frame_is_out(self) -> None:
        """All threads may begin a cycle."""
        for cycles in self._cycles():
            cycles.frame_is_out()

    def rescue_lost(self, now: float) -> float | None:
        """Wake the threads that missed their wake-up; returns when to look again, None if all are well."""
        next_due: float | None = None
        for client in self._clients:
            if client.traffic is None or client.closed:
                continue
            due = client.traffic.next_rescue()
            if due is not None and now >= due:
                wake = wake_main_thread if client.traffic.rescue() else wake_traffic_manager
                for port, host in client.traffic.addresses.items():
                    wake(host, port)
                due = client.traffic.next_rescue()
            if due is not None:
                next_due = due if next_due is None else min(next_due, due)
        return next_due
