"""A program that answers a CARLA client's question for the version, and can be told to misbehave.

    python answering_server.py -carla-rpc-port=PORT [--version V] [--ACT-after N] [--children N]

It starts within some 30 ms, which keeps tests of starting and ending servers short. After so many answered requests
it acts: `die`, `freeze`, `lock` itself up, or `spin` without answering any more. What it was started with is its first
line of output.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading

import msgpack


def answer(connection: socket.socket, message_id: int, method: str, version: str) -> None:
    if method == "version":
        connection.sendall(msgpack.packb([1, message_id, None, [[1, version]]]))
    else:
        connection.sendall(msgpack.packb([1, message_id, f"no method {method}", None]))


def spin() -> None:
    while True:
        pass


ACTS = {
    "die": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "lock": lambda: threading.Event().wait(),
    "spin": spin,
}


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-carla-rpc-port", type=int, required=True)
    parser.add_argument("--version", default="0.9.16")
    for name in ACTS:
        parser.add_argument(f"--{name}-after", type=int, default=0)
    parser.add_argument("--children", type=int, default=0)
    options, _ = parser.parse_known_args()
    print("arguments:", sys.argv[1:], flush=True)
    for _ in range(options.children):
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    listener = socket.create_server(("127.0.0.1", options.carla_rpc_port))
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    unpackers: dict[socket.socket, msgpack.Unpacker] = {}
    answered = 0
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                unpackers[connection] = msgpack.Unpacker()
                selector.register(connection, selectors.EVENT_READ)
                continue
            assert isinstance(key.fileobj, socket.socket)
            connection = key.fileobj
            try:
                received = connection.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                selector.unregister(connection)
                del unpackers[connection]
                connection.close()
                continue
            unpackers[connection].feed(received)
            for _, message_id, method, _ in unpackers[connection]:
                answer(connection, message_id, method, options.version)
                answered += 1
                for name, act in ACTS.items():
                    if answered == getattr(options, f"{name}_after"):
                        act()


if __name__ == "__main__":
    main()
