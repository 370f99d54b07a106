"""ssh's ProxyCommand in the tests: standard input and output to a port of loopback, whatever host was meant."""

from __future__ import annotations

import os
import socket
import sys
import threading


def main() -> None:
    """Relays until both sides have closed."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:

        def upstream() -> None:
            while data := os.read(0, 65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=upstream, daemon=True).start()
        while data := connection.recv(65536):
            os.write(1, data)


if __name__ == "__main__":
    main()
