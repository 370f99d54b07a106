"""Keeps a client's synchronous Traffic Manager from losing its wake-ups.

In synchronous mode the client's main thread and its Traffic Manager thread wake each other by condition variables
without holding the lock. A wake-up is lost, and the client hangs for ever, if the other thread is just between looking
at the condition and falling asleep. After a tick the main thread says "begin" and waits for "end"; the Traffic Manager
asks for the vehicles' lights, the weather, ..., sends its batch, says "end", asks for the settings and waits for
"begin". From here only the order of answers can be chosen:

- a tick is answered a grace after the settings that follow the last batch, so that the thread sleeps before "begin"; a
  main thread that does not wait for "end", as one was left over when synchronous mode was switched off and on, waits
  here instead;
- the end of an actor and the spawn of another one are answered while the thread rests: it ends the client if it works
  on an actor that the client knows to be gone, and drops a vehicle that it is given before that one's first frame;
- a thread that was stopped between looking and sleeping for longer than that is woken through the Traffic Manager's own
  port, once it is clear that it missed its wake-up: see `rescue`.
"""

from __future__ import annotations

import time

from minicarla.protocol.rpc_server import RpcConnection
from minicarla.rpc.quirks.wake_up import wake_main_thread, wake_traffic_manager

GRACE = 200e-6
"""[s] for a thread to fall asleep."""
LONGEST_WAIT = 4e-3
"""[s] after which a tick is answered, unless a cycle is surely under way."""
LONGEST_WAIT_FOR_REST = 50e-3
"""[s] after which calls that change what the thread drives are answered, unless a cycle is surely under way."""
LONGEST_SILENCE = 50e-3
"""[s] between two requests of a cycle that is surely under way; a thread that is silent for longer is not in one."""
LONGEST_CYCLE = 0.25
"""[s] from the first request of a cycle to its last, on a busy machine; changes of what is driven wait for that."""
UNSEEN_BEGINNING = 10e-3
"""[s] from "begin" to the first request of a cycle, at most; a thread with a "begin" to spare begins without a tick."""
PATIENCE_AFTER_TICK = 0.5
"""[s] after a tick without a sign of the cycle that it should have begun: "begin" was lost."""
PATIENCE_AFTER_FIRST_TICK = 5.0
"""[s] after a tick without a sign of a thread that has not been seen to follow the ticks."""
PATIENCE_AFTER_CYCLE = 20.0
"""[s] after a cycle without any request: "end" may be lost, or the user is busy with other things."""
_MOST_RESCUES = 5
SURELY_IN_STEP = 20
"""Ticks of another client, each followed by one cycle, after which a Traffic Manager is taken for that client's."""

Waiting = tuple[RpcConnection, int]


