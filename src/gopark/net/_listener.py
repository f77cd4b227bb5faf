"""`listen` and `listen_packet`: to be there for others."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from typing import Any

from .._chan import Chan
from .._select import select
from ..runtime.errors import ChanClosed
from ..runtime.poll import PARK, WAIT
from ._addr import Addr, Address, Network, host_port, network, unix_sockaddr
from ._conn import Conn, with_tcp_defaults
from ._errors import EXHAUSTED, PASSING, ClosedError, failed
from ._packet import PacketConn
from ._resolve import Target, lookup
from ._socket import Deadlines

log = logging.getLogger("gopark.net")

BACKLOG = 65535  # the system has its own limit


class Listener(Deadlines):
    """Accepts connections (Go: ``net.Listener``): ``async for conn in listener:``.

    Any number of goroutines may accept from one; each connection goes to one of them.
    Closing it ends the loops.

    Attributes:
        unlink_on_close: does `close` remove the path of a Unix socket?
    """

    __slots__ = ("_closing", "_path", "unlink_on_close")

    _type = socket.SOCK_STREAM

    def __init__(self, number: int, family: int, path: str | bytes | None = None) -> None:
        super().__init__(number, family)
        self._closing: Chan[None] = Chan()
        self._path = path
        self.unlink_on_close = path is not None

    @property
    def addr(self) -> Addr:
        """Where it listens (Go: ``Addr``)."""
        return self.local_addr

    async def accept(self) -> Conn:
        """Wait for the next connection.

        When the process or the machine has no descriptor or no memory left for it, this waits
        until there is, and says so in the log ``gopark.net``.

        Raises:
            ClosedError: the listener was closed.
            TimeoutError: the deadline for reading is over.
        """
        fd, delay = self._fd, 0.0
        while True:
            try:
                while (number := fd.accept()) is WAIT:
                    await PARK
                return Conn(number, self._family)
            except OSError as exc:
                if exc.errno in EXHAUSTED:
                    delay = await self._pause(exc, delay)
                elif exc.errno not in PASSING:
                    raise

    async def _pause(self, exc: OSError, delay: float) -> float:
        """Let others close what they have; each time for longer."""
        if not delay:
            log.warning("%s cannot accept: %s; it goes on trying", self, exc.strerror)
        delay = min(2 * delay or 0.005, 1.0)
        with suppress(TimeoutError):
            await select(self._closing, timeout=delay)
        return delay

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Conn:
        try:
            return await self.accept()
        except ClosedError:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Close it; never waits, and may be called again.

        Whoever waits in `accept` gets `ClosedError`.  The path of a Unix socket is removed.
        """
        try:
            self._closing.close()
        except ChanClosed:
            return
        if self.unlink_on_close and self._path is not None:
            with suppress(OSError):
                os.unlink(self._path)
        super().close()


def listen(
    network: str, address: Address, *, backlog: int | None = None, reuse_port: bool = False
) -> Listener:
    """Listen at `address` (Go: ``net.Listen``).

    Args:
        network: ``"tcp"``, ``"tcp4"``, ``"tcp6"`` or ``"unix"``.
        address: as for `dial`.  Without a host it is all of this machine's addresses, with port
            0 a free port, which ``listener.addr`` tells.  If a name has several addresses one
            is taken, IPv4 first.
        backlog: how many connections may wait to be accepted; as many as the system
            allows unless told.
        reuse_port: let others who ask for it too listen at the same address; the system shares
            the connections out.

    Raises OSError as the system does, AddrError if the address cannot be understood.
    """
    net = _network(network, socket.SOCK_STREAM)
    with _bound(net, address, reuse_port) as sock:
        try:
            sock.listen(BACKLOG if backlog is None else backlog)
        except OSError as exc:
            raise failed(f"listen {network} {address!r}", exc) from None
        path = _path(sock)
        return Listener(sock.detach(), sock.family, path)


def listen_packet(network: str, address: Address, *, reuse_port: bool = False) -> PacketConn:
    """A socket for datagrams at `address` (Go: ``net.ListenPacket``).

    Args:
        network: ``"udp"``, ``"udp4"``, ``"udp6"`` or ``"unixgram"``.
        address, reuse_port: as for `listen`.
    """
    net = _network(network, socket.SOCK_DGRAM)
    with _bound(net, address, reuse_port) as sock:
        return PacketConn(sock.detach(), sock.family)


def from_socket(sock: socket.socket) -> Conn | Listener | PacketConn:
    """Take over a socket: a connection, a listener, or one for datagrams (Go: ``FileConn`` ...).

    `sock` is detached, and so is closed from then on.
    """
    family, kind = sock.family, sock.type
    if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        raise ValueError(f"a socket for streams or datagrams is needed, not {sock!r}")
    listens = kind == socket.SOCK_STREAM and sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    sock.setblocking(False)
    number = sock.detach()
    if kind == socket.SOCK_DGRAM:
        return PacketConn(number, family)
    return Listener(number, family) if listens else Conn(number, family)


_network = network  # the parameter that has its name is text


def _bound(net: Network, address: Address, reuse_port: bool) -> socket.socket:
    what = f"listen {net.name} {address!r}"
    try:
        family, sockaddr = _target(net, address)
        sock = socket.socket(family, net.kind)
    except OSError as exc:
        raise failed(what, exc) from None
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            _set_options(sock, net, sockaddr, reuse_port)
        sock.bind(sockaddr)
    except OSError as exc:
        sock.close()
        raise failed(what, exc) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket, net: Network, sockaddr: Any, reuse_port: bool) -> None:
    if net.kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with_tcp_defaults(sock)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        both = net.family == socket.AF_UNSPEC and sockaddr[0] == "::"
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)


def _target(net: Network, address: Address) -> Target:
    """Where to bind; this may look up a name, which blocks."""
    if net.family == socket.AF_UNIX:
        return socket.AF_UNIX, unix_sockaddr(address)
    host, port = host_port(net, address)
    if net.family == socket.AF_UNSPEC and host in ("", "::"):
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", port)
        return socket.AF_INET, ("", port)
    found = lookup(net, host, port, socket.AI_PASSIVE)
    return min(found, key=lambda target: target[0] != socket.AF_INET)


def _path(sock: socket.socket) -> str | bytes | None:
    """The path of a Unix socket, if it is one in the file system."""
    path = sock.getsockname() if sock.family == socket.AF_UNIX else None
    return path if isinstance(path, str) and path else None
