"""Locks and their kin on every relevant schedule, and proof that the explorer sees their bugs.

As in test_explore.py: for each kind a scenario, a test that no schedule breaks it,
and the classic bugs of its kind, planted one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explore.explorer import World, explore, program
from explore.test_explore import RANDOM, find


def idle(s: Any) -> None:
    assert s.first is None, f"somebody still waits for {s!r}"
    assert s.last is None


class Inside:
    """Who is in a critical section, with a look around while he is there."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.readers = self.writers = 0
        self.entered = 0

    def write(self) -> None:
        self.writers += 1
        self.entered += 1
        self.look()
        self.writers -= 1

    def read(self) -> None:
        self.readers += 1
        self.entered += 1
        self.look()
        self.readers -= 1

    def look(self) -> None:
        assert (self.writers, self.readers > 0) in ((0, True), (1, False)), "not alone"
        self.w.work()
        assert (self.writers, self.readers > 0) in ((0, True), (1, False)), "not alone"


# -- Mutex --------------------------------------------------------------------


def mutual(starving: int) -> Any:
    """Three goroutines, of which one locks twice, and each gives way while it has the Mutex."""

    async def mutual(w: World) -> Callable[[], None]:
        w.gopark.runtime.mutex._STARVING = starving
        mu, inside = w.gopark.sync.Mutex(), Inside(w)

        async def work(times: int) -> None:
            for _ in range(times):
                async with mu:
                    inside.write()
                    await w.gopark.gosched()

        gs = [w.go(work, 1), w.go(work, 1)]
        await work(2)
        for g in gs:
            await g

        def check() -> None:
            assert inside.entered == 4
            idle(mu)
            assert (mu.state.v, mu.woken, mu.starving) == (0, False, False)

        return check

    return program(mutual)


NORMAL, STARVING = mutual(10**12), mutual(-1)  # never, and at the first loss


def test_a_mutex_excludes_and_wakes() -> None:
    for scenario in (NORMAL, STARVING):
        explore(scenario, preemptions=2, seconds=1.5)
        explore(scenario, preemptions=None, schedules=300)


def test_finds_a_mutex_that_looks_before_it_locks() -> None:
    bug = "if acas(mu.state, s, s | MUTEX_LOCKED):", "if not astore(mu.state, s | MUTEX_LOCKED):"
    find(NORMAL, "mutex", bug, **RANDOM)


def test_finds_a_waiter_that_unlock_does_not_see() -> None:
    bug = "elif s & MUTEX_WAITING or acas(mu.state, s, s | MUTEX_WAITING):", "else:"
    assert "asleep" in find(NORMAL, "mutex", bug, **RANDOM).what


def test_finds_a_waiter_that_is_on_its_way_for_ever() -> None:
    bug = "        mu.woken = False\n        gp.success = SEMA_NONE\n", "        pass\n"
    assert "asleep" in find(NORMAL, "mutex", bug, **RANDOM).what


def test_finds_a_waiter_that_is_queued_too_late() -> None:
    early = "    now: int64_t = nanotime()\n"
    late = "    unlock(mu.guard)\n    now = nanotime()\n    lock(mu.guard)\n"
    assert "asleep" in find(NORMAL, "mutex", (early, late), **RANDOM).what


def test_finds_a_mutex_that_is_handed_over_unlocked() -> None:
    bug = (
        "        gp.success = SEMA_GRANTED\n",
        "        gp.success = SEMA_GRANTED\n        s = 2\n",
    )
    find(STARVING, "mutex", bug, **RANDOM)


# -- RWMutex ------------------------------------------------------------------


async def readwrite(w: World) -> Callable[[], None]:
    """Two writers and two readers."""
    rw, inside = w.gopark.sync.RWMutex(), Inside(w)

    async def write() -> None:
        async with rw:
            inside.write()

    async def read() -> None:
        async with rw.reader():
            inside.read()
            await w.gopark.gosched()

    gs = [w.go(fn) for fn in (read, write, read)]
    await write()
    for g in gs:
        await g

    def check() -> None:
        assert inside.entered == 4
        idle(rw)
        idle(rw.writers)
        assert (rw.readers, rw.writing) == (0, False)

    return check


