"""The server: sockets, simulation and clock put together."""

from __future__ import annotations

import functools
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minicarla.protocol.event_loop import EventLoop
from minicarla.protocol.rpc_framing import (
    Request,
    encode_bare,
    encode_failure,
    encode_unknown_method,
    encode_value,
    encode_void,
)
from minicarla.protocol.rpc_server import RpcConnection, RpcServer
from minicarla.protocol.stream_framing import WORLD_STREAM_ID, encode_token
from minicarla.protocol.stream_server import StreamConnection, StreamServer
from minicarla.protocol.values import PackValue, integer
from minicarla.rpc.calls.descriptions import Lookup, describe, settings_to_wire
from minicarla.rpc.deferrals import Deferrals
from minicarla.rpc.drawn_shapes import DrawnShapes
from minicarla.rpc.errors import EXPECTED_ERRORS
from minicarla.rpc.quirks.asynchronous_traffic import AsynchronousTraffic
from minicarla.rpc.quirks.batch_ticks import BatchTicks
from minicarla.rpc.quirks.ended_vehicles import END_CALL, EndedVehicles
from minicarla.rpc.quirks.fatal_answers import ReplyGuard
from minicarla.rpc.quirks.quirk import Answered, Quirk
from minicarla.rpc.quirks.second_listens import SecondListens
from minicarla.rpc.quirks.subscribing import Subscribing
from minicarla.rpc.quirks.synchronous_traffic import SynchronousTraffic
from minicarla.rpc.quirks.world_loading import WorldLoading
from minicarla.rpc.rate_limited_log import Complaints
from minicarla.rpc.registry import REMOTE_CALLS, RemoteCall, RemoteError, Returns, Unfinished
from minicarla.rpc.sensor_messages import SensorMessages
from minicarla.rpc.session import Client
from minicarla.rpc.ticking import Ticking
from minicarla.rpc.traffic_managers import TrafficManagers
from minicarla.world.actors import Actor
from minicarla.world.autopilot import Autopilot
from minicarla.world.clock import Clock
from minicarla.world.pedestrians import Pedestrians
from minicarla.world.recording.recordings import Recordings
from minicarla.world.settings import EpisodeSettings
from minicarla.world.simulation import Simulation

logger = logging.getLogger(__name__)

_BATCH_TURN = 0.02  # [s] for all batches that take long, in turns with what others ask for

IDLE_TIME = 0.25
"""[s] without any client before idle work is begun: one that started the server connects sooner."""


def _encode(message_id: int, returns: Returns, result: PackValue) -> bytes:
    """The answer of a call that succeeded."""
    if returns is Returns.VALUE:
        return encode_value(message_id, result)
    return encode_void(message_id) if returns is Returns.VOID else encode_bare(message_id, result)


def _those_with(method: str, quirks: tuple[Quirk, ...]) -> tuple[Quirk, ...]:
    """The quirks that do something in a method of `Quirk`."""
    return tuple(quirk for quirk in quirks if getattr(type(quirk), method) is not getattr(Quirk, method))


class _LongBatch(NamedTuple):
    """A batch that is to be gone on with, and whether it has spawned or ended an actor."""

    client: Client
    request: Request
    call: RemoteCall
    work: Unfinished
    changes_traffic: bool


