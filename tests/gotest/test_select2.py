"""Go's test/chan/select2.go: selects must not use up memory."""

import gc
import tracemalloc

from gopark import Chan, go, run, select

WARM_UP, ROUNDS = 1000, 20_000


def test_memory_does_not_grow_with_the_number_of_selects() -> None:
    async def send(c: Chan[int], n: int) -> None:
        for _ in range(n):
            await c.send(1)

    async def receive(c: Chan[int], never: Chan[int], n: int) -> None:
        for _ in range(n):
            assert await select(c, never) == (0, 1)

    async def exchange(n: int) -> None:
        c: Chan[int] = Chan()
        never: Chan[int] = Chan()
        sender, receiver = go(send(c, n)), go(receive(c, never, n))
        await sender
        await receiver

    async def growth() -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        await exchange(ROUNDS)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    # What died on another thread than its maker's waits for that one (free-threaded
    # builds), so one round may seem to grow; a leak would show in every one.
    async def main() -> int:
        await exchange(WARM_UP)
        return min([await growth() for _ in range(4)])

    tracemalloc.start()
    try:
        grown = run(main, procs=1)
    finally:
        tracemalloc.stop()
    assert grown < ROUNDS  # not even one byte for each select
