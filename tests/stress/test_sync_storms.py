"""Hundreds of goroutines over few locks: none is beside another inside, none is left behind."""

import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import gopark
from gopark import go, gosched, sleep
from gopark.runtime.export_test import check_sched
from gopark.sync import Cond, Mutex, Once, RWMutex, Semaphore, WaitGroup

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


async def linger() -> None:
    """Now and then, let others in."""
    match random.randrange(10):
        case 0:
            await sleep(random.random() / 5000)
        case 1 | 2:
            await gosched()


def test_mutex_storm(play: Play) -> None:
    async def main() -> None:
        mutexes, counts = [Mutex() for _ in range(3)], [0, 0, 0]

        async def work() -> None:
            for _ in range(40):
                k = random.randrange(3)
                async with mutexes[k]:
                    before = counts[k]
                    await linger()
                    counts[k] = before + 1

        for g in [go(work()) for _ in range(300)]:
            await g
        assert sum(counts) == 12000
        assert not any(mu.locked() for mu in mutexes)
        check_sched()

    play(main)


def test_mutexes_in_plain_code_and_other_threads(play: Play) -> None:
    async def main() -> None:
        mu, count = Mutex(), 0

        def plain() -> None:
            nonlocal count
            for _ in range(20):
                gopark.block_on(mu.lock())
                before = count
                count = before + 1
                mu.unlock()

        async def work() -> None:
            nonlocal count
            for _ in range(20):
                async with mu:
                    before = count
                    await linger()
                    count = before + 1

        threads = [threading.Thread(target=plain) for _ in range(3)]
        for t in threads:
            t.start()
        for g in [go(work()) for _ in range(50)] + [go(plain) for _ in range(5)]:
            await g
        while any(t.is_alive() for t in threads):
            await sleep(0.001)
        assert count == 20 * 58

    play(main)


def test_rwmutex_storm(play: Play) -> None:
    async def main() -> None:
        rw, pair = RWMutex(), [0, 0]

        async def read() -> None:
            for _ in range(40):
                async with rw.reader():
                    seen = pair[0]
                    await linger()
                    assert pair == [seen, seen]

        async def write() -> None:
            for _ in range(40):
                async with rw:
                    pair[0] += 1
                    await linger()
                    pair[1] += 1

        async def attempt() -> None:
            for _ in range(40):
                if rw.try_lock():
                    pair[0] += 1
                    await linger()
                    pair[1] += 1
                    rw.unlock()
                elif rw.try_rlock():
                    assert pair[0] == pair[1]
                    rw.runlock()
                await gosched()

        gs = [go(fn()) for fn in [read] * 150 + [write] * 30 + [attempt] * 20]
        for g in gs:
            await g
        assert pair[0] == pair[1] >= 1200
        assert rw.try_lock()
        check_sched()

    play(main)


@pytest.mark.parametrize("size", [1, 7])
def test_semaphore_storm(play: Play, size: int) -> None:
    async def main() -> None:
        sem, guard, out = Semaphore(size), threading.Lock(), 0

        async def work() -> None:
            nonlocal out
            for _ in range(40):
                n = random.randint(0, size)
                await sem.acquire(n)
                with guard:
                    out += n
                    assert out <= size
                await linger()
                with guard:
                    out -= n
                sem.release(n)

        for g in [go(work()) for _ in range(200)]:
            await g
        assert sem.available == size
        check_sched()

    play(main)


def test_cond_storm(play: Play) -> None:
    """A bounded queue, of the textbook: one Mutex, two Conds."""

    async def main() -> None:
        mu = Mutex()
        filled, emptied, queue = Cond(mu), Cond(mu), list[int]()

        async def put(first: int) -> None:
            for n in range(first, first + 40):
                async with mu:
                    await emptied.wait_for(lambda: len(queue) < 3)
                    queue.append(n)
                    filled.signal()

        async def take() -> list[int]:
            got = []
            for _ in range(40):
                async with mu:
                    await filled.wait_for(lambda: queue)
                    got.append(queue.pop(0))
                    emptied.signal()
                await linger()
            return got

        takers = [go(take()) for _ in range(100)]
        for i in range(100):
            go(put(40 * i))
        assert sorted([n for g in takers for n in await g]) == list(range(4000))
        check_sched()

    play(main)


def test_broadcast_storm(play: Play) -> None:
    """A barrier that is used again and again."""

    async def main() -> None:
        cond, arrived, generation, parties = Cond(), 0, 0, 50

        async def meet(times: int) -> None:
            nonlocal arrived, generation
            for n in range(times):
                await linger()
                async with cond:
                    assert generation == n
                    arrived += 1
                    if arrived == parties:
                        arrived, generation = 0, generation + 1
                        cond.broadcast()
                    await cond.wait_for(lambda: generation > n)  # noqa: B023

        for g in [go(meet(60)) for _ in range(parties)]:
            await g
        assert (arrived, generation) == (0, 60)

    play(main)


def test_waitgroup_storm(play: Play) -> None:
    async def main() -> None:
        wg = WaitGroup()

        async def work(ended: list[int], n: int) -> None:
            await linger()
            ended.append(n)

        for _ in range(20):
            ended: list[int] = []
            for n in range(100):
                wg.go(work, ended, n)
            waiters = [go(wg.wait()) for _ in range(10)]
            await wg.wait()
            assert sorted(ended) == list(range(100))
            for g in waiters:
                await g
        while gopark.num_goroutine() > 1:  # each is done a moment before it has ended
            await gosched()

    play(main)


def test_once_storm(play: Play) -> None:
    async def main() -> None:
        for _ in range(60):
            once, calls = Once(), list[int]()

            async def first(calls: list[int] = calls) -> int:
                calls.append(1)
                await linger()
                return len(calls)

            gs = [go(once.do(first)) for _ in range(50)]
            assert [await g for g in gs] == [1] * 50

    play(main)