class _Cycles:
    """How far the Traffic Managers of one connection are in their cycles; mostly it has one.

    Times are those of `time.monotonic`, None for not now. Calls of several threads can't be told apart, but counted.
    """

    __slots__ = (
        "addresses",
        "begun",
        "begun_at",
        "cycles_since_tick",
        "due",
        "ended",
        "frame_told",
        "in_step",
        "is_sure",
        "last_end",
        "last_sign",
        "owed_settings",
        "rescues",
        "silent_since",
        "ticked",
        "turns",
        "under_way",
        "unseen_since",
        "woke_main",
    )

    def __init__(self) -> None:
        self.addresses: dict[int, str] = {}
        self.begun = 0
        self.begun_at = 0.0
        self.due = 0
        self.under_way = 0
        self.owed_settings = 0
        self.frame_told = 0.0
        self.ended = 0.0
        self.last_end = 0.0
        self.last_sign = 0.0
        self.is_sure = False
        self.turns = 0
        self.cycles_since_tick = 0
        self.in_step = 0
        self.ticked: float | None = None
        self.silent_since: float | None = None
        self.unseen_since: float | None = None
        self.rescues = 0
        self.woke_main = False

    def observe(self, method: str, from_thread: bool) -> None:
        """A thread, or the user, makes a call; `from_thread` if it can only be a thread."""
        self.last_sign = time.monotonic()
        self.silent_since = self.unseen_since = None
        if method == "get_vehicle_light_states":
            # The user asks for lights, too, but a thread does it no more often than it is due.
            if self.due or from_thread:
                self.begin()
        elif method == "get_weather_parameters":
            self.is_sure = self.under_way > 0
        elif method == "apply_batch":
            self.send_batch()
        elif method == "get_episode_settings":
            self.end()
        elif method == "load_new_episode":
            self.turns = 0  # the client follows it up with a tick of its own, which begins no cycle

    def frame_is_out(self) -> None:
        """There is a new frame to work on: all threads may begin a cycle."""
        self.due = len(self.addresses)
        self.frame_told = time.monotonic()

    def begin(self) -> None:
        """A thread begins a cycle."""
        self.due = max(0, self.due - 1)
        self.begun += 1
        self.begun_at = self.last_sign
        self.under_way = min(self.under_way + 1, len(self.addresses))
        if self.begun >= len(self.addresses):
            self.ticked, self.rescues = None, 0

    def send_batch(self) -> None:
        """A thread, or the user, sends commands; those of the user are not part of a cycle."""
        if self.under_way:
            self.under_way -= 1
            self.owed_settings = min(self.owed_settings + 1, len(self.addresses))
            self.turns += 1
            self.cycles_since_tick += 1

    def end(self) -> None:
        """A thread, or the user, asks for the settings, which is the last thing in a cycle."""
        if self.owed_settings:
            self.owed_settings -= 1
            self.ended = self.last_end = self.silent_since = self.last_sign
        elif self.under_way:  # an asynchronous thread that drives nothing sends no batch
            self.under_way -= 1
            self.last_end = self.last_sign
        self.is_sure = self.is_sure and bool(self.under_way or self.owed_settings)

    def tick(self, now: float) -> None:
        """The client's own tick was answered."""
        # One that did not run once after the last tick may be asynchronous, or its client be loading a world.
        follows = self.turns == len(self.addresses) or self.is_running
        self.expect(now if follows else None)
        self.unseen_since = None if follows else now
        self.turns = 0

    def expect(self, ticked: float | None) -> None:
        """The next cycle should begin; `ticked` is None if the threads may not be waiting for it."""
        self.ticked = ticked
        self.begun = self.rescues = 0
        self.woke_main = False

    @property
    def is_running(self) -> bool:
        """Whether a cycle is under way, or due since the last tick."""
        return bool(self.owed_settings or self.under_way or self.ticked is not None)

    @property
    def asleep_at(self) -> float:
        """When the threads wait for the next tick, if they are as far as the ticks are."""
        return self.ended + GRACE

    @property
    def settled_at(self) -> float:
        """When they wait for it also if they had a "begin" to spare, or are asynchronous."""
        begun = self.frame_told + LONGEST_WAIT_FOR_REST if self.due else 0.0
        return max(self.last_end + UNSEEN_BEGINNING, begun)

    @property
    def busy_until(self) -> float:
        """Until when a cycle that is surely under way gives a sign."""
        return self.last_sign + LONGEST_SILENCE if self.is_sure else 0.0

    @property
    def changing_until(self) -> float:
        """Until when a cycle that may be under way works on what is driven."""
        begun = self.begun_at + LONGEST_CYCLE if self.under_way or self.owed_settings else 0.0
        return max(begun, self.busy_until)

    def rests(self, now: float) -> bool:
        """Whether the threads wait for the next tick."""
        return not self.is_running and now >= self.asleep_at

    def has_settled(self, now: float) -> bool:
        """Whether they surely do."""
        return not self.is_running and now >= self.settled_at

    def keeps_step(self) -> bool:
        """Count a tick that another client asked for; whether the threads follow that client's ticks."""
        self.in_step = self.in_step + 1 if self.cycles_since_tick == len(self.addresses) else 0
        return self.in_step >= SURELY_IN_STEP

    def next_rescue(self) -> float | None:
        """When the threads are to be woken unless they give a sign."""
        if self.rescues >= _MOST_RESCUES or self.woke_main:
            return None
        if self.ticked is not None:
            return self.ticked + PATIENCE_AFTER_TICK * (self.rescues + 1)
        if self.unseen_since is not None:
            return self.unseen_since + PATIENCE_AFTER_FIRST_TICK
        return None if self.silent_since is None else self.silent_since + PATIENCE_AFTER_CYCLE

    def rescue(self) -> None:
        """Wake whichever thread missed its wake-up."""
        self.rescues += 1
        self.frame_is_out()
        self.woke_main = self.ticked is None and self.unseen_since is None
        wake = wake_main_thread if self.woke_main else wake_traffic_manager
        self.unseen_since = None
        for port, host in self.addresses.items():
            wake(host, port)


