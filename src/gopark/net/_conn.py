"""`Conn`: a stream of bytes in both directions, over TCP or a Unix socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from ..runtime.poll import PARK, WAIT
from ..sync import Mutex
from ._errors import IncompleteReadError, LimitError
from ._socket import Connected

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK = 65536  # how much is read at once, to be buffered
IOV_MAX = 1024  # how many buffers a system takes at once
NO_SENDFILE = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOTSOCK, errno.EOVERFLOW, errno.ESPIPE}
)


class Conn(Connected):
    """A connection (Go: ``net.Conn``, with the reading of ``bufio.Reader``).

    Any number of goroutines may write, and none sees its bytes mixed with those of others.
    One at a time may read.  ``async with conn:`` closes it in the end.

    All that waits raises TimeoutError past the deadline, `ClosedError` when the connection
    is closed, and OSError as the system does (ConnectionResetError, BrokenPipeError ...).
    A read that is called off, or is too late, has lost nothing: the next one begins where
    it began.  What is called off while it writes may have written a part.
    """

    # What has been read and not been taken is _buffer[_start:].  It is bytes as it came, and
    # a bytearray once a second piece had to be added.

    __slots__ = ("_buffer", "_mutex", "_start")

    _type = socket.SOCK_STREAM

    def __init__(self, number: int, family: int) -> None:
        super().__init__(number, family)
        self._buffer: bytes | bytearray = b""
        self._start = 0
        self._mutex = Mutex()  # who writes

    # -- reading --------------------------------------------------------------

    async def read(self, n: int = CHUNK) -> bytes:
        """Up to `n` bytes, as soon as there are any; ``b""`` at the end of the stream."""
        if self._buffer:
            return self._take(n)
        fd = self._fd
        while (data := fd.read(n)) is WAIT:
            await PARK
        return data  # type: ignore[no-any-return]

    async def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into `buffer`, as much as there is; returns how many bytes, 0 at the end."""
        if self._buffer:
            view = memoryview(buffer).cast("B")
            data = self._take(len(view))
            view[: len(data)] = data
            return len(data)
        fd = self._fd
        while (n := fd.readinto(buffer)) is WAIT:
            await PARK
        return n  # type: ignore[no-any-return]

    async def read_exactly(self, n: int) -> bytes:
        """`n` bytes, no more and no fewer (Go: ``io.ReadFull``).

        Raises IncompleteReadError if the stream ends before.
        """
        if n < 0:
            raise ValueError(f"cannot read {n} bytes")
        if n > CHUNK:
            return await self._read_large(n)
        while self._buffered() < n:
            if not await self._fill():
                raise self._incomplete(f"{n} bytes")
        return self._take(n)

    async def _read_large(self, n: int) -> bytes:
        """The same, past the buffer, and never with more memory than has come."""
        parts, missing = [], n
        try:
            while missing:
                part = await self.read(min(missing, 4 * CHUNK))
                parts.append(part)
                missing -= len(part)
                if not part:
                    break
        except BaseException:
            if not self.closed:
                self._buffer = b"".join(parts)
            raise
        data = b"".join(parts)
        if missing:
            self._buffer = data
            raise self._incomplete(f"{n} bytes")
        return data

    async def read_until(self, separator: bytes = b"\n", limit: int = CHUNK) -> bytes:
        """All bytes up to the first `separator`, and it too (Go: ``bufio.Reader.ReadBytes``).

        Raises:
            IncompleteReadError: the stream ended before; the rest is its ``partial``, which is
                empty if nothing was left.
            LimitError: that would be more than `limit` bytes, which stay to be read.
        """
        width, seen = len(separator), 0
        if not width:
            raise ValueError("the separator is empty")
        while (at := self._buffer.find(separator, self._start + seen)) < 0:
            if self._buffered() >= limit:
                raise LimitError(f"no {separator!r} within {limit} bytes")
            seen = max(0, self._buffered() - width + 1)
            if not await self._fill():
                raise self._incomplete(repr(separator))
        size = at + width - self._start
        if size > limit:
            raise LimitError(f"no {separator!r} within {limit} bytes")
        return self._take(size)

    def _buffered(self) -> int:
        return len(self._buffer) - self._start

    def _take(self, n: int) -> bytes:
        """Up to `n` bytes of the buffer; whoever takes the last frees it."""
        if n < 0:
            raise ValueError(f"cannot read {n} bytes")
        buffer, start = self._buffer, self._start
        end = start + n
        if end < len(buffer):
            self._start = end
        else:
            self._buffer, self._start = b"", 0
        return bytes(buffer[start:end])

    async def _fill(self) -> int:
        """Add what comes next to the buffer; how many bytes that is, 0 at the end."""
        fd = self._fd
        while (data := fd.read(CHUNK)) is WAIT:
            await PARK
        if not self._buffer:
            self._buffer = data
            return len(data)
        if isinstance(self._buffer, bytearray):
            del self._buffer[: self._start]
        else:
            self._buffer = bytearray(self._buffer[self._start :])
        self._start = 0
        self._buffer += data
        return len(data)

    def _incomplete(self, wanted: str) -> IncompleteReadError:
        partial = self._take(self._buffered())
        return IncompleteReadError(
            f"the stream ended after {len(partial)} bytes, before {wanted}", partial
        )

    # -- writing --------------------------------------------------------------

    async def write(self, data: ReadableBuffer | Sequence[ReadableBuffer]) -> None:
        """Write all of `data`: bytes or the like, or a list or tuple of such."""
        if not self._mutex.try_lock():
            await self._mutex.lock()
        try:
            fd = self._fd
            if type(data) is not bytes:
                if isinstance(data, (list, tuple)):
                    return await self._writev([_octets(part) for part in data])
                data = _octets(data)  # type: ignore[arg-type]
            while (n := fd.write(data)) is WAIT:
                await PARK
            if n < len(data):
                await self._write_rest(memoryview(data)[n:])
        finally:
            self._mutex.unlock()

    async def _write_rest(self, view: memoryview) -> None:
        fd = self._fd
        while view:
            while (n := fd.write(view)) is WAIT:
                await PARK
            view = view[n:]

    async def _writev(self, views: list[memoryview]) -> None:
        fd = self._fd
        first = 0
        while first < len(views):
            while (n := fd.writev(views[first : first + IOV_MAX])) is WAIT:
                await PARK
            while first < len(views) and n >= len(views[first]):
                n -= len(views[first])
                first += 1
            if n:
                views[first] = views[first][n:]

    async def sendfile(
        self, file: BinaryIO | int, offset: int = 0, count: int | None = None
    ) -> int:
        """Send a file from `offset` on, `count` bytes of it or all; returns how many.

        The system copies it (``sendfile``), where it can; else it is read and written.  A real
        file's own position stays; any other object is read from, after a ``seek`` if it can.
        """
        if offset < 0 or (count is not None and count < 0):
            raise ValueError("offset and count of a file cannot be negative")
        if not self._mutex.try_lock():
            await self._mutex.lock()
        try:
            number = _number(file)
            sent = 0 if number is None else await self._sendfile(number, offset, count)
            if sent is None or number is None:
                sent = await self._copy(_reader(file, number, offset), count)
            return sent
        finally:
            self._mutex.unlock()

    async def _sendfile(self, number: int, offset: int, count: int | None) -> int | None:
        """By the system; None if it cannot do so with this file."""
        fd, sent = self._fd, 0
        while count is None or sent < count:
            most = 1 << 30 if count is None else min(count - sent, 1 << 30)
            try:
                while (n := fd.sendfile(number, offset + sent, most)) is WAIT:
                    await PARK
            except OSError as exc:
                if sent == 0 and exc.errno in NO_SENDFILE:
                    return None
                raise
            if n == 0:
                break
            sent += n
        return sent

    async def _copy(self, read: Callable[[int], bytes], count: int | None) -> int:
        sent = 0
        while count is None or sent < count:
            data = read(CHUNK if count is None else min(count - sent, CHUNK))
            if not data:
                break
            await self._write_rest(memoryview(data))
            sent += len(data)
        return sent

    # -- ending ---------------------------------------------------------------

    def close(self) -> None:
        """Close it; never waits, and may be called again.

        What has been written is still sent, what has not been read is dropped.  Whoever
        waits in an operation, or calls one afterwards, gets `ClosedError`.
        """
        super().close()
        self._buffer, self._start = b"", 0

    def close_write(self) -> None:
        """Send the end of the stream: the other end reads ``b""`` (Go: ``CloseWrite``)."""
        self._call(socket.socket.shutdown, socket.SHUT_WR)

    def close_read(self) -> None:
        """Read no more: it is the end of the stream from now on (Go: ``CloseRead``)."""
        self._call(socket.socket.shutdown, socket.SHUT_RD)
        self._buffer, self._start = b"", 0

    # -- options --------------------------------------------------------------

    def set_nodelay(self, on: bool) -> None:
        """Send small pieces at once, as TCP connections do unless told otherwise."""
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, on)

    def set_keepalive(self, seconds: float | None) -> None:
        """Ask after a silent peer every so many seconds; None: never.  At first it is 15."""
        with_keepalive(self.setsockopt, seconds)

    def set_linger(self, seconds: float | None) -> None:
        """What becomes of unsent data at `close`: sent behind the scenes (None, as at first),
        for up to so many seconds, or with 0 dropped, and the connection reset.
        """
        value = struct.pack("ii", seconds is not None, int(seconds or 0))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)


