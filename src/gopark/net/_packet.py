"""`PacketConn`: datagrams, over UDP or a Unix socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ..runtime.poll import PARK, WAIT
from ._addr import Addr, Address, Network, from_sockaddr, host_port, unix_sockaddr
from ._resolve import resolve
from ._socket import Connected

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHUNK = 65536  # more than any datagram over UDP


class PacketConn(Connected):
    """A socket for datagrams (Go: ``net.PacketConn``, ``net.UDPConn``).

    From `dial` it is connected: `read` and `write` exchange datagrams with the other end.
    From `listen_packet` it is not: `read_from` tells who sent one, `write_to` says who is to
    get it.  Any number of goroutines may read and write.  It raises what `Conn` raises.
    """

    __slots__ = ("_sock",)

    _type = socket.SOCK_DGRAM

    def __init__(self, number: int, family: int) -> None:
        super().__init__(number, family)
        # All calls of it go through the FD, which keeps the number open meanwhile.
        self._sock = self._borrowed()
        self._sock.setblocking(False)

    async def read(self, n: int = CHUNK) -> bytes:
        """The next datagram, which may be empty; what is beyond `n` bytes is cut off."""
        fd = self._fd
        while (data := fd.read(n)) is WAIT:
            await PARK
        return data  # type: ignore[no-any-return]

    async def write(self, data: ReadableBuffer) -> None:
        """Send a datagram to the other end."""
        fd = self._fd
        while fd.write(data) is WAIT:
            await PARK

    async def read_from(self, n: int = CHUNK) -> tuple[bytes, Addr]:
        """The next datagram, as `read` gives it, and who sent it (Go: ``ReadFrom``)."""
        fd, recvfrom = self._fd, self._sock.recvfrom
        while (found := fd.call_read(recvfrom, n)) is WAIT:
            await PARK
        return found[0], from_sockaddr(self._family, found[1])

    async def write_to(self, data: ReadableBuffer, address: Address) -> None:
        """Send a datagram to `address`, what `dial` takes (Go: ``WriteTo``)."""
        sockaddr = await self._sockaddr(address)
        fd, sendto = self._fd, self._sock.sendto
        while fd.call_write(sendto, data, sockaddr) is WAIT:
            await PARK

    async def _sockaddr(self, address: Address) -> Any:
        if self._family == socket.AF_UNIX:
            return unix_sockaddr(address)
        network = Network("udp", self._family, self._type)
        # On a socket for IPv6 that serves both, IPv4 is a part of IPv6.
        mapped = socket.AI_V4MAPPED if self._family == socket.AF_INET6 else 0
        found = await resolve(network, *host_port(network, address), mapped)
        return found[0][1]

    def set_broadcast(self, on: bool) -> None:
        """May it send to all of a network?  At first it may."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, on)
