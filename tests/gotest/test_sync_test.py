"""Go's src/sync/*_test.go, x/sync/semaphore and runtime/sema_test.go: what they check of locks.

What Go makes a fatal error or a panic is a RuntimeError here. Not here is what Python leaves
no room for (alignment, escape, the vet check for copies), and what is said of contexts.
"""

import time

import pytest

from gopark import Chan, go, gosched, run, select, sleep
from gopark.sync import Cond, Mutex, Once, RWMutex, Semaphore, WaitGroup

# -- mutex_test.go ------------------------------------------------------------


def test_hammer_mutex(procs: int) -> None:
    """TestMutex: ten goroutines, a thousand rounds, every third by TryLock."""

    async def main() -> int:
        mu, done = Mutex(), Chan[bool]()
        count = 0

        assert mu.try_lock()
        assert not mu.try_lock()
        mu.unlock()

        async def hammer() -> None:
            nonlocal count
            for i in range(1000):
                if i % 3 == 0:
                    if mu.try_lock():
                        mu.unlock()
                    continue
                await mu.lock()
                count += 1
                mu.unlock()
            await done.send(True)

        for _ in range(10):
            go(hammer())
        for _ in range(10):
            await done.recv()
        return count

    assert run(main, procs=procs) == 10 * 666


def test_mutex_misuse() -> None:
    """TestMutexMisuse: each of these is fatal in Go, the second time too."""
    mu, rw = Mutex(), RWMutex()
    for _ in range(2):
        for misuse in (mu.unlock, rw.unlock, rw.runlock):
            with pytest.raises(RuntimeError, match="not locked"):
                misuse()
        assert mu.try_lock()
        mu.unlock()
        assert rw.try_lock()
        with pytest.raises(RuntimeError, match="not locked for reading"):
            rw.runlock()
        rw.unlock()
        assert rw.try_rlock()
        with pytest.raises(RuntimeError, match="not locked for writing"):
            rw.unlock()
        rw.runlock()


def test_mutex_fairness(procs: int) -> None:
    """TestMutexFairness: one holds it for long again and again; who asks rarely gets it."""

    async def main() -> None:
        mu, stop, done = Mutex(), Chan[None](), Chan[None](1)

        async def hog() -> None:
            while (await select(stop, default=True))[0] < 0:
                await mu.lock()
                await sleep(100e-6)
                mu.unlock()

        async def rare() -> None:
            for _ in range(10):
                await sleep(100e-6)
                await mu.lock()
                mu.unlock()
            await done.send(None)

        g = go(hog())
        go(rare())
        await done.recv()
        stop.close()
        await g

    run(main, procs=procs)


# -- rwmutex_test.go ----------------------------------------------------------


@pytest.mark.parametrize("readers", [1, 3, 4])
def test_parallel_readers(procs: int, readers: int) -> None:
    """TestParallelReaders: all are inside at the same time."""

    async def main() -> None:
        rw, locked, unlock, done = RWMutex(), Chan[None](), Chan[None](), Chan[None]()

        async def read() -> None:
            await rw.rlock()
            await locked.send(None)
            await unlock.recv()
            rw.runlock()
            await done.send(None)

        for _ in range(readers):
            go(read())
        for _ in range(readers):
            await locked.recv()
        for _ in range(readers):
            await unlock.send(None)
        for _ in range(readers):
            await done.recv()

    run(main, procs=procs)


@pytest.mark.parametrize("readers", [1, 3, 10])
def test_hammer_rwmutex(procs: int, readers: int) -> None:
    """TestRWMutex: readers count 1, writers 10,000; what each sees inside must fit."""

    async def main() -> None:
        rw, done = RWMutex(), Chan[None]()
        # One field each: without the GIL a sum of two counts has no lock.
        active = [0] * (readers + 2)

        async def read(me: int) -> None:
            for _ in range(100):
                await rw.rlock()
                active[me] = 1
                assert 1 <= sum(active) < 10_000
                await gosched()
                active[me] = 0
                rw.runlock()
            await done.send(None)

        async def write(me: int) -> None:
            for _ in range(100):
                await rw.lock()
                active[me] = 10_000
                assert sum(active) == 10_000
                await gosched()
                active[me] = 0
                rw.unlock()
            await done.send(None)

        go(write(readers))
        for i in range(readers):
            go(read(i))
        go(write(readers + 1))
        for _ in range(readers + 2):
            await done.recv()

    run(main, procs=procs)


def test_rlocker(procs: int) -> None:
    """TestRLocker: what RLocker gives reads; writer and readers take turns through it."""

    async def main() -> None:
        rw, wlocked, rlocked = RWMutex(), Chan[bool](1), Chan[bool](1)
        n = 10

        async def write() -> None:
            for _ in range(n):
                async with rw.reader(), rw.reader():
                    await rlocked.send(True)
                    await sleep(100e-6)
                    await wlocked.send(True)
                    await sleep(0)
                await rw.lock()
                rw.unlock()

        g = go(write())
        for _ in range(n):
            await rlocked.recv()
            assert not rw.try_lock()
            await wlocked.recv()
        await g

    run(main, procs=procs)