class TickGate:
    """Decides when ticks may happen and when batches are answered."""

    def __init__(self) -> None:
        self._cycles: dict[RpcConnection, _Cycles] = {}
        self._waiting: list[tuple[float, float, Waiting]] = []
        self._held: list[tuple[float, RpcConnection, bytes]] = []

    def __bool__(self) -> bool:
        # Ticks that wait for a Traffic Manager outlive it.
        return bool(self._cycles or self._waiting or self._held)

    def register(self, connection: RpcConnection, host: str, port: int) -> None:
        """A Traffic Manager was started on this connection."""
        cycles = self._cycles.setdefault(connection, _Cycles())
        cycles.addresses[port] = host
        cycles.due = len(cycles.addresses)

    def unregister(self, port: int) -> None:
        """A Traffic Manager ended."""
        for connection, cycles in list(self._cycles.items()):
            cycles.addresses.pop(port, None)
            if not cycles.addresses:
                del self._cycles[connection]

    def has_traffic_manager(self, connection: RpcConnection) -> bool:
        """Whether a Traffic Manager was started on this connection."""
        return connection in self._cycles

    def cycle_begun_at(self, connection: RpcConnection) -> float:
        """When the Traffic Manager of a registered connection began its newest cycle, by `time.monotonic`."""
        cycle = self._cycles.get(connection)
        return cycle.begun_at if cycle is not None else 0.0

    def observe(self, connection: RpcConnection, method: str) -> None:
        """Follow the cycle of a registered connection's Traffic Manager."""
        cycle = self._cycles.get(connection)
        if cycle is not None:
            waits = any(connection is waiting for _, _, (waiting, _) in self._waiting)
            waits = waits or any(connection is waiting for _, waiting, _ in self._held)
            cycle.observe(method, from_thread=waits)

    def must_wait(self, connection: RpcConnection, message_id: int) -> bool:
        """Whether a tick has to wait; if so, `due_ticks` returns it later."""
        if not self._cycles:
            return False
        self._forget_closed()
        now = time.monotonic()
        if not self._is_busy(now):
            return False
        self._waiting.append((now, now + LONGEST_WAIT, (connection, message_id)))
        return True

    def ticked(self, connection: RpcConnection) -> None:
        """A tick was answered: the Traffic Managers of the same process should begin a cycle now."""
        now = time.monotonic()
        for owner, cycle in self._cycles.items():
            if owner is connection:
                cycle.tick(now)
            elif cycle.keeps_step():
                cycle.expect(now)
            cycle.cycles_since_tick = 0
            cycle.frame_is_out()

    def frame_is_out(self) -> None:
        """An asynchronous world ticked."""
        for cycle in self._cycles.values():
            cycle.frame_is_out()

    def _forget_closed(self) -> None:
        for connection in [connection for connection in self._cycles if connection.closed]:
            del self._cycles[connection]

    def _is_busy(self, now: float) -> bool:
        return not all(cycle.rests(now) for cycle in self._cycles.values())

    def due_ticks(self, now: float) -> list[Waiting]:
        """Take out the ticks that may happen now."""
        if not self._waiting:
            return []
        busy = self._is_busy(now)
        extended = max((cycle.busy_until for cycle in self._cycles.values()), default=0.0)
        free = [entry for _, latest, entry in self._waiting if not busy or now >= max(latest, extended)]
        self._waiting = [item for item in self._waiting if busy and now < max(item[1], extended)]
        return [entry for entry in free if not entry[0].closed]

    def hold(self, connection: RpcConnection, answer: bytes) -> bool:
        """Keep the answer to a change of what the thread drives until it rests; False if it is to be sent now."""
        cycle, now = self._cycles.get(connection), time.monotonic()
        if cycle is None or cycle.has_settled(now):
            return False
        self._held.append((now + LONGEST_WAIT_FOR_REST, connection, answer))
        return True

    def answer_held(self, now: float) -> None:
        """Send the answers that need wait no longer."""
        held, self._held = self._held, []
        for latest, connection, answer in held:
            cycle = self._cycles.get(connection)
            if cycle is not None and not cycle.has_settled(now) and now < max(latest, cycle.changing_until):
                self._held.append((latest, connection, answer))
            else:
                connection.write(answer)

    def rescue_lost(self, now: float) -> None:
        """Wake the threads that missed their wake-up."""
        for connection, cycle in self._cycles.items():
            due = cycle.next_rescue()
            if due is not None and now >= due and not connection.closed:
                cycle.rescue()

    def next_due(self) -> float | None:
        """When to look again, None if nothing waits."""
        moments = [due for cycle in self._cycles.values() if (due := cycle.next_rescue()) is not None]
        bounds = [latest for _, latest, _ in self._waiting] + [latest for latest, _, _ in self._held]
        if bounds:
            cycles = self._cycles.values()
            extended = [cycle.changing_until if self._held else cycle.busy_until for cycle in cycles]
            latest = max([min(bounds), *extended])
            if not any(cycle.is_running for cycle in cycles):
                settled = (cycle.settled_at if self._held else cycle.asleep_at for cycle in cycles)
                latest = min(latest, max(settled, default=latest))
            moments.append(latest)
        return min(moments, default=None)
