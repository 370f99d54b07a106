"""The server: sockets, simulation and clock put together."""

from __future__ import annotations

import functools
import logging
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from minicarla.protocol.body_checks import MalformedBodyError, check_body
from minicarla.protocol.event_loop import READABLE, EventLoop
from minicarla.protocol.rpc_framing import (
    Request,
    encode_bare,
    encode_failure,
    encode_unknown_method,
    encode_value,
    encode_void,
)
from minicarla.protocol.rpc_server import RpcConnection, RpcServer
from minicarla.protocol.stream_framing import WORLD_STREAM_ID, StreamType, encode_header, encode_token
from minicarla.protocol.stream_server import StreamConnection, StreamServer
from minicarla.protocol.values import integer
from minicarla.rpc.calls import (  # noqa: F401  these register the calls
    batch,
    debug,
    pushes,
    recorder,
    refused,
    scenery,
    sensors,
    traffic,
    vehicles,
    walkers,
    world,
)
from minicarla.rpc.calls.descriptions import Lookup, describe
from minicarla.rpc.calls.world import settings_to_wire
from minicarla.rpc.errors import EXPECTED_ERRORS
from minicarla.rpc.quirks.asynchronous_traffic import FrameGate
from minicarla.rpc.quirks.batch_ticks import HeldMessages
from minicarla.rpc.quirks.fatal_answers import ReplyGuard
from minicarla.rpc.quirks.missing_kernels import Compiling, KernelGate
from minicarla.rpc.quirks.second_listens import TOKEN_CALL, SecondListens
from minicarla.rpc.quirks.subscribing import AwaitedStreams
from minicarla.rpc.quirks.synchronous_traffic import TickGate
from minicarla.rpc.quirks.world_loading import LoadGuard
from minicarla.rpc.rate_limited_log import Complaints
from minicarla.rpc.registry import REMOTE_CALLS, RemoteCall, RemoteError, Returns
from minicarla.rpc.traffic_managers import TrafficManagers
from minicarla.world.actors import Actor
from minicarla.world.clock import Clock
from minicarla.world.simulation import Simulation

logger = logging.getLogger(__name__)

MOST_UNTOLD_TICKS = batch.MOST_TICKS
"""Of one client, before a frame is told although the next tick is there already."""

_CAMERAS = ("sensor.camera.rgb", "sensor.camera.instance_segmentation")
"""Those that need all kernels which are read as idle work."""

_EVENTS = frozenset({StreamType.COLLISION, StreamType.OBSTACLE})
"""What is sent when it happens, and of which nothing may be missed."""

IDLE_TIME = 0.25
"""[s] without any client before idle work is begun: one that started the server connects sooner."""


def _encode(message_id: int, returns: Returns, result: Any) -> bytes:
    """The answer of a call that succeeded."""
    if returns is Returns.VALUE:
        return encode_value(message_id, result)
    return encode_void(message_id) if returns is Returns.VOID else encode_bare(message_id, result)


class _LongBatch(NamedTuple):
    """A batch that is to be gone on with, and whether it has spawned or ended an actor."""

    connection: RpcConnection
    request: Request
    call: RemoteCall
    work: batch.Batch
    changes_traffic: bool