# -- cond_test.go -------------------------------------------------------------


def test_cond_signal(procs: int) -> None:
    """TestCondSignal: one signal wakes exactly one."""

    async def main() -> None:
        mu = Mutex()
        c, n = Cond(mu), 2
        running, awake = Chan[bool](n), Chan[bool](n)

        async def wait() -> None:
            await mu.lock()
            await running.send(True)
            await c.wait()
            await awake.send(True)
            mu.unlock()

        for _ in range(n):
            go(wait())
        for _ in range(n):
            await running.recv()
        while n > 0:
            assert len(awake) == 0
            await mu.lock()
            c.signal()
            mu.unlock()
            await awake.recv()
            assert len(awake) == 0
            n -= 1
        c.signal()

    run(main, procs=procs)


def test_cond_signal_generations(procs: int) -> None:
    """TestCondSignalGenerations: they are woken in the order in which they came."""

    async def main() -> None:
        mu = Mutex()
        c, n = Cond(mu), 100
        running, awake = Chan[bool](n), Chan[int](n)

        async def wait(i: int) -> None:
            await mu.lock()
            await running.send(True)
            await c.wait()
            await awake.send(i)
            mu.unlock()

        for i in range(n):
            go(wait(i))
            if i > 0:
                assert await awake.recv() == i - 1
            await running.recv()
            await mu.lock()
            c.signal()
            mu.unlock()
        assert await awake.recv() == n - 1

    run(main, procs=procs)


def test_cond_broadcast(procs: int) -> None:
    """TestCondBroadcast: every broadcast wakes everybody once."""

    async def main() -> None:
        mu = Mutex()
        c, n, over = Cond(mu), 50, False
        running, awake = Chan[int](n), Chan[int](n)

        async def wait(i: int) -> None:
            await mu.lock()
            while not over:
                await running.send(i)
                await c.wait()
                await awake.send(i)
            mu.unlock()

        gs = [go(wait(i)) for i in range(n)]
        for i in range(n):
            for _ in range(n):
                await running.recv()
            await mu.lock()
            over = i == n - 1
            assert len(awake) == 0
            c.broadcast()
            mu.unlock()
            assert sorted([await awake.recv() for _ in range(n)]) == list(range(n))
        for g in gs:
            await g
        c.broadcast()

    run(main, procs=procs)


def test_cond_race(procs: int) -> None:
    """TestRace: a value that three hand on by one Cond."""

    async def main() -> None:
        c, x, done = Cond(), 0, Chan[bool]()

        async def first() -> None:
            nonlocal x
            async with c:
                x = 1
                await c.wait()
                assert x == 2
                x = 3
                c.signal()
            await done.send(True)

        async def second() -> None:
            nonlocal x
            while True:
                async with c:
                    if x == 1:
                        x = 2
                        c.signal()
                        break
                await gosched()
            await done.send(True)

        async def third() -> None:
            while True:
                async with c:
                    if x == 2:
                        await c.wait()
                        assert x == 3
                        break
                    if x == 3:
                        break
                await gosched()
            await done.send(True)

        for fn in (first, second, third):
            go(fn())
        for _ in range(3):
            await done.recv()

    run(main, procs=procs)


def test_cond_signal_stealing(procs: int) -> None:
    """TestCondSignalStealing: who waits after a signal does not steal it."""

    async def main() -> None:
        for _ in range(200):
            mu = Mutex()
            c, ch = Cond(mu), Chan[None](1)

            async def first(c: Cond = c, ch: Chan[None] = ch) -> None:
                async with c:
                    await ch.send(None)
                    await c.wait()
                await ch.send(None)

            go(first())
            await ch.recv()
            async with mu:
                pass
            go(_late(c))
            c.signal()
            await ch.recv()
            c.broadcast()

    run(main, procs=procs)


async def _late(c: Cond) -> None:
    async with c:
        await c.wait()


# -- waitgroup_test.go --------------------------------------------------------


def test_waitgroup(procs: int) -> None:
    """TestWaitGroup: two of them let two groups of sixteen meet, eight times over."""

    async def main() -> None:
        wg1, wg2, n = WaitGroup(), WaitGroup(), 16
        for _ in range(8):
            wg1.add(n)
            wg2.add(n)
            exited = Chan[bool](n)

            async def part(exited: Chan[bool] = exited) -> None:
                wg1.done()
                await wg2.wait()
                await exited.send(True)

            for _ in range(n):
                go(part())
            await wg1.wait()
            for _ in range(n):
                assert len(exited) == 0, "released too soon"
                wg2.done()
            for _ in range(n):
                assert await exited.recv()

    run(main, procs=procs)