def test_readers_and_writers() -> None:
    explore(program(readwrite), preemptions=2, seconds=1.5)
    explore(program(readwrite), preemptions=None, schedules=300)


def test_finds_a_reader_that_counts_itself_out_beside_the_lock() -> None:
    lock, count = "    lock(rw.guard)\n", "            rw.readers -= 1\n"
    bug = (lock, "    n = rw.readers\n" + lock), (count, "            rw.readers = n - 1\n")
    find(program(readwrite), "sync", *bug, **RANDOM)


def test_finds_a_last_reader_that_lets_nobody_in() -> None:
    bug = "        if rw.readers == 0 and rw.writers.first", "        if write and rw.writers.first"
    find(program(readwrite), "sync", bug, **RANDOM)


# -- Semaphore ----------------------------------------------------------------


async def weighted(w: World) -> Callable[[], None]:
    """Two of size 2, by those who want 1 and who want 2."""
    sem, out = w.gopark.sync.Semaphore(2), w.cell()

    async def work(n: int) -> None:
        await sem.acquire(n)
        assert w.seam.aadd(out, n) <= 2, "too many are out"
        w.work()
        w.seam.aadd(out, -n)
        sem.release(n)

    gs = [w.go(work, 2), w.go(work, 1)]
    await work(1)
    await work(2)
    for g in gs:
        await g

    def check() -> None:
        assert sem.free == 2
        idle(sem)

    return check


def test_a_semaphore_loses_and_doubles_nothing() -> None:
    explore(program(weighted), preemptions=2, seconds=1.5)
    explore(program(weighted), preemptions=None, schedules=300)


def test_finds_a_release_that_wakes_before_it_gives_back() -> None:
    body = "        s.free += n\n        first = admit(s)\n"
    bug = body, "        first = admit(s)\n        s.free += n\n"
    assert "asleep" in find(program(weighted), "sync", bug, **RANDOM).what


def test_finds_a_permit_that_is_taken_beside_the_lock() -> None:
    take = "        self.free -= n\n        return True\n"
    slow = take.replace("self.free -= n", "free = self.free\n        unlock(self.guard)\n"
                        "        lock(self.guard)\n        self.free = free - n")  # fmt: skip
    find(program(weighted), "sync", (take, slow), **RANDOM)


# -- WaitGroup ----------------------------------------------------------------


async def counted(w: World) -> Callable[[], None]:
    """Two wait for two others."""
    wg, ended = w.gopark.sync.WaitGroup(), []

    async def work() -> None:
        ended.append(True)

    async def wait() -> None:
        await wg.wait()
        assert len(ended) == 2, "it did not wait for all"

    wg.add(2)
    g = w.go(wait)
    for _ in range(2):
        wg.go(work)
        wg.done()  # that of add(2)
    await wait()
    await g
    return lambda: idle(wg)


def test_a_waitgroup_waits() -> None:
    explore(program(counted), preemptions=2, seconds=1.5)
    explore(program(counted), preemptions=None, schedules=300)


def test_finds_a_counter_beside_the_lock() -> None:
    lock, add = "    lock(wg.guard)\n    valid", "        wg.counter += n\n"
    bug = (lock, "    c = wg.counter\n" + lock), (add, "        wg.counter = c + n\n")
    find(program(counted), "sync", *bug, **RANDOM)


# -- Cond ---------------------------------------------------------------------


async def handed(w: World) -> Callable[[], None]:
    """One waits for two things, which two others bring."""
    cond, things = w.gopark.sync.Cond(), []

    async def give(n: int) -> None:
        async with cond:
            things.append(n)
            cond.signal()

    w.go(give, 1)
    w.go(give, 2)
    got = []
    for _ in range(2):
        async with cond:
            await cond.wait_for(lambda: things)
            got.append(things.pop())

    def check() -> None:
        assert sorted(got) == [1, 2]
        idle(cond)
        assert cond.mu.state.v == 0

    return check


def test_no_signal_is_lost() -> None:
    explore(program(handed), preemptions=2, seconds=1.5)
    explore(program(handed), preemptions=None, schedules=300)


