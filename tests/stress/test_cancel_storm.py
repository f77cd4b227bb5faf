"""Random cancellations against every kind of wait: nothing is lost, taken twice, or left.

Each worker waits in one way after another and is cancelled at any moment; what a
wait tells (it happened, or Cancelled) is put on the books, which must balance.
"""

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import gopark
from gopark import Cancelled, CancelScope, Chan, G, go, gosched, run, select, sleep, sync

ROUNDS = 300


class Books:
    """What went into the channels, and what came out."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sent: set[int] = set()
        self.received: list[int] = []
        self.numbers = iter(range(10**9))
        self.cancelled = 0
        self.done = 0

    def number(self) -> int:
        with self.lock:
            return next(self.numbers)

    def was_sent(self, n: int) -> None:
        with self.lock:
            self.sent.add(n)

    def was_received(self, n: int | None) -> None:
        with self.lock:
            assert n is not None
            self.received.append(n)

    def count(self, cancelled: bool) -> None:
        with self.lock:
            self.cancelled += cancelled
            self.done += not cancelled


async def send(c: Chan[int], books: Books) -> None:
    n = books.number()
    await c.send(n)
    books.was_sent(n)


async def recv(c: Chan[int], books: Books) -> None:
    books.was_received(await c.recv())


async def recv_ok(c: Chan[int], books: Books) -> None:
    value, ok = await c.recv_ok()
    assert ok
    books.was_received(value)


async def select_either(c: Chan[int], books: Books) -> None:
    n = books.number()
    i, value = await select(c, (c, n), timeout=random.choice([None, 0.0005]))
    if i == 0:
        books.was_received(value)
    else:
        books.was_sent(n)


async def sleeps(c: Chan[int], books: Books) -> None:
    await sleep(random.choice([0, 0.00001, 0.001]))


async def joins(c: Chan[int], books: Books) -> None:
    await go(gosched)


async def timed(c: Chan[int], books: Books) -> None:
    with gopark.timeout(0.0003):
        await recv(c, books)


async def blocks_on(c: Chan[int], books: Books) -> None:
    gopark.block_on(recv(c, books))


WAITS: list[Callable[[Chan[int], Books], Any]] = [
    send,
    send,
    recv,
    recv_ok,
    select_either,
    sleeps,
    joins,
    timed,
    blocks_on,
]


async def worker(chans: list[Chan[int]], books: Books, tries: int) -> None:
    """Waits in every way.  Each wait is in a scope of its own, which somebody cancels."""
    for _ in range(tries):
        with CancelScope() as scope:
            assassin = go(assassinate, scope)
            with contextlib.suppress(TimeoutError):
                await random.choice(WAITS)(random.choice(chans), books)
            scope.shield = True
            await assassin
        books.count(scope.cancelled_caught)


async def assassinate(scope: CancelScope) -> None:
    for _ in range(random.randrange(4)):
        await gosched()
    if random.random() < 0.2:
        await sleep(0.0002)
    scope.cancel()


def drain(chans: list[Chan[int]], books: Books) -> None:
    for c in chans:
        while len(c):
            books.was_received(c.recv_nowait())
        for wait in (lambda c=c: c.recv_nowait(), lambda c=c: c.send_nowait(-1)):  # type: ignore[misc]
            if c.capacity == 0:
                with pytest.raises(gopark.WouldBlock):  # nobody stands in line any more
                    wait()


@pytest.mark.parametrize("n", [1, 2, 8])
def test_cancelled_waits(n: int) -> None:
    books = Books()

    async def main() -> None:
        chans: list[Chan[int]] = [Chan(), Chan(), Chan(1), Chan(3)]
        workers = [go(worker(chans, books, ROUNDS // 10)) for _ in range(20)]
        for g in workers:
            await g
        drain(chans, books)
        for _ in range(10_000):  # those that nobody joined any more are about to end
            if gopark.num_goroutine() == 1:
                break
            await gosched()
        assert gopark.num_goroutine() == 1

    for _ in range(3):
        run(main, procs=n)
        assert len(books.received) == len(set(books.received))
        assert set(books.received) == books.sent
    assert books.cancelled
    assert books.done


class Locks:
    """Every kind of lock, and who is inside."""

    def __init__(self) -> None:
        self.mutex = sync.Mutex()
        self.rw = sync.RWMutex()
        self.semaphore = sync.Semaphore(5)
        self.guard = sync.Mutex()
        self.cond = sync.Cond(self.guard)
        self.inside = 0
        self.writers = 0
        self.readers = 0
        self.permits = threading.Lock()
        self.taken = 0

    async def use_mutex(self) -> None:
        async with self.mutex:
            assert self.inside == 0
            self.inside = 1
            try:
                await gosched()
            finally:
                self.inside = 0

    async def write(self) -> None:
        async with self.rw:
            assert (self.writers, self.readers) == (0, 0)
            self.writers = 1
            try:
                await gosched()
            finally:
                self.writers = 0

    def reading(self, d: int) -> None:
        with self.permits:
            self.readers += d
            assert self.readers >= 0

    async def read(self) -> None:
        async with self.rw.reader():
            assert self.writers == 0
            self.reading(1)
            try:
                await gosched()
            finally:
                assert self.writers == 0
                self.reading(-1)

    def taking(self, n: int) -> None:
        with self.permits:
            self.taken += n
            assert 0 <= self.taken <= 5

    async def acquire(self) -> None:
        n = random.choice([1, 1, 1, 2, 4, 5])
        await self.semaphore.acquire(n)
        self.taking(n)
        try:
            await gosched()
        finally:
            self.taking(-n)
            self.semaphore.release(n)

    async def wait(self) -> None:
        async with self.guard:
            assert self.guard.locked()
            try:
                await self.cond.wait()
            finally:
                assert self.guard.locked()

    async def signal(self) -> None:
        random.choice([self.cond.signal, self.cond.broadcast])()

    async def plain(self) -> None:
        gopark.block_on(self.use_mutex())


@pytest.mark.parametrize("n", [1, 2, 8])
def test_cancelled_locks(n: int) -> None:
    """Nobody is let in twice, nobody is forgotten, and all is free in the end."""
    count = Books()

    async def worker(locks: Locks) -> None:
        ways = [locks.use_mutex, locks.use_mutex, locks.write, locks.read, locks.read]
        ways += [locks.acquire, locks.wait, locks.signal, locks.plain]
        for _ in range(ROUNDS // 10):
            way = random.choice(ways)
            with CancelScope() as scope:
                assassin = go(assassinate, scope)
                await way()
                if way == locks.wait:
                    await gosched()
                scope.shield = True
                await assassin
            count.count(scope.cancelled_caught)

    async def main() -> None:
        locks = Locks()
        for g in [go(worker(locks)) for _ in range(20)]:
            await g
        with CancelScope():
            await locks.mutex.lock()
            await locks.rw.lock()
            assert locks.semaphore.try_acquire(5)
            await locks.guard.lock()
        assert not locks.semaphore.try_acquire(1)

    for _ in range(5):
        run(main, procs=n)
    assert count.cancelled
    assert count.done


@pytest.mark.parametrize("n", [1, 2, 8])
def test_cancelled_goroutines(n: int) -> None:
    """`G.cancel` from everywhere, foreign threads too; each goroutine ends once."""

    async def forever(c: Chan[int], kind: int) -> None:
        while True:
            try:
                if kind == 0:
                    await c.recv()
                elif kind == 1:
                    await sleep(0.0001)
                elif kind == 2:
                    await select(c, timeout=0.0001)
                elif kind == 3:
                    gopark.block_on(c.recv())
                else:
                    await gosched()
            except TimeoutError:
                pass
            except Cancelled:
                if random.random() < 0.5:
                    raise  # those that swallow it get the next one

    async def main() -> None:
        c: Chan[int] = Chan()
        gs: list[G[None]] = [go(forever(c, i % 5)) for i in range(60)]

        def cancel_all() -> None:
            for g in random.sample(gs, len(gs)):
                g.cancel("enough")

        threads = [threading.Thread(target=cancel_all) for _ in range(2)]
        for t in threads:
            t.start()
        go(cancel_all)
        for g in gs:
            with pytest.raises(gopark.GoCancelled, match="enough"):
                await g
        with gopark.blocking():
            for t in threads:
                t.join()
        with pytest.raises(gopark.WouldBlock):
            c.send_nowait(1)

    for _ in range(5):
        run(main, procs=n)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_deep_and_wide(n: int) -> None:
    """A tree of scopes is cancelled at its root while it grows and shrinks."""

    async def climb(depth: int, parked: Chan[int]) -> int:
        if depth == 0:
            await parked.recv()
            raise AssertionError("nobody sends")
        try:
            with CancelScope(shield=depth % 7 == 0), CancelScope() as inner:
                if depth % 7 == 0:
                    inner.cancel()
                await climb(depth - 1, parked)
        finally:
            assert gopark.current().status == "running"
        return depth

    async def main() -> None:
        parked: Chan[int] = Chan()
        gs = [go(climb(random.randrange(60), parked)) for _ in range(50)]
        for _ in range(random.randrange(30)):
            await gosched()
        for g in gs:
            g.cancel()
        for g in gs:
            with contextlib.suppress(gopark.GoCancelled):
                await g

    for _ in range(10):
        run(main, procs=n)