class Server:
    """Serves one simulation on an RPC and a streaming port.

    Args:
        simulation, clock: See below.
        port: For remote calls, as of `bind_port`; to be opened before `run`.
        streaming_port: For what subscribers are sent, likewise.
        recordings_folder: As of `Recordings`.

    Attributes:
        simulation: The world.
        clock: Paces the world while no client does.
        recordings: What is recorded and replayed.
        clients: All of them.
        client: The client whose request is being answered.
        request: What is being answered.
        ticking: The ticks, and who is told of them.
        traffic_managers: Registry of the Traffic Managers that clients run.
        drawn_shapes: What clients have drawn with `world.debug`.
        autopilot: Drives the vehicles that a client has asked it to.
        pedestrians: Walks the walkers that a client has asked it to.
        subscribing: Subscriptions that clients have begun.
        second_listens: Which clients have listened to which sensors.
        skips_overtaken_frames: Whether a tick that its client did not wait for, and has followed up with another one
            already, is told to nobody: of several ticks at once, clients hear of the last.
        changes_traffic: Set by calls that spawn or end an actor: in a synchronous world they are answered while the
            client's Traffic Manager rests, in another one after a frame.
    """

    def __init__(
        self,
        simulation: Simulation,
        port: socket.socket,
        streaming_port: socket.socket,
        clock: Clock,
        recordings_folder: str | Path | None = None,
    ) -> None:
        self.simulation = simulation
        self.clock = clock
        self.recordings = Recordings(simulation, recordings_folder)
        self.clients: list[Client] = []
        self.client: Client
        self.request: Request
        self.changes_traffic = False
        self.traffic_managers = TrafficManagers()
        self.drawn_shapes = DrawnShapes()
        self.autopilot = Autopilot(simulation)
        self.pedestrians = Pedestrians(simulation)
        simulation.observers += [self.autopilot, self.pedestrians]
        self.complaints = Complaints()
        self.idle_work: list[Callable[[], object]] = []
        self.skips_overtaken_frames = False
        self._long_batches: list[_LongBatch] = []
        self._idle_since = time.monotonic()
        self._settings: EpisodeSettings | None = None
        self._settings_wire: list[PackValue] = []
        self._loop = EventLoop()
        self._rpc = RpcServer(self._loop, port, self._greet)
        self.streams = StreamServer(self._loop, streaming_port, self._on_subscribe)
        self.ticking = Ticking(simulation, clock, self.streams, self.complaints)
        self._deferrals = Deferrals(self._loop.clock)
        self._reply_guard = ReplyGuard()
        board, owners = simulation.sensors, self.traffic_managers.owners
        self._loading = WorldLoading(self._deferrals, self.clients, simulation.version.resubscribes_after_load)
        self.subscribing = Subscribing(self.clients, lambda: board.stream_ids, self._loop.clock)
        self.second_listens = SecondListens(self.streams, self.subscribing, self._deferrals, self.clients)
        self._batch_ticks = BatchTicks(self._deferrals, self.streams.publish, self.ticking.tell_of_lights)
        self._synchronous = SynchronousTraffic(self._deferrals, owners, self._is_synchronous)
        asynchronous = AsynchronousTraffic(owners, self._is_synchronous, clock.hurry)
        ended_vehicles = EndedVehicles(self._describe_vehicle, self._loop.wake_up)
        # In the order in which a request meets them.
        self._quirks: tuple[Quirk, ...] = (
            self._batch_ticks,
            self._loading,
            self.second_listens,
            self.subscribing,
            ended_vehicles,
            self._synchronous,
            asynchronous,
        )
        self._before = _those_with("before", self._quirks)
        self._observers = _those_with("observe", self._quirks)
        self._after = _those_with("after", self._quirks)
        simulation.publisher = SensorMessages(
            simulation, self.streams, self._batch_ticks, self.complaints, lambda: bool(self.idle_work)
        )
        simulation.lookup = Lookup(simulation)

    @property
    def loop(self) -> EventLoop:
        """The event loop, for signals and watched processes."""
        return self._loop

    @property
    def port(self) -> int:
        """The RPC port."""
        return self._rpc.listener.port

    @property
    def streaming_port(self) -> int:
        """The streaming port."""
        return self.streams.listener.port

    def run(self) -> None:
        """Serve until the loop is stopped."""
        try:
            self._loop.run(self._on_time)
        finally:
            self._rpc.close()
            self.streams.close()
            self._loop.close()

    def warm_up(self) -> None:
        """Compile, or read from their cache, the kernels of a tick, so that no client waits for it."""
        self.simulation.warm_up()
        self.ticking.warm_up()

    def _is_synchronous(self) -> bool:
        return self.simulation.settings.synchronous_mode

    def _greet(self, connection: RpcConnection) -> Callable[[Request], None]:
        client = Client(connection)
        self.clients.append(client)
        connection.at_close.append(lambda: self._forget(client))
        return functools.partial(self._handle, client)

    def _forget(self, client: Client) -> None:
        self.clients.remove(client)
        self.traffic_managers.remove_all_of(client)

    def _on_time(self) -> float | None:
        """Do what is due now; returns when the next thing is."""
        self.ticking.tell_if_due()
        if self._deferrals:
            self._deferrals.run()
        if (
            self.simulation.settings.synchronous_mode
            and not self._deferrals
            and not self.traffic_managers.owners
            and not self._rpc.backlog
            and not self._long_batches
            and not self._rpc.listener.paused
            and not self.streams.listener.paused
            and not self._hurries()
        ):
            return None
        due: list[float | None] = [self._rpc.listener.resume_when_due(), self.streams.listener.resume_when_due()]
        if self._long_batches:
            self._go_on_with_batches()
            due.append(0.0 if self._long_batches else None)
        if self._rpc.backlog:
            self._rpc.work_off_backlog()
            due.append(0.0 if self._rpc.backlog else None)
        if self.traffic_managers.owners:
            due.append(self._synchronous.rescue_lost(time.monotonic()))
        if self.idle_work:
            due.append(self._work_when_idle())
        if not self.simulation.settings.synchronous_mode and not self._loading.is_resting:
            due.append(self._tick_by_clock())
        due.append(self._deferrals.next_due())
        return min((moment for moment in due if moment is not None), default=None)

    def _work_when_idle(self) -> float:
        """Do a piece of idle work if no client is there or one waits for it; returns when to look again."""
        now = time.monotonic()
        if self._rpc.connections and not self._hurries():
            self._idle_since = now
        elif now >= self._idle_since + IDLE_TIME or self._hurries():
            piece = self.idle_work.pop(0)
            try:
                piece()
            except Exception:
                logger.exception("idle work failed; it is done when it is needed")
            return time.monotonic()
        return self._idle_since + IDLE_TIME

    def _hurries(self) -> bool:
        """Whether a client has a camera already, whose first picture needs the idle work: calls are answered between
        its pieces."""
        return bool(self.idle_work) and self.simulation.sensors.has_cameras

    def _tick_by_clock(self) -> float:
        """Tick an asynchronous world if it is time; returns when to look again."""
        delta = self.clock.due(time.monotonic(), self.simulation.settings)
        if delta is not None:
            try:
                self.ticking.tick(delta)
            except Exception as error:
                self.ticking.complain(error)
            for quirk in self._quirks:
                quirk.frame_is_out()
        return self.clock.next_tick

    def tick_by_clock_at_once(self) -> None:
        """The first tick of a world that has just become asynchronous."""
        self.clock.next_tick = time.monotonic()
        self._tick_by_clock()

    def _handle(self, client: Client, request: Request, place: int = 0) -> None:
        """Carry a request out, or let it wait; `place` is that of the first quirk that it has not met yet."""
        for number in range(place, len(self._before)):
            wait = self._before[number].before(client, request)
            if wait is not None:
                self._deferrals.add(client, functools.partial(self._handle, client, request, number + 1), wait)
                return
        self._answer(client, request)

    def _answer(self, client: Client, request: Request) -> None:
        method, message_id = request.method, request.message_id
        if method == "tick_cue":
            self._on_tick_cue(client, message_id, request.is_async)
            return
        call = REMOTE_CALLS.get(method)
        if call is None:
            if not request.is_async:
                client.write(encode_unknown_method(message_id, method, len(request.arguments) + 1))
            self.complaints.log(method, "there is no such remote call")
            return
        self.client, self.request, self.changes_traffic = client, request, False
        if not (request.is_async and method == "apply_batch"):
            self.ticking.tell_untold()
        for quirk in self._observers:
            quirk.observe(client, method)
        self._conclude(client, request, call, lambda: self._call(request, call))

    def _call(self, request: Request, call: RemoteCall) -> PackValue | Unfinished:
        if not call.at_least <= len(request.arguments) <= call.at_most:
            raise RemoteError(f"{request.method} takes {call.at_least} arguments, {len(request.arguments)} were given")
        return call.function(self, *request.arguments)

    def _conclude(
        self, client: Client, request: Request, call: RemoteCall, work: Callable[[], PackValue | Unfinished]
    ) -> None:
        """Answer a request with the result of some work, or note that it is to be gone on with."""
        method = request.method
        try:
            result = work()
            if isinstance(result, Unfinished):
                self._long_batches.append(_LongBatch(client, request, call, result, self.changes_traffic))
                client.connection.pause()
                return
            self._reply_guard.check(method, result)
            if method == "load_new_episode":
                self._loading.loaded(client)
            if request.is_async:
                return
            answer = _encode(request.message_id, call.returns, result)
        except EXPECTED_ERRORS as error:
            answer = self._failure(client, request, str(error), call.returns)
        except Exception as error:  # a bug in one call must not end the server
            logger.exception("%s failed", method)
            answer = self._failure(client, request, f"{method} failed: {error!r}", call.returns)
        if request.is_async:
            return
        changes_traffic = self.changes_traffic and (method != END_CALL or client.drives_what_ends)
        answered = Answered(method, changes_traffic, self.simulation.settings.synchronous_mode)
        for quirk in self._after:
            wait = quirk.after(client, answered)
            if wait is not None:
                self._deferrals.add(client, functools.partial(client.write, answer), wait)
                return
        client.write(answer)

    def _go_on_with_batches(self) -> None:
        """Give each batch that takes long another turn, also of clients that are gone: they may have waited for none
        of the answers."""
        batches, self._long_batches = self._long_batches, []
        for client, request, call, work, changes_traffic in batches:
            self.client, self.request, self.changes_traffic = client, request, changes_traffic
            self._conclude(client, request, call, functools.partial(work.go_on, _BATCH_TURN / len(batches)))
            if all(other.client is not client for other in self._long_batches):
                client.connection.go_on()

    def _failure(self, client: Client, request: Request, text: str, returns: Returns) -> bytes:
        instead = self._reply_guard.instead_of_failure(request.method, client.traffic is not None)
        if request.is_async or instead is not None:
            self.complaints.log(request.method, text)
        if instead is not None:
            return _encode(request.message_id, *instead)
        return encode_failure(request.message_id, text, returns is not Returns.VOID)

    def _on_tick_cue(self, client: Client, message_id: int, is_async: bool) -> None:
        if is_async:
            self.complaints.log("tick_cue", "was sent without waiting for its answer and is ignored")
            return
        if not self.simulation.settings.synchronous_mode:
            # The next frame comes by itself.
            client.write(encode_value(message_id, self.simulation.episode.frame + 1))
            return
        self._batch_ticks.begin(client, changes_actors=self.simulation.episode.changed)
        try:
            frame = self.ticking.tick_once(client.ticks_for_batch)
        except Exception as error:
            self.ticking.complain(error)
            self._synchronous.ticked(client)
            client.write(encode_failure(message_id, f"the tick failed: {error!r}", returns_value=True))
            return

        def answer(frame: int) -> None:
            self._synchronous.ticked(client)
            client.write(encode_value(message_id, frame))

        self._batch_ticks.answer(client, frame, answer)

    def tick_for_batch(self, count: int) -> None:
        """The ticks that follow a batch; told later if nobody waits for them, as the next one may be here already."""
        if self.skips_overtaken_frames and self.request.is_async:
            self.ticking.tick_untold(count, self.client.connection)
        else:
            self.ticking.tick_once()

    def _on_subscribe(self, connection: StreamConnection, stream_id: int) -> None:
        if stream_id == WORLD_STREAM_ID:
            self.ticking.welcome(connection)
            self._loading.subscribed(connection)
        else:
            self.subscribing.arrived(stream_id)
            self.simulation.sensors.catch_up(stream_id)

    @property
    def client_has_traffic_manager(self) -> bool:
        """Whether the client that is being answered runs a Traffic Manager."""
        return self.client.traffic is not None

    @property
    def settings_on_wire(self) -> list[PackValue]:
        """Wire form of the settings; Traffic Managers ask for it thousands of times a second."""
        settings = self.simulation.settings
        if settings is not self._settings:
            self._settings, self._settings_wire = settings, settings_to_wire(settings)
        return self._settings_wire

    def register_traffic_manager(self, address: tuple[str, int]) -> bool:
        """Register a Traffic Manager of the client being answered; False if its port is taken."""
        try:
            _, port = address
        except (TypeError, ValueError):
            raise RemoteError("a Traffic Manager's address must be a host and a port") from None
        # The client gives no host and port 0 where its machine has no route to any network, but listens all the same.
        number = integer(port, "port") or self.client.wanted_port
        if not 0 <= number < 2**16:
            raise RemoteError(f"a Traffic Manager's port must be between 0 and 65535, not {number}")
        return self.traffic_managers.add(number, self.client)

    def _describe_vehicle(self, number: object) -> list[PackValue] | None:
        """The wire form of a vehicle of an id, None if there is none."""
        actor = self.simulation.episode.actors.get(number) if type(number) is int else None
        return self.describe(actor) if actor is not None and actor.is_vehicle else None

    def token(self, stream_id: int) -> bytes:
        """The token of a stream; clients use the host of their RPC connection."""
        return encode_token(stream_id, self.streaming_port)

    def describe(self, actor: Actor) -> list[PackValue]:
        """CARLA's wire form of an actor."""
        return describe(actor, self.simulation.version, self.token(actor.stream_id) if actor.stream_id else b"")
