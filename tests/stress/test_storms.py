"""Thousands of goroutines over few things: no loss, no duplicate, no hang."""

import gc
import random
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import gopark
from gopark import CLOSED, Chan, G, go, gosched, select, sleep
from gopark.runtime.export_test import check_sched, shrink_rings

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.mark.parametrize("capacity", [0, 1, 100])
def test_many_senders_many_receivers(play: Play, capacity: int) -> None:
    async def main() -> None:
        c = Chan[int](capacity)

        async def send(first: int) -> None:
            for n in range(first, first + 10):
                await c.send(n)

        async def receive() -> list[int]:
            return [n async for n in c]

        receivers = [go(receive()) for _ in range(300)]
        senders = [go(send(10 * i)) for i in range(300)]
        for g in senders:
            await g
        c.close()
        got = [n for g in receivers for n in await g]
        assert sorted(got) == list(range(3000))

    play(main)


def test_each_senders_values_keep_their_order(play: Play) -> None:
    async def main() -> None:
        c = Chan[tuple[int, int]](3)

        async def send(me: int) -> None:
            for n in range(50):
                await c.send((me, n))

        for me in range(40):
            go(send(me))
        next_of = [0] * 40
        for _ in range(2000):
            me, n = await c.recv()
            assert n == next_of[me]
            next_of[me] += 1

    play(main)


def test_the_dead_are_kept_by_nobody(play: Play) -> None:
    """An M that handed its P to another for a goroutine kept that goroutine while it slept."""

    class Thing:
        n = 0

    refs: list[weakref.ref[Thing]] = []

    def make() -> Thing:
        thing = Thing()
        refs.append(weakref.ref(thing))
        for n in range(200):  # long enough to lose its P in
            thing.n = n
        return thing

    async def some() -> None:
        for g in [go(make) for _ in range(300)]:
            await g

    async def main() -> None:
        for _ in range(5):
            await some()
            while any(r() is not None for r in refs):
                gc.collect()
                await gosched()
            refs.clear()

    play(main)


def test_finalizers_call_the_runtime(play: Play) -> None:
    """One that ran while its M waited for a P queued that M's goroutine a second time."""

    async def main() -> None:
        died = Chan[int](20_000)

        class Thing:
            def __del__(self) -> None:
                died.send_nowait(1)

        def make(things: list[Thing]) -> None:
            things.extend(Thing() for _ in range(20))

        async def drop(things: list[Thing]) -> None:
            while things:
                things.pop()
                await gosched()

        heaps: list[list[Thing]] = [[] for _ in range(500)]
        for g in [go(make, things) for things in heaps]:
            await g
        for g in [go(drop, things) for things in heaps]:
            await g
        while len(died) < 500 * 20:
            gc.collect()
            await gosched()

    play(main)


def test_select_storm(play: Play) -> None:
    """Every value arrives once, whichever of the channels it took."""

    async def main() -> None:
        channels = [Chan[int](n % 3) for n in range(4)]
        done = Chan[None]()

        async def send(first: int) -> None:
            for n in range(first, first + 10):
                cases = [(c, n) for c in random.sample(channels, 3)]
                await select(*cases)

        async def receive() -> list[int]:
            got = []
            while True:
                i, v = await select(*channels, done)
                if i == 4:
                    assert v is CLOSED
                    return got
                got.append(v)

        async def swap() -> None:
            """Sends and receives in one select: takes one value and gives it on."""
            while True:
                i, v = await select(channels[0], channels[1], done)
                if i == 2:
                    return
                await select(*[(c, v) for c in channels])

        receivers = [go(receive()) for _ in range(50)]
        swappers = [go(swap()) for _ in range(3)]
        senders = [go(send(10 * i)) for i in range(150)]
        for g in senders:
            await g
        while any(len(c) for c in channels):
            await gosched()
        done.close()
        for s in swappers:
            await s
        rest = []
        for c in channels:
            while len(c):
                rest.append(await c.recv())
        got = [n for r in receivers for n in await r]
        assert sorted(got + rest) == list(range(1500))

    play(main)