class Server:
    """Serves one simulation on an RPC and a streaming port.

    Args:
        simulation, clock: See below.
        port: For remote calls, as of `open_port`.
        streaming_port: For what subscribers are sent, likewise.

    Attributes:
        simulation: The world.
        clock: Paces the world while no client does.
        connection: The connection whose request is being answered.
        traffic_managers: Registry of the Traffic Managers that clients run.
        awaited_streams: Subscriptions that clients have begun.
        second_listens: Which clients have listened to which sensors.
        skips_overtaken_frames: Whether a tick that its client did not wait for, and has followed up with another one
            already, is told to nobody: of several ticks at once, clients hear of the last.
        request: What is being answered.
        changes_traffic: Set by calls that spawn or end an actor: in a synchronous world they are answered while the
            client's Traffic Manager rests, in another one after a frame.
    """

    def __init__(
        self, simulation: Simulation, port: socket.socket, streaming_port: socket.socket, clock: Clock
    ) -> None:
        self.simulation = simulation
        self.clock = clock
        self.traffic_managers = TrafficManagers()
        self.connection: RpcConnection
        self.complaints = Complaints()
        self.awaited_streams = AwaitedStreams()
        self.idle_work: list[Callable[[], object]] = []
        self.skips_overtaken_frames = False
        self.request: Request
        self.changes_traffic = False
        # What subscribers of the world knew when they subscribed, by `Simulation.news_count`.
        self._informed: WeakKeyDictionary[StreamConnection, int] = WeakKeyDictionary()
        self._batch_ticks: WeakSet[RpcConnection] = WeakSet()  # whose tick may be that of a batch
        self._held_messages = HeldMessages(lambda *message: self.streams.publish(*message))
        self._long_batches: list[_LongBatch] = []
        self._untold: RpcConnection | None = None  # whose tick has not been told to anybody yet
        self._untold_ticks = 0
        self._idle_since = time.monotonic()
        self._loop = EventLoop()
        self._gate = TickGate()
        self._frame_gate = FrameGate(self._gate.has_traffic_manager, self._gate.cycle_begun_at)
        self._load_guard = LoadGuard()
        self._kernel_gate = KernelGate()
        self._reply_guard = ReplyGuard()
        self._settings: Any = None
        self._settings_wire: list[Any] = []
        self._rpc = RpcServer(self._loop, port, self._handle)
        self.streams = StreamServer(self._loop, streaming_port, self._on_subscribe)
        self.second_listens = SecondListens(self.streams, self.awaited_streams)
        simulation.publisher = self
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

    def await_kernels(self, compiling: Compiling) -> None:
        """Let sensors wait for their kernels, which are being compiled."""
        board = self.simulation.sensors

        def go_on(_events: int) -> None:
            compiling.take_progress()
            if compiling.has_ended:
                self._loop.forget(compiling.progress)
                compiling.close()
                self._kernel_gate.open()
            for connection, request in self._kernel_gate.released(board.types):
                self._handle(connection, request)

        board.lacks_kernels = compiling.lacks
        self._kernel_gate.close(compiling.lacks)
        self._loop.watch(compiling.progress, READABLE, go_on)

    def _on_time(self) -> float | None:
        """Do what is due now; returns when the next thing is."""
        if self._untold is not None and (self._untold_ticks >= MOST_UNTOLD_TICKS or not self._untold.has_input()):
            self._tell()
        if (
            self.simulation.settings.synchronous_mode
            and not self._gate
            and not self._load_guard
            and not self.awaited_streams
            and not self.second_listens
            and not self._held_messages
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
        if self._gate:
            now = time.monotonic()
            for connection, message_id in self._gate.due_ticks(now):
                self._tick_and_answer(connection, message_id)
            self._gate.answer_held(now)
            self._gate.rescue_lost(now)
            due.append(self._gate.next_due())
        if self._load_guard:
            for connection, request in self._load_guard.due(time.monotonic()):
                self._answer(connection, request)
            for connection, message_id in self._load_guard.rested_ticks(time.monotonic()):
                self._tick_and_answer(connection, message_id)
            due.append(self._load_guard.next_due())
        if self.awaited_streams:
            for connection, message_id in self.awaited_streams.due_ticks(time.monotonic()):
                self._on_tick_cue(connection, message_id, is_async=False)
            due.append(self.awaited_streams.next_due())
        if self.second_listens:
            for connection, request in self.second_listens.due():
                self._answer(connection, request)
            due.append(self.second_listens.next_due())
        if self._held_messages:
            self._held_messages.send_due(time.monotonic())
            due.append(self._held_messages.next_due())
        if self.idle_work and not self._kernel_gate.lacks(*_CAMERAS):
            due.append(self._work_when_idle())
        if not self.simulation.settings.synchronous_mode:
            due.append(self._tick_by_clock())
            if self._frame_gate and not self._load_guard:
                self._frame_gate.answer_due(time.monotonic())
                due.append(self._frame_gate.next_due())
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

    def prepares_cameras(self) -> bool:
        """Whether what cameras need is being made ready between the calls of clients."""
        return bool(self.idle_work)

    def _tick_by_clock(self) -> float:
        """Tick an asynchronous world if it is time; returns when to look again."""
        now = time.monotonic()
        rest = self._load_guard.resting_until(now)
        if rest is not None:
            return rest
        delta = self.clock.due(now, self.simulation.settings)
        if delta is not None:
            try:
                self.tick(delta)
            except Exception as error:
                self._complain_of_tick(error)
            self._frame_gate.frame_is_out()
            self._gate.frame_is_out()
        return self.clock.next_tick

    def tick_by_clock_at_once(self) -> None:
        """The first tick of a world that has just become asynchronous."""
        self.clock.next_tick = time.monotonic()
        self._tick_by_clock()

    def tick(self, delta: float, sensors_last: bool = False) -> int:
        """Advance the world and tell all subscribers; returns the new frame.

        Args:
            delta: By so many seconds.
            sensors_last: Whether clients hear of the frame before what their sensors perceived in it.
        """
        if sensors_last:
            self.simulation.advance(delta)
            self._tell()
            self.simulation.sensors.capture(delta)
        else:
            self.simulation.tick(delta)
            self._tell()
        return self.simulation.episode.frame

    def _tell(self) -> None:
        """Send the newest frame to all subscribers."""
        self._untold, self._untold_ticks = None, 0
        news = self.simulation.take_news()
        if not news:
            self.streams.publish(WORLD_STREAM_ID, self.simulation.snapshot())
            return
        subscribers = self.streams.subscribers.get(WORLD_STREAM_ID, ())
        informed = [one for one in subscribers if self._informed.get(one) == self.simulation.news_count]
        self._send_frame([one for one in subscribers if one not in informed], news)
        self._send_frame(informed, 0)

    def _send_frame(self, connections: list[StreamConnection], news: int) -> None:
        """Send the newest frame to some subscribers of the world."""
        if connections:
            message = self.simulation.snapshot(news)
            for connection in connections:
                connection.write(message)

    def _handle(self, connection: RpcConnection, request: Request) -> None:
        if self._held_messages:
            self._held_messages.called(time.monotonic())
        if (
            self._kernel_gate
            and self.simulation.settings.synchronous_mode
            and self._kernel_gate.hold(connection, request, self.simulation.sensors.types)
        ):
            return
        if self._load_guard:
            if self._load_guard.hold(connection, request):
                return
            self._answer(connection, request)
            for held in self._load_guard.released_by(connection, request):
                self._answer(connection, held)
        else:
            self._answer(connection, request)

    def _answer(self, connection: RpcConnection, request: Request) -> None:
        method, message_id = request.method, request.message_id
        if method == "tick_cue":
            self._on_tick_cue(connection, message_id, request.is_async)
            return
        call = REMOTE_CALLS.get(method)
        if call is None:
            if not request.is_async:
                connection.write(encode_unknown_method(message_id, method, len(request.arguments) + 1))
            self.complaints.log(method, "there is no such remote call")
            return
        if method == TOKEN_CALL and self.second_listens.hold(connection, request):
            return
        self.connection, self.request, self.changes_traffic = connection, request, False
        if self._untold is not None and not (request.is_async and method == "apply_batch"):
            self._tell()
        self._gate.observe(connection, method)
        self._conclude(connection, request, call, lambda: self._call(request, call))

    def _call(self, request: Request, call: RemoteCall) -> Any:
        if not call.at_least <= len(request.arguments) <= call.at_most:
            raise RemoteError(f"{request.method} takes {call.at_least} arguments, {len(request.arguments)} were given")
        return call.function(self, *request.arguments)

    def _conclude(self, connection: RpcConnection, request: Request, call: RemoteCall, work: Callable[[], Any]) -> None:
        """Answer a request with the result of some work, or note that it is to be gone on with."""
        method, loaded = request.method, False
        try:
            result = work()
            if isinstance(result, batch.Batch):
                self._long_batches.append(_LongBatch(connection, request, call, result, self.changes_traffic))
                connection.pause()
                return
            self._reply_guard.check(method, result)
            if method == "load_new_episode":
                loaded = self.simulation.version.resubscribes_after_load
                if loaded:
                    self._load_guard.rest()
            if request.is_async:
                return
            answer = _encode(request.message_id, call.returns, result)
        except EXPECTED_ERRORS as error:
            answer = self._failure(connection, request, str(error), call.returns)
        except Exception as error:  # a bug in one call must not end the server
            logger.exception("%s failed", method)
            answer = self._failure(connection, request, f"{method} failed: {error!r}", call.returns)
        if request.is_async:
            return
        if loaded and self._gate.has_traffic_manager(connection):
            self._load_guard.begin(connection, answer)
        elif self.simulation.settings.synchronous_mode:
            if not (self.changes_traffic and self._gate.hold(connection, answer)):
                connection.write(answer)
        else:
            self._answer_with_frame(connection, method, answer)
        if method == "set_episode_settings" and self.simulation.settings.synchronous_mode:
            self._frame_gate.answer_all()

    def _go_on_with_batches(self) -> None:
        """Give each batch that takes long another turn, also of clients that are gone: they may have waited for none
        of the answers."""
        batches, self._long_batches = self._long_batches, []
        for connection, request, call, work, changes_traffic in batches:
            self.connection, self.request, self.changes_traffic = connection, request, changes_traffic
            self._conclude(connection, request, call, functools.partial(work.go_on, batch.TURN / len(batches)))
            if all(other.connection is not connection for other in self._long_batches):
                connection.go_on()

    def _answer_with_frame(self, connection: RpcConnection, method: str, answer: bytes) -> None:
        """Answer in an asynchronous world, where some answers wait for the next frame; spawns and ends hurry it."""
        if self.changes_traffic and self._gate:
            self.clock.hurry()
        if self._frame_gate.hold(connection, method, answer):
            return
        if self.changes_traffic and self._gate:
            self._frame_gate.hold_spawn(connection, answer)
        else:
            connection.write(answer)

    def _failure(self, connection: RpcConnection, request: Request, text: str, returns: Returns) -> bytes:
        instead = self._reply_guard.instead_of_failure(request.method, self._gate.has_traffic_manager(connection))
        if request.is_async or instead is not None:
            self.complaints.log(request.method, text)
        if instead is not None:
            return _encode(request.message_id, *instead)
        return encode_failure(request.message_id, text, returns is not Returns.VOID)

    def _on_tick_cue(self, connection: RpcConnection, message_id: int, is_async: bool) -> None:
        if is_async:
            self.complaints.log("tick_cue", "was sent without waiting for its answer and is ignored")
            return
        if not self.simulation.settings.synchronous_mode:
            # The next frame comes by itself.
            connection.write(encode_value(message_id, self.simulation.episode.frame + 1))
            return
        if connection.last_call == "apply_batch":
            # `apply_batch_sync(commands, True)` keeps Python's lock until the client has seen the frame. Threads of the
            # client that have a picture wait for that lock; if all do, none is left to see the frame.
            self._batch_ticks.add(connection)
        if any(
            keeper(connection, message_id)
            for keeper in (self.awaited_streams.delay_tick, self._load_guard.delay_tick, self._gate.must_wait)
        ):
            pass
        else:
            self._tick_and_answer(connection, message_id)

    def _tick_and_answer(self, connection: RpcConnection, message_id: int) -> None:
        is_of_batch = connection in self._batch_ticks
        if is_of_batch and (self.simulation.episode.changed or self._held_messages):
            self._held_messages.begin(time.monotonic())
        elif self._held_messages:
            self._held_messages.end()
        try:
            answer = encode_value(message_id, self.tick_once(is_of_batch))
        except Exception as error:
            self._complain_of_tick(error)
            answer = encode_failure(message_id, f"the tick failed: {error!r}", returns_value=True)
        self._batch_ticks.discard(connection)
        self._gate.ticked(connection)
        connection.write(answer)

    def _complain_of_tick(self, error: Exception) -> None:
        if self.complaints.log("tick", repr(error)):
            logger.error("a tick failed", exc_info=error)

    def tick_once(self, sensors_last: bool = False) -> int:
        """One tick of a synchronous world; returns the new frame."""
        return self.tick(self.clock.synchronous_delta(self.simulation.settings), sensors_last)

    def tick_for_batch(self, count: int) -> None:
        """The ticks that follow a batch; told later if nobody waits for them, as the next one may be here already."""
        if not (self.skips_overtaken_frames and self.request.is_async):
            self.tick_once()
            return
        for _ in range(count):
            self.simulation.tick(self.clock.synchronous_delta(self.simulation.settings))
            self._untold = self.connection
            self._untold_ticks += 1

    def _on_subscribe(self, connection: StreamConnection, stream_id: int) -> None:
        if stream_id == WORLD_STREAM_ID:
            # A client of a synchronous world would know no actor before the next tick. It asks for the map and for the
            # lights after it subscribed, so it needs no telling of what happened before; and a client that is told
            # and dropped in the same moment ends its process, as it looks for the lights by way of what is dropped.
            connection.write(self.simulation.snapshot())
            self._informed[connection] = self.simulation.news_count
            self._load_guard.resume()
        else:
            self.awaited_streams.arrived(stream_id)
            self.simulation.sensors.catch_up(stream_id)

    @property
    def client_has_traffic_manager(self) -> bool:
        """Whether the client that is being answered runs a Traffic Manager."""
        return self._gate.has_traffic_manager(self.connection)

    @property
    def settings_on_wire(self) -> list[Any]:
        """Wire form of the settings; Traffic Managers ask for it thousands of times a second."""
        settings = self.simulation.settings
        if settings is not self._settings:
            self._settings, self._settings_wire = settings, settings_to_wire(settings)
        return self._settings_wire

    def register_traffic_manager(self, address: Any) -> bool:
        """Register a Traffic Manager of the client being answered; False if its port is taken."""
        try:
            _, port = address
        except (TypeError, ValueError):
            raise RemoteError("a Traffic Manager's address must be a host and a port") from None
        # The client names an address of its network card, at which it does not always listen; the one it calls from
        # reaches it.
        owner = self.connection
        host = owner.peer.rsplit(":", 1)[0]
        number = integer(port, "port")
        # The client gives no host and port 0 where its machine has no route to any network, but listens all the same.
        number = number or self.traffic_managers.wanted_by(owner)
        if not 0 <= number < 2**16:
            raise RemoteError(f"a Traffic Manager's port must be between 0 and 65535, not {number}")
        added = self.traffic_managers.add(host, number, owner)
        if added:
            self._gate.register(owner, host, number)
            owner.at_close.append(lambda: self._forget_traffic_manager_of(owner, number))
        return added

    def _forget_traffic_manager_of(self, owner: RpcConnection, port: int) -> None:
        """A client is gone, and its Traffic Manager with it; by now another one may have the port."""
        if self.traffic_managers.is_of(port, owner):
            self.forget_traffic_manager(port)

    def forget_traffic_manager(self, port: int) -> None:
        """A Traffic Manager was shut down."""
        self.traffic_managers.remove(port)
        self._gate.unregister(port)

    def token(self, stream_id: int) -> bytes:
        """The token of a stream; clients use the host of their RPC connection."""
        return encode_token(stream_id, self.streaming_port)

    def describe(self, actor: Actor) -> list[Any]:
        """CARLA's wire form of an actor."""
        return describe(actor, self.simulation.version, self.token(actor.stream_id) if actor.stream_id else b"")

    def has_subscribers(self, stream_id: int) -> bool:
        """Whether anybody listens to a stream, and not only clients that have stopped to read."""
        return self.streams.is_read(stream_id)

    def send(
        self,
        stream_id: int,
        stream_type: int,
        frame: int,
        time: float,
        pose: tuple[tuple[float, float, float], tuple[float, float, float]],
        body: bytes,
    ) -> bool:
        """Send one sensor message, unless it would end the client that reads it; whether it is sent."""
        try:
            check_body(stream_type, body)
        except MalformedBodyError as error:
            self.complaints.log(f"stream {stream_id}", f"a message of type {stream_type} is not sent: {error}")
            return False
        header = encode_header(stream_type, len(body), frame, time, *pose)
        if self._held_messages:
            self._held_messages.keep(stream_id, header, body)
            return True
        # As by CARLA: whoever reads slower than an asynchronous world goes on misses pictures rather than see old ones.
        may_miss = not self.simulation.settings.synchronous_mode and stream_type not in _EVENTS
        self.streams.publish(stream_id, header, body, only_to_idle=may_miss)
        return True
