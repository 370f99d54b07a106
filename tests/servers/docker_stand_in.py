"""A `docker` command and its daemon, as far as this project uses them.

    python docker_stand_in.py daemon SOCKET IMAGES     # containers are its children, not the command's
    python docker_stand_in.py SOCKET run|rm|inspect ... # the command

An image is a folder below IMAGES, in which `/` and `:` of its name are `_`. What `run` and `rm` were given
goes to the file `calls` beside the socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path


class Daemon:
    """Runs containers until they end or are removed."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self.containers: dict[str, subprocess.Popen[bytes]] = {}

    def serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        message, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
        request = json.loads(message)
        name = request["name"]
        if request["verb"] == "run":
            status = self.run(name, request["image"], request["command"], descriptors[0])
        elif name not in self.containers:
            status = 1
        elif request["verb"] == "rm":
            os.killpg(self.containers[name].pid, 9)
            status = 0
        else:
            status = self.containers[name].pid
        for descriptor in descriptors:
            os.close(descriptor)
        with connection, contextlib.suppress(BrokenPipeError):  # the command may have been killed
            connection.sendall(b"%d" % status)

    def run(self, name: str, image: str, command: list[str], output: int) -> int:
        folder = self.images / image.replace("/", "_").replace(":", "_")
        if not folder.is_dir():
            os.write(output, f"Unable to find image '{image}' locally\n".encode())
            return 125
        container = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, start_new_session=True)
        self.containers[name] = container
        status = container.wait()
        del self.containers[name]
        return status if status >= 0 else 128 - status


def ask(path: str, request: dict[str, object]) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(request).encode()], [1])
        return int(connection.recv(64) or b"125")


def command(path: str, arguments: list[str]) -> int:
    verb, rest = arguments[0], arguments[1:]
    with open(Path(path).with_name("calls"), "a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    if verb != "run":
        answer = ask(path, {"verb": verb, "name": rest[-1]})
        if verb == "inspect":
            print(answer)
            return 0
        return answer
    options: dict[str, str] = {}
    while rest[0].startswith("--"):
        word = rest.pop(0)
        options[word] = "" if word in ("--rm", "--init") else rest.pop(0)
    return ask(path, {"verb": verb, "name": options["--name"], "image": rest[0], "command": rest[1:]})


if __name__ == "__main__":
    if sys.argv[1] == "daemon":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(sys.argv[2])
            listener.listen()
            print("ready", flush=True)
            Daemon(Path(sys.argv[3])).serve(listener)
    else:
        sys.exit(command(sys.argv[1], sys.argv[2:]))
