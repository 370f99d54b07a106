"""A quirk with a client, a queue and a clock of its own, without sockets."""

from __future__ import annotations

from typing import Any

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import Deferrals
from minicarla.rpc.quirks.quirk import Answered, Quirk
from minicarla.rpc.session import Client
from minicarla.rpc.traffic_managers import TrafficManagers

CYCLE = ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings")
"""What a synchronous Traffic Manager's thread calls after each tick."""


class FakeConnection:
    """What is asked of a connection."""

    def __init__(self, peer: str = "127.0.0.1:1") -> None:
        self.peer = peer
        self.closed = False
        self.last_call: str | None = None
        self.sent: list[bytes] = []

    def write(self, message: bytes) -> None:
        self.sent.append(message)

    def has_hung_up(self) -> bool:
        return self.closed


def client_at(peer: str = "127.0.0.1:1") -> Client:
    """A client whose connection notes what is sent."""
    return Client(FakeConnection(peer))  # type: ignore[arg-type]


class Rig:
    """Lets requests and answers wait as the server does, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.is_synchronous = True
        self.deferrals = Deferrals(self.monotonic)
        self.managers = TrafficManagers()
        self.done: list[Any] = []
        self.quirk = Quirk()

    def monotonic(self) -> float:
        """Stands for `time.monotonic`."""
        return self.now

    def ask(self, client: Client, method: str, *arguments: Any) -> bool:
        """A client's request, which is noted in `done` when it may be carried out; returns whether it waits."""
        wait = self.quirk.before(client, Request(5, method, list(arguments), False))
        if wait is None:
            self.done.append(method)
            return False
        self.deferrals.add(client, lambda: self.done.append(method), wait)
        return True

    def answer(self, client: Client, name: str, method: str = "spawn_actor", changes_traffic: bool = True) -> bool:
        """An answer to a client, which is noted in `done` when it leaves; returns whether it waits."""
        wait = self.quirk.after(client, Answered(method, changes_traffic, self.is_synchronous))
        if wait is None:
            self.done.append(name)
            return False
        self.deferrals.add(client, lambda: self.done.append(name), wait)
        return True

    def calls(self, client: Client, *methods: str) -> None:
        """Calls of a client's threads that are carried out at once."""
        for method in methods:
            self.quirk.observe(client, method)

    def go_on(self, seconds: float = 0.0) -> list[Any]:
        """Let time pass; returns what was done by then, and forgets it."""
        self.now += seconds
        self.deferrals.run()
        done, self.done = self.done, []
        return done
