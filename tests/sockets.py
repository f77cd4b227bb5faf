"""Connections for tests: both ends, or a bare socket at the other end that misbehaves."""

import socket
from typing import Any

from gopark import G, gosched, net


async def until_waiting(*gs: G[Any]) -> None:
    """Let others run until these goroutines wait."""
    for g in gs:
        while g.status != "waiting":
            assert not g.done(), g
            await gosched()


def pair() -> tuple[net.Conn, net.Conn]:
    """Two ends of a Unix connection."""
    return tuple(net.from_socket(sock) for sock in socket.socketpair())


def with_peer() -> tuple[net.Conn, socket.socket]:
    """A connection, and a plain, blocking socket as its other end."""
    ours, theirs = socket.socketpair()
    return net.from_socket(ours), theirs


async def tcp_pair() -> tuple[net.Conn, net.Conn]:
    """Two ends of a TCP connection: who dialled, and who accepted."""
    async with net.listen("tcp", "127.0.0.1:0") as listener:
        dialled = await net.dial("tcp", listener.addr)
        return dialled, await listener.accept()


async def read_all(conn: net.Conn) -> bytes:
    """All until the end of the stream."""
    parts = []
    while part := await conn.read():
        parts.append(part)
    return b"".join(parts)


def fill(conn: net.Conn | socket.socket) -> int:
    """Make a connection full, so that the next write waits; how many bytes that took."""
    sock = socket.socket(fileno=conn.fileno())
    sent = 0
    try:
        while True:
            sent += sock.send(b"f" * 65536, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return sent
    finally:
        sock.detach()
