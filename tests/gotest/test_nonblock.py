"""Go's test/chan/nonblock.go: which operations can go ahead without waiting, and which cannot.

Each fact is checked through both non-blocking forms: the ``_nowait`` methods, and
a select with a default.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gopark import Chan, WouldBlock, go, gosched, run, select

Try = Callable[[Chan[Any], Any], Awaitable[bool]]


async def send_nowait(c: Chan[Any], value: Any) -> bool:
    try:
        c.send_nowait(value)
    except WouldBlock:
        return False
    return True


async def select_send(c: Chan[Any], value: Any) -> bool:
    return await select((c, value), default=True) == (0, None)


async def recv_nowait(c: Chan[Any], value: Any) -> bool:
    try:
        received = c.recv_nowait()
    except WouldBlock:
        return False
    assert received == value
    return True


async def select_recv(c: Chan[Any], value: Any) -> bool:
    outcome = await select(c, default=True)
    assert outcome in ((-1, None), (0, value))
    return outcome[0] == 0


forms = pytest.mark.parametrize(
    ("try_send", "try_recv"), [(send_nowait, recv_nowait), (select_send, select_recv)]
)
values = pytest.mark.parametrize("value", [True, 7, "hi", 2.5, None, (1, [2])])


async def eventually(attempt: Callable[[], Awaitable[bool]]) -> None:
    while not await attempt():
        await gosched()


@forms
@values
def test_an_unbuffered_channel(procs: int, try_send: Try, try_recv: Try, value: Any) -> None:
    async def main() -> None:
        c: Chan[Any] = Chan()
        assert not await try_recv(c, value)
        assert not await try_send(c, value)

        receiver = go(c.recv())
        await eventually(lambda: try_send(c, value))
        assert await receiver == value

        sender = go(c.send(value))
        await eventually(lambda: try_recv(c, value))
        await sender
        assert not await try_recv(c, value)
        assert not await try_send(c, value)

    run(main, procs=procs)


@forms
@values
def test_a_channel_with_room_for_one(procs: int, try_send: Try, try_recv: Try, value: Any) -> None:
    async def main() -> None:
        c: Chan[Any] = Chan(1)
        assert not await try_recv(c, value)
        assert await try_send(c, value)
        assert not await try_send(c, value)
        assert await try_recv(c, value)
        assert not await try_recv(c, value)

        await c.send(value)
        sender = go(c.send(value))
        await eventually(lambda: try_recv(c, value))
        await sender
        assert not await try_send(c, value)
        assert await try_recv(c, value)

    run(main, procs=procs)
