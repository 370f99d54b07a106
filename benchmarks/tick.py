"""How many `world.tick()` a second the real client gets, against a server that only sends canned replies.

Client and server share one CPU, where waking each other is cheapest and figures are steady. The canned server answers
from a table recorded before and sends one world message again and again: no server in Python can be faster.

    python benchmarks/tick.py [--seconds 2] [--rounds 3] [--vehicles 1,50,100]
    python benchmarks/tick.py --actors 50,100,200,400

The second says instead what a tick costs the server for so many actors, half of them vehicles and half walkers on their
way, all in one town: by its processor time, and for each actor.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

import carla
import msgpack
import psutil

from rllib_integration.annotations import Record

_REPOSITORY = Path(__file__).resolve().parents[1]
_STEP = 0.05
_TICKS_A_DRIVE = 100
_THROTTLE = 0.35
# In a command after `SpawnActor`: the actor that it has spawned.
_THE_SPAWNED: Any = carla.command.FutureActor
_METHODS: dict[str, list[Any]] = {
    "version": [],
    "get_episode_info": [],
    "get_sensor_token": [1],
    "get_episode_settings": [],
    "get_required_files": ["Nav"],
    "query_lights_state": ["benchmark"],
    "get_map_info": [],
    "get_map_data": [],
}
_FRAME = struct.Struct("<Qd")
_FRAME_OFFSET = 12
_TOKEN_PORT_OFFSET = 4


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data


def record(host: str, port: int) -> tuple[Record, bytes]:
    """Results of the calls that a client makes, and the current world message with its length prefix."""
    answers = {}
    with socket.create_connection((host, port)) as rpc:
        for method, arguments in _METHODS.items():
            rpc.sendall(msgpack.packb([0, 1, method, [[False], *arguments]]))
            unpacker = msgpack.Unpacker(max_buffer_size=2**28)
            while True:
                unpacker.feed(rpc.recv(1 << 20))
                answer = next(unpacker, None)
                if answer is not None:
                    answers[method] = answer[3]
                    break
    token = bytes(answers["get_sensor_token"][0][1][0])
    stream_port = struct.unpack_from("<H", token, _TOKEN_PORT_OFFSET)[0]
    with socket.create_connection((host, stream_port)) as stream:
        stream.sendall(struct.pack("<I", 1))
        size = _receive_exactly(stream, 4)
        return answers, size + _receive_exactly(stream, struct.unpack("<I", size)[0])


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def serve_canned(answers: Record, message: bytes, pipe: Connection, cpu: int) -> None:
    """Answer every call from the table, and send the message, with a new frame number, at every tick."""
    os.sched_setaffinity(0, {cpu})
    rpc, stream = _listen(), _listen()
    token = bytearray(answers["get_sensor_token"][0][1][0])
    struct.pack_into("<H", token, _TOKEN_PORT_OFFSET, stream.getsockname()[1])
    answers = {**answers, "get_sensor_token": [[1, [bytes(token)]]]}
    episode = answers["get_episode_info"][0][1][0]
    answers["get_episode_info"] = [[1, [episode, [bytes(token)]]]]
    pack = msgpack.Packer().pack
    buffer = bytearray(message)
    frame, seconds = _FRAME.unpack_from(buffer, _FRAME_OFFSET)
    clients: dict[int, tuple[socket.socket, msgpack.Unpacker]] = {}
    subscribers: list[socket.socket] = []
    poll = select.epoll()
    poll.register(rpc, select.EPOLLIN)
    poll.register(stream, select.EPOLLIN)
    pipe.send(rpc.getsockname()[1])
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in clients:
                client, unpacker = clients[descriptor]
                data = client.recv(1 << 16)
                if not data:
                    return
                unpacker.feed(data)
                for _, number, method, parameters in unpacker:
                    if method == "tick_cue":
                        frame, seconds = frame + 1, seconds + _STEP
                        _FRAME.pack_into(buffer, _FRAME_OFFSET, frame, seconds)
                        for subscriber in subscribers:
                            subscriber.sendall(buffer)
                        client.sendall(pack([1, number, None, [[1, frame]]]))
                    elif method == "apply_batch":
                        client.sendall(pack([1, number, None, [[[1, 1]]] * len(parameters[1])]))
                    elif not parameters[0][0]:
                        client.sendall(pack([1, number, None, answers.get(method, [[False]])]))
            else:
                listener = rpc if descriptor == rpc.fileno() else stream
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if listener is stream:
                    _receive_exactly(client, 4)
                    client.sendall(buffer)
                    subscribers.append(client)
                else:
                    clients[client.fileno()] = (client, msgpack.Unpacker())
                    poll.register(client, select.EPOLLIN)


def _start_embedded(cpu: int) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "minicarla", "-carla-rpc-port=0", f"--parent-pid={os.getpid()}"],
        cwd=_REPOSITORY,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )
    assert process.stdout is not None
    line = next(line for line in process.stdout if b"listening" in line).decode()
    return process, int(line.split(":")[1].split()[0])


def _prepare(port: int, count: int) -> tuple[carla.Client, carla.World, list[int], list[object]]:
    """A synchronous world with moving vehicles; returns their ids, too, and the batch that sets them back."""
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(60.0)
    world = client.reload_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, _STEP
    world.apply_settings(settings)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    drive = carla.command.ApplyVehicleControl(_THE_SPAWNED, carla.VehicleControl(throttle=_THROTTLE))
    points = world.get_map().get_spawn_points()[:count]
    batch = [carla.command.SpawnActor(blueprint, point).then(drive) for point in points]
    responses = client.apply_batch_sync(batch, True)
    placed = [(response.actor_id, point) for response, point in zip(responses, points) if not response.error]
    still = carla.Vector3D()
    back: list[object] = [carla.command.ApplyTransform(number, point) for number, point in placed]
    back += [carla.command.ApplyTargetVelocity(number, still) for number, _ in placed]
    return client, world, [number for number, _ in placed], back


def _rate(client: carla.Client, world: carla.World, seconds: float, back: list[object], batch: list[object]) -> float:
    """Ticks a second. The vehicles are set back, and stopped, before they could leave their roads."""
    count, start = 0, time.perf_counter()
    while True:
        client.apply_batch_sync(back, False)
        for _ in range(_TICKS_A_DRIVE):
            if batch:
                client.apply_batch_sync(batch, False)
            world.tick()
        count += _TICKS_A_DRIVE
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return count / elapsed


def _compare(count: int, with_batch: bool, seconds: float, rounds: int, cpu: int) -> tuple[float, float, int]:
    """Ticks a second of the embedded and of the canned server, and the number of vehicles."""
    process, port = _start_embedded(cpu)
    canned: SpawnProcess | None = None
    try:
        client, world, ids, back = _prepare(port, count)
        context = multiprocessing.get_context("spawn")
        answers, message = record("127.0.0.1", port)
        here, there = context.Pipe()
        canned = context.Process(target=serve_canned, args=(answers, message, there, cpu), daemon=True)
        canned.start()
        floor_client = carla.Client("127.0.0.1", here.recv())
        floor_client.set_timeout(60.0)
        floor_world = floor_client.get_world()
        control = carla.VehicleControl(throttle=_THROTTLE)
        batch: list[object] = [carla.command.ApplyVehicleControl(n, control) for n in ids] if with_batch else []
        real, floor = [], []
        for _ in range(rounds):
            floor.append(_rate(floor_client, floor_world, seconds, back, batch))
            real.append(_rate(client, world, seconds, back, batch))
        return statistics.median(real), statistics.median(floor), len(ids)
    finally:
        if canned is not None:
            canned.terminate()
            canned.join()
        process.send_signal(signal.SIGTERM)
        process.wait()


def _spread(world: carla.World, count: int) -> list[carla.Transform]:
    """Places on the lanes, 7 m apart, but not those where the vehicles begin."""
    taken = [point.location for point in world.get_map().get_spawn_points()]
    places = [waypoint.transform for waypoint in world.get_map().generate_waypoints(7.0)]
    free = [place for place in places if min(place.location.distance(other) for other in taken) > 5.0]
    return free[:: max(1, len(free) // count)][:count]


def _add_walkers(client: carla.Client, world: carla.World, count: int) -> int:
    """Walkers that walk; returns how many found a place."""
    blueprint = world.get_blueprint_library().find("walker.pedestrian.0001")
    walk = carla.command.ApplyWalkerControl(
        _THE_SPAWNED, cast(Any, carla.WalkerControl(carla.Vector3D(1.0, 0.0, 0.0), 1.4, False))
    )
    places = _spread(world, count)
    for place in places:
        place.location.z += 1.2
    batch = [carla.command.SpawnActor(blueprint, place).then(walk) for place in places]
    return sum(not response.error for response in client.apply_batch_sync(batch, True))


def _cost(town: str, count: int, seconds: float, cpu: int) -> tuple[int, float]:
    """How many actors there are, and the seconds of processor time that a tick costs the server."""
    process, port = _start_embedded(cpu)
    try:
        carla_client = carla.Client("127.0.0.1", port)
        carla_client.set_timeout(120.0)
        carla_client.load_world(town)
        client, world, ids, back = _prepare(port, count - count // 2)
        actors = len(ids) + _add_walkers(client, world, count // 2)
        server = psutil.Process(process.pid)
        ticks, used, end = 0, sum(server.cpu_times()[:2]), time.perf_counter() + seconds
        while time.perf_counter() < end:
            client.apply_batch_sync(back, False)
            for _ in range(_TICKS_A_DRIVE):
                world.tick()
            ticks += _TICKS_A_DRIVE
        return actors, (sum(server.cpu_times()[:2]) - used) / ticks
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _print_costs(town: str, counts: Sequence[int], seconds: float, cpu: int) -> None:
    base: float | None = None
    for count in counts:
        actors, cost = _cost(town, count, seconds, cpu)
        base = base or cost / actors
        print(
            f"{actors} actors: {1e6 * cost:.0f} us of processor time a tick, {1e6 * cost / actors:.2f} us an actor, "
            f"{cost / actors / base:.2f} of the first line's",
            flush=True,
        )


def main() -> None:
    """Print ticks a second and the ratio to the canned server for each number of vehicles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each; the median counts")
    parser.add_argument("--vehicles", default="1,50,100")
    parser.add_argument("--actors", help="numbers of actors; say what a tick costs for each of them")
    parser.add_argument("--town", default="Town05", help="of --actors")
    options = parser.parse_args()
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    if options.actors:
        _print_costs(options.town, [int(count) for count in options.actors.split(",")], options.seconds, cpu)
        return
    cases = [(int(count), False) for count in options.vehicles.split(",")] + [(50, True)]
    for count, with_batch in cases:
        real, floor, vehicles = _compare(count, with_batch, options.seconds, options.rounds, cpu)
        what = f"{vehicles} vehicles" + (" and a batch of their controls" if with_batch else "")
        print(f"{what:45} {real:8.0f} ticks/s   canned {floor:8.0f}   ratio {real / floor:.2f}", flush=True)


if __name__ == "__main__":
    main()
