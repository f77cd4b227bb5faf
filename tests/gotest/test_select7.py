"""Go's test/chan/select7.go: every way to send meets every way to receive."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gopark import Chan, go, gosched, run, select

Do = Callable[[Chan[int]], Awaitable[Any]]


async def recv(c: Chan[int]) -> None:
    assert await c.recv() == 1


async def recv_by_select(c: Chan[int]) -> None:
    assert await select(c) == (0, 1)


async def recv_by_select_of_two(c: Chan[int]) -> None:
    never: Chan[int] = Chan()
    assert await select(never, c) == (1, 1)


async def send(c: Chan[int]) -> None:
    await c.send(1)


async def send_by_select(c: Chan[int]) -> None:
    assert await select((c, 1)) == (0, None)


async def send_by_select_of_two(c: Chan[int]) -> None:
    never: Chan[int] = Chan()
    assert await select((never, 2), (c, 1)) == (1, None)


async def send_by_polling(c: Chan[int]) -> None:
    while (await select((c, 1), default=True))[0] < 0:
        await gosched()


@pytest.mark.parametrize("receive", [recv, recv_by_select, recv_by_select_of_two])
@pytest.mark.parametrize("give", [send, send_by_select, send_by_select_of_two, send_by_polling])
@pytest.mark.parametrize("sender_first", [False, True])
def test_they_meet(procs: int, receive: Do, give: Do, sender_first: bool) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        both = [go(do(c)) for do in ((give, receive) if sender_first else (receive, give))]
        for g in both:
            await g

    run(main, procs=procs)
