"""`Chan`: the awaitable face of a channel.

These methods are plain Python coroutines on purpose: awaiting a Python coroutine
that returns a value is several times faster than awaiting a compiled object that
does.  Each makes one call into the core, which does all that can be done at once.
``send`` gives no value, and is compiled, in the base class.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Generic, TypeVar

from .runtime.chan import (
    channext,
    chanrecv,
    chanrecv_ok,
    hchan,
    received,
    received_ok,
    receivednext,
)
from .runtime.proc import PARK, WAIT

T = TypeVar("T")


class Chan(hchan, Generic[T]):
    """A channel of values of type ``T``, with Go's semantics.

    ``Chan()`` is unbuffered: a send waits until a receiver takes the value.
    ``Chan(n)`` holds up to ``n`` values that nobody has taken yet.  Values arrive
    in the order sent, and waiters are served first come first.

    Raises TypeError or ValueError if the capacity is not a non-negative int.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # compiled, in hchan, which knows no T

        def send(self, value: T) -> Awaitable[None]: ...
        def send_nowait(self, value: T) -> None: ...
        def recv_nowait(self) -> T: ...

    async def recv(self) -> T:
        """Receive a value; waits for one.  Raises ChanClosed if closed and drained."""
        value = chanrecv(self)
        if value is WAIT:
            await PARK
            return received()  # type: ignore[no-any-return]
        return value  # type: ignore[no-any-return]

    async def recv_ok(self) -> tuple[T | None, bool]:
        """Receive as ``(value, True)``; ``(None, False)`` once closed and drained."""
        pair = chanrecv_ok(self)
        if pair is WAIT:
            await PARK
            return received_ok()
        return pair  # type: ignore[no-any-return]

    def __aiter__(self) -> Chan[T]:
        return self

    async def __anext__(self) -> T:
        value = channext(self)
        if value is WAIT:
            await PARK
            return receivednext()  # type: ignore[no-any-return]
        return value  # type: ignore[no-any-return]
