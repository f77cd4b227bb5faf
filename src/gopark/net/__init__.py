"""Connections: TCP, UDP and Unix sockets (Go: ``net``).

Code that waits reads as if it blocked, and parks its goroutine alone::

    async def serve(conn: net.Conn) -> None:
        async with conn:
            while data := await conn.read():
                await conn.write(data)

    async with net.listen("tcp", ":7") as listener:
        async for conn in listener:
            go(serve(conn))

Everything that waits can be cancelled, has deadlines (`Conn.set_deadline`), and ends with
`ClosedError` when the connection is closed by another goroutine.
"""

from ._addr import Addr, Address, UnixAddr, join_host_port, split_host_port
from ._conn import Conn
from ._dial import dial
from ._errors import AddrError, ClosedError, IncompleteReadError, LimitError
from ._listener import Listener, from_socket, listen, listen_packet
from ._packet import PacketConn
from ._resolve import lookup_host
from ._wait import wait_readable, wait_writable

__all__ = [
    "Addr",
    "AddrError",
    "Address",
    "ClosedError",
    "Conn",
    "IncompleteReadError",
    "LimitError",
    "Listener",
    "PacketConn",
    "UnixAddr",
    "dial",
    "from_socket",
    "join_host_port",
    "listen",
    "listen_packet",
    "lookup_host",
    "split_host_port",
    "wait_readable",
    "wait_writable",
]