def test_finds_a_wait_that_unlocks_before_it_stands_in_line() -> None:
    release = "    if not acas(c.mu.state, MUTEX_LOCKED, 0):\n        mutexunlock(m, c.mu)\n"
    lock = "    lock(c.guard)\n    if not gopark(m, gp, waitReasonSyncCondWait)"
    bug = (release, ""), (lock, release + lock)
    assert "asleep" in find(program(handed), "sync", *bug, **RANDOM).what


# -- cancellation -------------------------------------------------------------


def called_off(starving: int) -> Any:
    """Two who wait for a Mutex are cancelled, while it is unlocked and another one comes."""

    async def called_off(w: World) -> Callable[[], None]:
        w.gopark.runtime.mutex._STARVING = starving
        mu, inside, off = w.gopark.sync.Mutex(), Inside(w), w.cell()

        async def work() -> None:
            try:
                async with mu:
                    inside.write()
            except w.gopark.Cancelled:
                w.seam.aadd(off, 1)

        await mu.lock()
        gs = [w.go(work) for _ in range(3)]
        await w.gopark.gosched()
        gs[1].cancel()
        mu.unlock()
        gs[0].cancel()
        await work()
        for g in gs:
            await g

        def check() -> None:
            assert inside.entered + off.v == 4
            idle(mu)
            assert (mu.state.v, mu.woken, mu.starving) == (0, False, False)

        return check

    return program(called_off)


def test_a_mutex_survives_cancellation() -> None:
    for starving in (10**12, -1):
        explore(called_off(starving), preemptions=2, seconds=1.5)
        explore(called_off(starving), preemptions=None, schedules=300)


async def big_called_off(w: World) -> Callable[[], None]:
    """Who holds back others is cancelled: these go on, though nothing is given back."""
    sem, rw = w.gopark.sync.Semaphore(2), w.gopark.sync.RWMutex()

    async def big() -> None:
        try:
            await sem.acquire(2)
            sem.release(2)
        except w.gopark.Cancelled:
            pass

    async def write() -> None:
        try:
            async with rw:
                pass
        except w.gopark.Cancelled:
            pass

    async def small() -> None:
        async with sem, rw.reader():
            pass

    async with sem, rw.reader():
        gs = [w.go(big), w.go(write), w.go(small)]
        await w.gopark.gosched()
        gs[0].cancel()
        gs[1].cancel()
        await gs[2]
    await gs[0]
    await gs[1]

    def check() -> None:
        assert (sem.free, rw.readers, rw.writing) == (2, 0, False)
        for s in (sem, rw, rw.writers):
            idle(s)

    return check


def test_others_go_on_when_the_first_is_cancelled() -> None:
    explore(program(big_called_off), preemptions=2, seconds=1.5)
    explore(program(big_called_off), preemptions=None, schedules=300)


def test_finds_one_who_leaves_without_looking_behind() -> None:
    bug = "        first = s.left()\n", "        pass\n"
    assert "asleep" in find(program(big_called_off), "sema", bug, **RANDOM).what


async def wait_called_off(w: World) -> Callable[[], None]:
    """One of two who wait for a Cond is cancelled; two signals come, one by one."""
    cond, inside, things = w.gopark.sync.Cond(), Inside(w), []
    off, got = w.cell(), w.cell()

    async def take() -> None:
        try:
            async with cond:
                try:
                    await cond.wait_for(lambda: things)
                finally:
                    inside.write()  # the Mutex is held, whatever happened
                things.pop()
                w.seam.aadd(got, 1)
        except w.gopark.Cancelled:
            w.seam.aadd(off, 1)

    gs = [w.go(take), w.go(take)]
    await w.gopark.gosched()
    gs[0].cancel()
    for _ in range(2):
        async with cond:
            inside.write()
            things.append(1)
            cond.signal()
    for g in gs:
        await g

    def check() -> None:
        assert (off.v, got.v) in ((0, 2), (1, 1))
        idle(cond)
        idle(cond.mu)
        assert cond.mu.state.v == 0

    return check


def test_a_cond_survives_cancellation() -> None:
    explore(program(wait_called_off), preemptions=2, seconds=1.5)
    explore(program(wait_called_off), preemptions=None, schedules=300)


def test_finds_a_way_back_into_the_mutex_that_can_be_called_off() -> None:
    bug = "    gp.shield = shield\n", "    gp.shield = False\n"
    find(program(wait_called_off), "mutex", bug, **RANDOM)
