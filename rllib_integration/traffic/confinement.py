"""Restricts CARLA's Traffic Manager to this machine: it listens on all interfaces, without authentication."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
from collections.abc import Iterator

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_LOAD, _LOAD_CONSTANT_AND, _TO_X, _JUMP_EQUAL, _JUMP_EQUAL_X, _RETURN = 0x20, 0x54, 0x07, 0x15, 0x1D, 0x06
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF of linux/filter.h
_SOURCE, _DESTINATION = _NETWORK_HEADER + 12, _NETWORK_HEADER + 16  # of an IPv4 header

_FILTER = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (_LOAD, 0, 0, _DESTINATION),
        (_TO_X, 0, 0, 0),
        (_LOAD, 0, 0, _SOURCE),
        (_JUMP_EQUAL_X, 2, 0, 0),  # source equals destination: sent by this machine
        (_LOAD_CONSTANT_AND, 0, 0, 0xFF000000),
        (_JUMP_EQUAL, 0, 1, 0x7F000000),  # 127.0.0.0/8
        (_RETURN, 0, 0, 0xFFFFFFFF),  # accept
        (_RETURN, 0, 0, 0),  # drop
    )
)


def confine_listening_sockets() -> None:
    """Let this process's listening TCP sockets accept packets of this machine only.

    Accepted connections inherit the filter. The library that opened the sockets needs no change.

    Raises:
        OSError: The system has no such filters.
    """
    for listening in _listening_sockets():
        with listening:
            confine(listening)


def confine(listening: socket.socket) -> None:
    """Attach the filter, a program of the kernel's classic packet filter, to one IPv4 socket.

    Raises:
        OSError: The system has no such filters.
    """
    code = ctypes.create_string_buffer(_FILTER, len(_FILTER))
    program = struct.pack("@HP", len(_FILTER) // 8, ctypes.addressof(code))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _listening_sockets() -> Iterator[socket.socket]:
    """Duplicates of this process's listening IPv4 sockets; the caller closes them."""
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptor = os.dup(int(name))
        except OSError:  # the folder itself, which is closed by now
            continue
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            continue
        found = socket.socket(fileno=descriptor)
        if found.family == socket.AF_INET and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield found
        else:
            found.close()