def test_waitgroup_misuse() -> None:
    """TestWaitGroupMisuse."""
    wg = WaitGroup()
    wg.add(1)
    wg.done()
    with pytest.raises(RuntimeError, match="negative WaitGroup counter"):
        wg.done()


def test_waitgroup_race(procs: int) -> None:
    """TestWaitGroupRace: what the two did is there once the wait is over."""

    async def main() -> None:
        for _ in range(200):
            wg, ns = WaitGroup(), [0, 0]

            async def add(i: int, wg: WaitGroup = wg, ns: list[int] = ns) -> None:
                ns[i] += 1
                wg.done()

            wg.add(1)
            go(add(0))
            wg.add(1)
            go(add(1))
            await wg.wait()
            assert ns == [1, 1]

    run(main, procs=procs)


def test_waitgroup_go(procs: int) -> None:
    """TestWaitGroupGo: a thousand."""

    async def main() -> None:
        wg, ran = WaitGroup(), list[int]()
        for i in range(1000):
            wg.go(ran.append, i)
        await wg.wait()
        assert sorted(ran) == list(range(1000))

    run(main, procs=procs)


# -- once_test.go, oncefunc_test.go -------------------------------------------


def test_once(procs: int) -> None:
    """TestOnce: nobody comes back before it has run, and it runs once."""

    async def main() -> None:
        once, done, o = Once(), Chan[bool](), list[int]()

        async def call() -> None:
            await once.do(o.append, 1)
            assert o == [1]
            await done.send(True)

        for _ in range(10):
            go(call())
        for _ in range(10):
            await done.recv()
        assert o == [1]

    run(main, procs=procs)


def test_once_that_fails(procs: int) -> None:
    """TestOncePanic, TestOnceValuePanic: it has run, and fails for all in the same way."""

    async def main() -> None:
        once, calls = Once(), list[int]()

        def fail() -> None:
            calls.append(1)
            raise LookupError("failed")

        for _ in range(5):
            with pytest.raises(LookupError, match="failed"):
                await once.do(fail)
        with pytest.raises(LookupError, match="failed"):
            await once.do(lambda: pytest.fail("called twice"))
        assert len(calls) == 1

    run(main, procs=procs)


# -- x/sync/semaphore ---------------------------------------------------------


def test_hammer_semaphore(procs: int) -> None:
    """TestWeighted."""

    async def main() -> None:
        n, loops = 8, 300
        sem = Semaphore(n)

        async def hammer(weight: int) -> None:
            for _ in range(loops):
                await sem.acquire(weight)
                await gosched()
                sem.release(weight)

        for g in [go(hammer(i)) for i in range(n)]:
            await g
        assert sem.available == n

    run(main, procs=procs)


def test_semaphore_misuse() -> None:
    """TestWeightedPanic."""
    sem = Semaphore(1)
    with pytest.raises(RuntimeError, match="less is acquired"):
        sem.release(1)


def test_try_acquire() -> None:
    """TestWeightedTryAcquire, TestWeightedAcquire."""

    async def main() -> None:
        sem = Semaphore(2)
        tries = []
        await sem.acquire(1)
        tries.append(sem.try_acquire(1))
        tries.append(sem.try_acquire(1))
        sem.release(2)
        tries.append(sem.try_acquire(1))
        await sem.acquire(1)
        tries.append(sem.try_acquire(1))
        assert tries == [True, False, True, False]

    run(main)


def test_large_acquire_does_not_starve(procs: int) -> None:
    """TestLargeAcquireDoesntStarve: one who wants all gets it, however busy the others are."""

    async def main() -> None:
        n = 8
        sem, running = Semaphore(n), True

        async def small() -> None:
            await sem.acquire()
            while running:
                await sleep(0.0001)
                sem.release()
                await sem.acquire()
            sem.release()

        gs = [go(small()) for _ in range(n)]
        while sem.available:
            await gosched()
        await sem.acquire(n)
        running = False
        sem.release(n)
        for g in gs:
            await g

    run(main, procs=procs)


# -- runtime/sema_test.go -----------------------------------------------------


def test_sema_handoff() -> None:
    """TestSemaHandoff: who has waited long is not overtaken by who is already running."""

    async def main() -> bool:
        mu, got = Mutex(), list[str]()

        async def waits() -> None:
            async with mu:
                got.append("waiter")

        await mu.lock()
        g = go(waits())
        while g.status != "waiting":
            await gosched()
        for _ in range(3):
            time.sleep(0.002)  # noqa: ASYNC251
            mu.unlock()
            if not mu.try_lock():
                await g
                return got == ["waiter"]
            while g.status != "waiting":
                await gosched()
        return False

    assert run(main, procs=1)
