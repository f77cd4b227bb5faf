"""What connections, listeners and packet sockets share: a descriptor, its names and options."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, overload

from ..runtime.poll import FD, PARK, WAIT
from ._addr import Addr, UnixAddr, from_sockaddr
from ._errors import ClosedError


class Borrowed(socket.socket):
    """A `socket.socket` that does not own its number, and leaves it open in the end."""

    __slots__ = ()

    # It takes the place of the finalizer that would close it.  (To detach it in time is not
    # enough: in a cycle that the collector takes apart, finalizers run in any order.)
    def __del__(self) -> None:
        pass


class Socket:
    """A socket that the runtime's poller knows.  Made by `dial`, `listen` and the like."""

    # The number belongs to the FD alone.

    __slots__ = ("__weakref__", "_family", "_fd", "_local")

    _type: int

    def __init__(self, number: int, family: int) -> None:
        """Take over a number that does not block."""
        try:
            # A Unix stream has borders, where what comes with bytes (descriptors, say) changes.
            tcp = self._type == socket.SOCK_STREAM and family != socket.AF_UNIX
            self._fd = FD(number, False, tcp)
        except BaseException:
            socket.close(number)
            raise
        self._family = family
        self._local: Addr | None = None

    def fileno(self) -> int:
        """The descriptor's number; -1 once it is closed."""
        return self._fd.fileno()

    @property
    def closed(self) -> bool:
        return self._fd.closed

    def close(self) -> None:
        """Close it; never waits, and may be called again.

        Whoever waits in one of its operations, or calls one afterwards, gets `ClosedError`.
        """
        self._fd.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def local_addr(self) -> Addr:
        """The address of this end (Go: ``LocalAddr``)."""
        if self._local is None:
            self._local = from_sockaddr(self._family, self._call(socket.socket.getsockname))
        return self._local

    @overload
    def getsockopt(self, level: int, option: int) -> int: ...
    @overload
    def getsockopt(self, level: int, option: int, size: int) -> bytes: ...
    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        """An option of the socket, as `socket.socket.getsockopt` gives it."""
        return self._call(socket.socket.getsockopt, level, option, *([size] if size else []))  # type: ignore[no-any-return]

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket, as with `socket.socket.setsockopt`."""
        self._call(socket.socket.setsockopt, level, option, value)

    async def _connected(self) -> None:
        """Wait until a ``connect`` that is under way has succeeded."""
        fd = self._fd
        while fd.waitwrite() is WAIT:
            await PARK
        number = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of `socket.socket` that does not wait."""
        return method(self._borrowed(), *args)

    def _borrowed(self) -> Borrowed:
        number = self.fileno()
        if number < 0:
            raise ClosedError(errno.EBADF, "it has been closed")
        return Borrowed(self._family, self._type, 0, fileno=number)

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__}, closed>"
        return f"<{type(self).__name__} {self._names()}>"

    def _names(self) -> str:
        return str(self.local_addr)


class Deadlines(Socket):
    """Deadlines for operations that wait, as those of Go's ``net.Conn``.

    A deadline is a time of ``time.monotonic()``; None, as at first, is none.  An operation
    that waits past it, or begins after it, raises TimeoutError.  It holds until it is set
    anew, and setting it reaches operations that wait already.
    """

    __slots__ = ()

    def set_deadline(self, at: float | None) -> None:
        """Set the deadline of reading and of writing."""
        self._fd.set_read_deadline(at)
        self._fd.set_write_deadline(at)

    def set_read_deadline(self, at: float | None) -> None:
        self._fd.set_read_deadline(at)

    def set_write_deadline(self, at: float | None) -> None:
        self._fd.set_write_deadline(at)


class Connected(Deadlines):
    """One end of a connection."""

    __slots__ = ("_remote",)

    def __init__(self, number: int, family: int) -> None:
        super().__init__(number, family)
        self._remote: Addr | None = None

    @property
    def remote_addr(self) -> Addr:
        """The address of the other end (Go: ``RemoteAddr``); ``Addr("")`` if there is none."""
        if self._remote is None:
            try:
                self._remote = from_sockaddr(self._family, self._call(socket.socket.getpeername))
            except OSError:
                return UnixAddr("")
        return self._remote

    def _names(self) -> str:
        return f"{self.local_addr} to {self.remote_addr}"
