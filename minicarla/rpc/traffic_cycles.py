"""How far the Traffic Managers of a client are in their cycles, as far as their calls tell.

After a tick the client's main thread says "begin" and waits for "end"; the Traffic Manager asks for the vehicles'
lights, the weather, ..., sends its batch, says "end", asks for the settings and waits for "begin". An asynchronous one
asks for the settings over and over until it sees a new frame, and sends no batch while it drives nothing.
"""

from __future__ import annotations

import time

GRACE = 200e-6
"""[s] for a thread of a client to fall asleep after its last call, or to take a frame in."""
UNSEEN_BEGINNING = 30e-3
"""[s] from "begin", or from a new frame, to the first call of a cycle, at most."""
LOST_BEGIN = 0.5
"""[s] after a tick without a sign of the cycle that it should have begun: "begin" was lost."""
LOST_FIRST_BEGIN = 5.0
"""[s] after a tick without a sign of a thread that has not been seen to follow the ticks."""
LOST_END = 20.0
"""[s] after a cycle without any call: "end" may be lost, or the user is busy with other things."""
SURELY_IN_STEP = 20
"""Ticks of another client, each followed by one cycle, after which a Traffic Manager is taken for that client's."""
_MOST_RESCUES = 5


class TrafficCycles:
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
        self.turns = 0
        self.cycles_since_tick = 0
        self.in_step = 0
        self.ticked: float | None = None
        self.silent_since: float | None = None
        self.unseen_since: float | None = None
        self.rescues = 0
        self.woke_main = False

    def add(self, host: str, port: int) -> None:
        """Another Traffic Manager was started."""
        self.addresses[port] = host
        self.due = len(self.addresses)

    def observe(self, method: str, from_thread: bool) -> None:
        """A thread, or the user, makes a call; `from_thread` if it can only be a thread."""
        self.last_sign = time.monotonic()
        self.silent_since = self.unseen_since = None
        if method == "get_vehicle_light_states":
            # The user asks for lights, too, but a thread does it no more often than it is due.
            if self.due or from_thread:
                self.begin()
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
        return max(self.last_end, self.frame_told if self.due else 0.0) + UNSEEN_BEGINNING

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
            return self.ticked + LOST_BEGIN * (self.rescues + 1)
        if self.unseen_since is not None:
            return self.unseen_since + LOST_FIRST_BEGIN
        return None if self.silent_since is None else self.silent_since + LOST_END

    def rescue(self) -> bool:
        """A wake-up was lost; returns whether it was that of the main thread, not of a Traffic Manager."""
        self.rescues += 1
        self.frame_is_out()
        self.woke_main = self.ticked is None and self.unseen_since is None
        self.unseen_since = None
        return self.woke_main

    def give_up(self) -> None:
        """A sign did not come: what looked like a cycle was the user's doing, or its thread is gone."""
        self.under_way = self.owed_settings = self.due = 0
        self.ticked = None
