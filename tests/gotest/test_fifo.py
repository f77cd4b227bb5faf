"""Go's test/chan/fifo.go: channels are first in, first out, buffered or not."""

import pytest

from gopark import Chan, go, run

N = 100


def test_a_buffered_channel_is_a_fifo(procs: int) -> None:
    async def main() -> list[int]:
        c: Chan[int] = Chan(N)
        for i in range(N):
            await c.send(i)
        return [await c.recv() for _ in range(N)]

    assert run(main, procs=procs) == list(range(N))


@pytest.mark.parametrize("capacity", [0, 1, N])
def test_receivers_that_take_turns_see_the_values_in_order(procs: int, capacity: int) -> None:
    """Each link receives one value, when the link before it says that it has done so."""

    async def main() -> list[int]:
        values: Chan[int] = Chan(capacity)
        turns: list[Chan[int]] = [Chan() for _ in range(N + 1)]
        seen: list[int] = []

        async def link(turn: Chan[int], next_turn: Chan[int]) -> None:
            await turn.recv()
            seen.append(await values.recv())
            await next_turn.send(1)

        for i in range(N):
            go(link(turns[i], turns[i + 1]))
        go(turns[0].send(1))
        for i in range(N):
            await values.send(i)
        await turns[N].recv()
        return seen

    assert run(main, procs=procs) == list(range(N))