def test_select_timeouts_against_senders(play: Play) -> None:
    async def main() -> None:
        c = Chan[int]()
        sent = []

        async def send(n: int) -> None:
            try:
                await select((c, n), timeout=random.random() / 2000)
                sent.append(n)
            except TimeoutError:
                pass

        async def receive() -> int | None:
            try:
                i, v = await select(None, c, timeout=random.random() / 2000)
                assert i == 1
                return v
            except TimeoutError:
                return None

        senders = [go(send(n)) for n in range(1000)]
        receivers = [go(receive()) for _ in range(1000)]
        for g in senders:
            await g
        got = [n for r in receivers if (n := await r) is not None]
        assert sorted(got) == sorted(sent)

    play(main)


def test_close_wakes_everyone(play: Play) -> None:
    async def main() -> None:
        for _ in range(20):
            c = Chan[int]()

            async def receive(c: Chan[int]) -> tuple[int | None, bool]:
                return await c.recv_ok()

            async def watch(c: Chan[int]) -> object:
                return (await select(c, None))[1]

            waiting = [go(receive(c)) for _ in range(50)]
            watching = [go(watch(c)) for _ in range(50)]
            await gosched()
            c.close()
            for g in waiting:
                assert await g == (None, False)
            for w in watching:
                assert await w is CLOSED

    play(main)


def test_spawn_storm(play: Play) -> None:
    async def main() -> None:
        async def tree(depth: int) -> int:
            if depth == 0:
                return 1
            left, right = go(tree(depth - 1)), go(tree(depth - 1))
            return await left + await right

        assert await tree(11) == 2048
        assert gopark.num_goroutine() == 1
        check_sched()

    play(main)


def test_join_storm(play: Play) -> None:
    """Many await one, one awaits many, and some only when it is over."""

    async def main() -> None:
        async def late(n: int) -> int:
            for _ in range(n % 5):
                await gosched()
            if n % 7 == 0:
                raise ArithmeticError(n)
            return n

        async def wait(g: G[int]) -> int:
            try:
                return await g
            except ArithmeticError as exc:
                return int(exc.args[0])

        for _ in range(10):
            goals = [go(late(n)) for n in range(50)]
            waiters = [(n, go(wait(g))) for n, g in enumerate(goals) for _ in range(5)]
            random.shuffle(waiters)
            for n, w in waiters:
                assert await w == n

    play(main)


def test_gosched_storm(play: Play) -> None:
    async def main() -> None:
        shrink_rings(4)

        async def spin(n: int) -> int:
            for _ in range(n):
                await gosched()
            return n

        spinners = [go(spin(n % 20)) for n in range(1000)]
        assert [await g for g in spinners] == [n % 20 for n in range(1000)]
        check_sched()

    play(main)


def test_timer_storm(play: Play) -> None:
    async def main() -> None:
        fired = Chan[int](10000)

        async def sleeper(n: int) -> int:
            for _ in range(3):
                await sleep(random.random() / 300)
            return n

        def stop_half() -> int:
            stopped = 0
            for n in range(500):
                t = gopark.time.after_func(random.random() / 300, fired.send_nowait, n)
                if n % 2:
                    stopped += t.stop()
            return stopped

        sleepers = [go(sleeper(n)) for n in range(1000)]
        stopped = stop_half()
        assert [await g for g in sleepers] == list(range(1000))
        got = [await fired.recv() for _ in range(500 - stopped)]
        assert len(set(got)) == len(got)
        assert set(range(0, 500, 2)) <= set(got)

    play(main)


def test_the_number_of_ps_changes_meanwhile(play: Play) -> None:
    async def main() -> None:
        c, over = Chan[int](2), []

        async def resize() -> None:
            while not over:
                gopark.gomaxprocs(random.choice((1, 2, 3, 8)))
                await sleep(0.0005)

        async def send(first: int) -> None:
            for n in range(first, first + 20):
                await c.send(n)
                if n % 5 == 0:
                    await sleep(0.0001)

        resizers = [go(resize()) for _ in range(2)]
        senders = [go(send(20 * i)) for i in range(100)]
        got = [await c.recv() for _ in range(2000)]
        assert sorted(got) == list(range(2000))
        for g in senders:
            await g
        over.append(True)
        for r in resizers:
            await r
        check_sched()

    play(main)
