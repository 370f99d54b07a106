"""What the other end of a connection has not read."""

from __future__ import annotations

import contextlib
import socket

from minicarla.protocol.peer_queue import unread_by_peer


def test_bytes_count_as_unread_until_the_peers_program_has_read_them():
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as ends:
        peer = ends.enter_context(socket.create_connection(listener.getsockname()))
        own = ends.enter_context(listener.accept()[0])
        assert unread_by_peer(own) == 0
        own.sendall(bytes(1000))
        assert peer.recv(600, socket.MSG_WAITALL) == bytes(600)
        assert unread_by_peer(own) == 400
        assert peer.recv(400, socket.MSG_WAITALL) == bytes(400)
        assert unread_by_peer(own) == 0


def test_a_peer_that_is_gone_has_nothing_unread():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        own, _ = listener.accept()
        peer.close()
        with own:
            assert unread_by_peer(own) == 0