def with_keepalive(setsockopt: Callable[[int, int, int], object], seconds: float | None) -> None:
    """Keepalive as Go has it: as long between two questions as before the first."""
    setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, seconds is not None)
    if seconds is not None:
        for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
            option = getattr(socket, name, None)  # TCP_KEEPALIVE is macOS's TCP_KEEPIDLE
            if option is not None:
                setsockopt(socket.IPPROTO_TCP, option, max(1, round(seconds)))


def with_tcp_defaults(sock: socket.socket) -> None:
    """As Go has them.  What a listener accepts inherits them."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with_keepalive(sock.setsockopt, 15)


def _octets(data: ReadableBuffer) -> memoryview:
    """Its bytes, whatever items it has."""
    view = memoryview(data)
    if view.ndim == 1 and view.format == "B":
        return view
    return view.cast("B") if view.nbytes else memoryview(b"")


def _number(file: Any) -> int | None:
    """A file's descriptor, if it has one."""
    if isinstance(file, int):
        return file
    try:
        return int(file.fileno())
    except (AttributeError, OSError):  # io.UnsupportedOperation is one
        return None


def _reader(file: Any, number: int | None, offset: int) -> Callable[[int], bytes]:
    """What reads on from `offset`."""
    if number is None:
        if file.seekable():
            file.seek(offset)
        return file.read  # type: ignore[no-any-return]
    position = offset

    def read(n: int) -> bytes:
        nonlocal position
        try:
            data = os.pread(number, n, position)
        except OSError as exc:
            if exc.errno != errno.ESPIPE or position:
                raise
            return os.read(number, n)  # a pipe
        position += len(data)
        return data

    return read
