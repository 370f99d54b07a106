"""Sends a million malformed, truncated, huge and reordered messages to both ports while another client drives.

    python -m tests.fuzz.flood [--messages 1000000] [--processes 4] [--seed 1] [--port PORT]

The witness, a real client, ticks a synchronous world with a car, a walker and sensors. Its drive must be, bit for bit,
the one that it had before the flood; the server's memory must stay where it was. Ends with status 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from queue import Queue

import carla
import psutil

from tests.fuzz import messages
from tests.known import of_kind

_ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT = 30.0
_DRIVE_TICKS = 200
_MOST_GROWTH_MB = 60.0
_BURST = 40


def flood(port: int, streaming_port: int, seed: int, quota: int, sent: Synchronized[int]) -> None:
    """Send `quota` messages, most of them to the RPC port."""
    chance = random.Random(seed)
    idle: list[socket.socket] = []
    left = quota
    while left > 0:
        kind = chance.random()
        count = min(left, chance.randrange(1, _BURST))
        if kind < 0.2:
            _stream(streaming_port, chance, idle)
            count = 1
        elif kind < 0.25:
            _drip(port, chance)
            count = 1
        else:
            parts = [chance.choice(messages.KEEPS_CONNECTION)(chance) for _ in range(count - 1)]
            parts.append(chance.choice(messages.ENDS_CONNECTION)(chance))
            _talk(port, b"".join(parts), chance)
        left -= count
        with sent.get_lock():
            sent.value += count
        while len(idle) > 20:
            idle.pop(chance.randrange(len(idle))).close()


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
    if random.random() < 0.3:
        # End with a reset instead of a farewell.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return connection


def _talk(port: int, data: bytes, chance: random.Random) -> None:
    with _connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        if chance.random() < 0.5:
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass


def _drip(port: int, chance: random.Random) -> None:
    with _connect(port) as connection, contextlib.suppress(ConnectionError):
        for byte in messages.call_with_nonsense(chance)[:30]:
            connection.sendall(bytes([byte]))


def _stream(port: int, chance: random.Random, idle: list[socket.socket]) -> None:
    connection = _connect(port)
    with contextlib.suppress(ConnectionError):
        # Now and then a subscriber of the world that never reads.
        connection.sendall(struct.pack("<I", 1) if chance.random() < 0.1 else messages.subscription(chance))
    idle.append(connection)


class Witness:
    """A client that drives on, and remembers every pose of its car."""

    def __init__(self, port: int) -> None:
        self.client = carla.Client("127.0.0.1", port, worker_threads=1)
        self.client.set_timeout(_TIMEOUT)

    def drive(self) -> str:
        """One drive from a fresh world; returns the hash of all that the car did and its sensors saw."""
        world = self.client.load_world("Minitown")
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
        car = of_kind(carla.Vehicle, world.spawn_actor(library.find("vehicle.tesla.model3"), points[0]))
        world.spawn_actor(library.find("walker.pedestrian.0001"), points[1])
        inertia: Queue[carla.IMUMeasurement] = Queue()
        imu = of_kind(carla.Sensor, world.spawn_actor(library.find("sensor.other.imu"), carla.Transform(), car))
        imu.listen(inertia.put)
        digest = hashlib.sha1()
        for tick in range(_DRIVE_TICKS):
            car.apply_control(carla.VehicleControl(throttle=0.6, steer=0.3 * ((tick // 40) % 3 - 1)))
            frame = world.tick()
            data = inertia.get(timeout=_TIMEOUT)
            while data.frame < frame:
                data = inertia.get(timeout=_TIMEOUT)
            pose, turn = car.get_transform(), data.gyroscope
            digest.update(struct.pack("<5d", pose.location.x, pose.location.y, pose.rotation.yaw, turn.z, turn.x))
        imu.stop()
        return digest.hexdigest()


def _start(port: int | None) -> tuple[subprocess.Popen[bytes] | None, int, int]:
    if port is not None:
        return None, port, port + 1
    process = subprocess.Popen(
        [sys.executable, "-m", "minicarla", "-carla-rpc-port=0", f"--parent-pid={os.getpid()}"],
        cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    words = next(line for line in process.stdout if b"listening" in line).decode().split(":")
    return process, int(words[1].split()[0]), int(words[2].split()[0])


def _memory_mb(process: subprocess.Popen[bytes] | None) -> float:
    return psutil.Process(process.pid).memory_info().rss / 2**20 if process else 0.0


def main() -> int:
    """Flood, drive, compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, help="RPC port of a server that runs already; its memory is not watched")
    options = parser.parse_args()
    server, port, streaming_port = _start(options.port)
    witness = Witness(port)
    expected = witness.drive()
    assert witness.drive() == expected, "the drive is not the same twice, even undisturbed"
    context = multiprocessing.get_context("spawn")
    sent = context.Value("q", 0)
    quota = options.messages // options.processes
    floods = [
        context.Process(target=flood, args=(port, streaming_port, options.seed + number, quota, sent), daemon=True)
        for number in range(options.processes)
    ]
    began, drives, changed, memory = time.monotonic(), 0, 0, [_memory_mb(server)]
    for process in floods:
        process.start()
    try:
        while any(process.is_alive() for process in floods):
            drives += 1
            changed += witness.drive() != expected
            memory.append(_memory_mb(server))
            print(f"{sent.value} messages, {drives} drives, {changed} of them changed, {memory[-1]:.0f} MB", flush=True)
        failed = [process.exitcode for process in floods if process.exitcode]
    finally:
        if server is not None:
            server.terminate()
            server.wait()
    # What is cached at first use does not count.
    growth = memory[-1] - memory[len(memory) // 5]
    print(
        f"{sent.value} messages in {time.monotonic() - began:.0f} s; {drives} drives, {changed} of them changed; "
        f"memory {memory[0]:.0f} MB before, {max(memory):.0f} MB at most, {memory[-1]:.0f} MB at the end; "
        f"processes that failed: {failed}"
    )
    return int(bool(changed or failed or growth > _MOST_GROWTH_MB))


if __name__ == "__main__":
    sys.exit(main())
