"""Defect: a client ends when its Traffic Manager's thread works on a vehicle whose `destroy()` has returned.

`Vehicle.destroy` takes the vehicle's world away once its call is answered. The Traffic Manager keeps the same object
until it sees a frame without it; a cycle that touches it before throws in a thread of the client ("trying to operate on
a destroyed actor"). No order of answers can help for certain: the first call of a cycle comes after the thread has gone
through all its vehicles, so the server learns too late that one has begun, and a change of the Traffic Manager's mode
begins one without any call.

But `unregister_vehicle`, a call of the Traffic Manager's own port, takes the lock that a cycle holds: once it is
answered, no cycle works on the vehicle and no later one will. So the server makes that call first, and ends the vehicle
then. Where the port cannot be reached, the answer waits for the thread's rest as that of a spawn does.

Sign: the answer of the Traffic Manager's port. Test: `tests/minicarla/test_rpc_ended_vehicles.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.values import PackValue
from minicarla.rpc.deferrals import NOT_YET, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client
from minicarla.rpc.traffic_port import PortCalls

END_CALL = "destroy_actor"


class EndedVehicles(Quirk):
    """Takes vehicles from their Traffic Managers before they end.

    Args:
        describe: The wire form of a vehicle of an id; None for anything else. A vehicle that no Traffic Manager drives
            is none that the server could tell: `set_autopilot` is between the client and its Traffic Manager.
        wake_up: Makes the server look at what waits; called by other threads.
    """

    def __init__(self, describe: Callable[[object], list[PackValue] | None], wake_up: Callable[[], object]) -> None:
        self._describe = describe
        self._wake_up = wake_up

    def before(self, client: Client, request: Request) -> Wait | None:
        """The end of a vehicle waits until its Traffic Managers have forgotten it."""
        if request.method != END_CALL:
            return None
        client.drives_what_ends = False
        vehicle = self._describe(request.arguments[0]) if client.traffic is not None and request.arguments else None
        if client.traffic is None or vehicle is None:
            return None
        calls = [
            PortCalls(host, port, [("unregister_vehicle", [[vehicle]])], self._wake_up)
            for port, host in client.traffic.addresses.items()
        ]

        def ended(_expired: bool) -> None:
            client.drives_what_ends = not all(one.answered for one in calls)

        return Wait(lambda: 0.0 if all(one.ended for one in calls) else NOT_YET, "it has forgotten a vehicle", ended)
