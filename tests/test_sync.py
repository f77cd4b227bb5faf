"""Every rule of gopark.sync, one test each."""

import asyncio
import copy
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import gopark
from gopark import (
    Cancelled,
    Deadlock,
    G,
    GoCancelled,
    GoPanic,
    TooManyGoroutines,
    go,
    gosched,
    run,
    sleep,
)
from gopark.runtime.export_test import preempt
from gopark.sync import Cond, Mutex, Once, RWMutex, Semaphore, WaitGroup

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])


async def until_waiting(g: G[Any]) -> None:
    """Let others run until `g` waits."""
    while g.status != "waiting":
        assert not g.done()
        await gosched()


async def waiting(operation: Awaitable[Any]) -> G[Any]:
    """Start a goroutine that is going to wait, and see it wait."""
    g = go(operation)
    await until_waiting(g)
    return g


async def hold(thing: Any, log: list[Any], name: Any) -> None:
    async with thing:
        log.append(name)


def held(how: str) -> tuple[Any, Any, Callable[[], None]]:
    """A thing that is held, what would wait for it, and what ends that wait."""
    match how:
        case "Mutex":
            mu = Mutex()
            assert mu.try_lock()
            return mu, mu.lock, mu.unlock
        case "write":
            rw = RWMutex()
            assert rw.try_lock()
            return rw, rw.lock, rw.unlock
        case "read":
            rw = RWMutex()
            assert rw.try_lock()
            return rw, rw.rlock, rw.unlock
        case "Semaphore":
            sem = Semaphore(2)
            assert sem.try_acquire(2)
            return sem, sem.acquire, sem.release
        case _:
            wg = WaitGroup()
            wg.add()
            return wg, wg.wait, wg.done


KINDS = {
    "Mutex": "sync.Mutex.Lock",
    "write": "sync.RWMutex.Lock",
    "read": "sync.RWMutex.RLock",
    "Semaphore": "semacquire",
    "WaitGroup": "sync.WaitGroup.Wait",
}
every_kind = pytest.mark.parametrize("kind", KINDS)


# -- what all of them do ------------------------------------------------------


@every_kind
@ALL_PROCS
def test_it_waits_until_it_may_go_on(kind: str, procs: int) -> None:
    async def main() -> None:
        _, wait, end = held(kind)
        g = await waiting(wait())
        assert g.wait_reason == KINDS[kind]
        for _ in range(10):
            await gosched()
        assert g.status == "waiting"
        end()
        assert await g is None

    run(main, procs=procs)


@every_kind
def test_the_operation_happens_when_it_is_awaited(kind: str) -> None:
    async def main() -> None:
        thing, wait, end = held(kind)
        end()
        operation = wait()
        before = repr(thing)
        await operation
        assert (repr(thing) == before) == (kind == "WaitGroup")

    run(main)


@every_kind
def test_an_operation_is_awaited_once(kind: str) -> None:
    async def main() -> None:
        _, wait, end = held(kind)
        end()
        operation = wait()
        await operation
        with pytest.raises(RuntimeError, match="cannot await the same operation twice"):
            await operation

    run(main)


@every_kind
def test_one_that_is_never_awaited_is_told_of(kind: str) -> None:
    _, wait, _ = held(kind)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        wait()


@every_kind
def test_who_waits_for_ever_is_in_the_report_of_the_deadlock(kind: str) -> None:
    async def main() -> None:
        _, wait, _ = held(kind)
        await wait()

    with pytest.raises(Deadlock) as info:
        run(main)
    assert [g.wait_reason for g in info.value.goroutines] == [KINDS[kind]]


@every_kind
def test_outside_of_a_program_nobody_can_wait_and_nothing_is_taken(kind: str) -> None:
    thing, wait, end = held(kind)
    end()
    before = repr(thing)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="only a goroutine can wait"):
            await wait()

    asyncio.run(main())
    assert repr(thing) == before


@every_kind
def test_no_thread_waits(kind: str) -> None:
    """One P, and a thousand who wait: the others go on, without a further thread."""

    async def main() -> None:
        _, wait, _ = held(kind)
        before = threading.active_count()
        for _ in range(1000):
            go(wait())
        for _ in range(100):
            await gosched()
        assert gopark.num_goroutine() == 1001
        assert threading.active_count() == before

    run(main, procs=1)


@every_kind
@ALL_PROCS
def test_plain_code_waits_through_block_on(kind: str, procs: int) -> None:
    async def main() -> None:
        _, wait, end = held(kind)

        def plain() -> str:
            gopark.block_on(wait())
            return "gone on"

        g = go(plain)
        await until_waiting(g)
        end()
        assert await g == "gone on"

    run(main, procs=procs)


@every_kind
@ALL_PROCS
def test_other_threads_wait_and_end_waits(kind: str, procs: int) -> None:
    async def main() -> None:
        _, wait, end = held(kind)
        waits = threading.Thread(target=lambda: gopark.block_on(wait()))
        ends = threading.Thread(target=end)
        waits.start()
        while gopark.num_goroutine() == 1:
            await sleep(0.001)
        ends.start()
        while waits.is_alive() or ends.is_alive():
            await sleep(0.001)

    run(main, procs=procs)


@every_kind
def test_the_end_of_a_time_slice_is_honoured_by_what_need_not_wait(kind: str) -> None:
    async def main() -> None:
        ran = []
        thing, wait, end = held(kind)
        end()
        for _ in range(2):
            await go(gosched())  # at schedtick 0 the global queue would go first
        g = go(ran.append, True)
        preempt(0)
        assert not ran
        await wait()
        assert ran
        await g
        if kind != "WaitGroup":
            assert "un" not in repr(thing)
            assert "2 of 2" not in repr(thing)

    run(main, procs=1)


@every_kind
def test_waiters_at_the_programs_end_are_closed_and_hold_nothing(kind: str) -> None:
    ended = []
    _, wait, end = held(kind)

    async def waits() -> None:
        try:
            await wait()
        finally:
            ended.append(True)

    async def main() -> None:
        for _ in range(3):
            await waiting(waits())

    run(main)
    assert len(ended) == 3

    async def again() -> None:
        end()
        await wait()

    run(again)


@pytest.mark.parametrize("kind", ["Mutex", "write", "read", "Semaphore"])
def test_who_was_granted_and_never_ran_gives_it_back(kind: str) -> None:
    """The last thing that main does is to let them go on; they are closed instead."""
    thing, wait, end = held(kind)
    locker = thing.reader() if kind == "read" else thing
    log: list[int] = []

    async def main() -> None:
        for i in range(3):
            await waiting(hold(locker, log, i))
        end()

    run(main, procs=1)
    assert repr(thing) in (
        "<Mutex, unlocked>",
        "<RWMutex, 0 readers>",
        "<Semaphore, 1 of 2 free>",
    )

    async def once_more() -> None:
        """Nothing that the others left behind keeps one waiting."""
        await (thing.lock if kind == "read" else wait)()
        gs = [await waiting(hold(locker, log, i)) for i in range(3)]
        end()
        for g in gs:
            await g

    run(once_more, procs=1)
    assert log[-3:] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["Mutex", "write", "read", "Semaphore"])
def test_a_wait_in_a_finally_block_at_the_programs_end_is_refused(kind: str) -> None:
    _, wait, end = held(kind)
    errors = []

    async def waits() -> None:
        try:
            await sleep(1000)
        finally:
            try:
                await wait()
            except RuntimeError as exc:
                errors.append(str(exc))

    async def main() -> None:
        await waiting(waits())

    run(main)
    (error,) = errors
    assert "cannot wait: main has returned" in error

    async def again() -> None:
        end()
        await wait()

    run(again)


def test_async_with_unlocks_whatever_happens() -> None:
    async def fail_inside(thing: Any) -> None:
        async with thing as value:
            assert value is None
            raise ArithmeticError

    async def main() -> None:
        mu, rw, sem = Mutex(), RWMutex(), Semaphore(1)
        for thing in (mu, rw, rw.reader(), sem, Cond(mu)):
            for _ in range(2):  # it is free again
                with pytest.raises(ArithmeticError):
                    await fail_inside(thing)
        assert [repr(thing) for thing in (mu, rw, sem)] == [
            "<Mutex, unlocked>",
            "<RWMutex, 0 readers>",
            "<Semaphore, 1 of 1 free>",
        ]

    run(main)


THINGS: list[Callable[[], Any]] = [
    Mutex,
    RWMutex,
    WaitGroup,
    Once,
    Cond,
    lambda: Semaphore(1),
]


@pytest.mark.parametrize("make", THINGS)
def test_it_cannot_be_copied_or_pickled(make: Callable[[], Any]) -> None:
    thing = make()
    name = type(thing).__name__
    with pytest.raises(TypeError, match=f"a {name} cannot be copied: pass the {name} itself"):
        copy.copy(thing)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy({"it": [thing]})
    with pytest.raises(TypeError, match=f"a {name} cannot be pickled"):
        pickle.dumps(thing)


@pytest.mark.parametrize("make", THINGS)
def test_it_can_be_referred_to_weakly_and_dies(make: Callable[[], Any]) -> None:
    thing = make()
    died = weakref.ref(thing)
    del thing
    gc.collect()
    assert died() is None


@pytest.mark.parametrize("make", THINGS)
def test_no_attributes_can_be_added(make: Callable[[], Any]) -> None:
    with pytest.raises(AttributeError):
        make().something = 1


@pytest.mark.parametrize("kind", [Mutex, RWMutex, WaitGroup, Once])
def test_it_takes_no_arguments(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(1)


@pytest.mark.parametrize("make", THINGS)
def test_it_can_be_subclassed(make: Callable[[], Any]) -> None:
    kind: Any = type(make())

    class Mine(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(*([1] if kind is Semaphore else []))
            self.name = "mine"

    mine, other = Mine(), Mine()
    assert mine.name == "mine"
    if kind in (Mutex, RWMutex):
        assert mine.try_lock()
        assert other.try_lock()


# -- cancellation -------------------------------------------------------------


async def cancelled(g: G[Any]) -> None:
    """Cancel a goroutine, which was in a wait that did not happen."""
    g.cancel()
    with pytest.raises(GoCancelled):
        await g


@every_kind
@ALL_PROCS
def test_who_is_cancelled_leaves_the_queue_and_has_nothing(kind: str, procs: int) -> None:
    async def main() -> None:
        thing, wait, end = held(kind)
        before = repr(thing)
        gs = [await waiting(wait()) for _ in range(3)]
        for i in (1, 0, 2):
            await cancelled(gs[i])
        assert repr(thing) == before
        end()
        await wait()  # nobody stands in between

    run(main, procs=procs)


@every_kind
def test_whoever_waits_beside_one_who_is_cancelled_goes_on_waiting(kind: str) -> None:
    async def main() -> None:
        _, wait, end = held(kind)
        first, second, third = [await waiting(wait()) for _ in range(3)]
        await cancelled(first)
        assert [second.status, third.status] == ["waiting", "waiting"]
        end()
        await second

    run(main, procs=1)


def test_a_writer_that_is_cancelled_lets_readers_go_on() -> None:
    async def main() -> None:
        rw = RWMutex()
        await rw.rlock()
        writers = [await waiting(rw.lock()) for _ in range(2)]
        readers = [await waiting(rw.rlock()) for _ in range(3)]
        await cancelled(writers[0])
        assert {g.status for g in readers} == {"waiting"}  # held back by the other one
        await cancelled(writers[1])
        for g in readers:
            await g
        assert repr(rw) == "<RWMutex, 4 readers>"

    run(main)


def test_a_writer_that_is_cancelled_lets_nobody_beside_another() -> None:
    async def main() -> None:
        rw = RWMutex()
        await rw.lock()
        writer, reader = await waiting(rw.lock()), await waiting(rw.rlock())
        await cancelled(writer)
        assert reader.status == "waiting"
        rw.unlock()
        await reader

    run(main)


def test_a_big_waiter_that_is_cancelled_lets_small_ones_go_on() -> None:
    async def main() -> None:
        sem = Semaphore(10)
        await sem.acquire(7)
        big = await waiting(sem.acquire(5))
        gs = [await waiting(sem.acquire(n)) for n in (2, 1, 1)]
        await cancelled(big)
        await gs[0]
        await gs[1]
        assert gs[2].status == "waiting"
        assert sem.available == 0

    run(main)


def test_who_starves_and_is_cancelled_ends_starvation() -> None:
    async def main() -> None:
        mu = Mutex()
        g = await barge(mu)
        time.sleep(0.002)  # noqa: ASYNC251
        mu.unlock()
        if mu.try_lock():  # it has lost again: the next unlock would hand over
            await until_waiting(g)
            await cancelled(g)
        else:
            await g
        mu.unlock()
        assert not mu.locked()
        async with mu:
            pass

    run(main, procs=1)


@ALL_PROCS
@pytest.mark.parametrize("contended", [False, True])
def test_a_cancelled_wait_for_a_cond_has_its_mutex_again(procs: int, contended: bool) -> None:
    async def main() -> None:
        cond, log = Cond(), list[str]()

        async def wait() -> None:
            async with cond:
                try:
                    await cond.wait()
                except Cancelled:
                    log.append("cancelled")
                    raise

        g = await waiting(wait())
        if contended:
            async with cond:
                g.cancel()
                while g.wait_reason != "sync.Mutex.Lock":
                    await gosched()
                g.cancel()  # it cannot be called off from its way back
                for _ in range(5):
                    await gosched()
                assert g.wait_reason == "sync.Mutex.Lock"
                log.append("given back")
        await cancelled(g)
        assert log == ["given back"] * contended + ["cancelled"]
        async with cond:
            pass

    run(main, procs=procs)


def test_a_signal_that_came_before_the_cancellation_counts() -> None:
    async def main() -> None:
        cond, log = Cond(), list[int]()
        gs = [await waiting(consume(cond, log, i)) for i in range(2)]
        async with cond:
            cond.signal()
            gs[0].cancel()
        await gs[0]
        assert log == [0]
        assert gs[1].status == "waiting"  # one signal, one waiter
        cond.signal()
        await gs[1]

    run(main, procs=1)


def test_once_is_not_done_by_one_who_is_cancelled() -> None:
    async def main() -> None:
        once = Once()
        first = await waiting(once.do(sleep, 1000))
        second = await waiting(once.do(lambda: 7))
        third = await waiting(once.do(lambda: 8))
        await cancelled(second)
        assert not once.done
        await cancelled(first)
        assert await third == 8

    run(main)


@pytest.mark.parametrize("begun", [False, True])
def test_a_waitgroup_counts_who_is_cancelled_as_done(begun: bool) -> None:
    async def main() -> None:
        wg = WaitGroup()
        g = wg.go(sleep, 1000)
        if begun:
            await until_waiting(g)
        g.cancel()
        await wg.wait()
        with pytest.raises(GoCancelled):
            await g

    run(main)


def test_a_timeout_around_a_lock() -> None:
    async def main() -> None:
        mu = Mutex()
        await mu.lock()
        with pytest.raises(TimeoutError), gopark.timeout(0.01):
            async with mu:
                raise AssertionError("it is locked")
        mu.unlock()
        async with mu:
            pass

    run(main)


# -- Mutex --------------------------------------------------------------------


@ALL_PROCS
def test_a_mutex_lets_one_in_at_a_time(procs: int) -> None:
    async def main() -> int:
        mu, count = Mutex(), 0

        async def work() -> None:
            nonlocal count
            for i in range(50):
                async with mu:
                    before = count
                    if i % 3 == 0:
                        await gosched()
                    count = before + 1

        for g in [go(work()) for _ in range(50)]:
            await g
        assert not mu.locked()
        return count

    assert run(main, procs=procs) == 2500


def test_a_mutex_serves_waiters_in_order() -> None:
    async def main() -> None:
        mu, log = Mutex(), list[int]()
        await mu.lock()
        gs = [await waiting(hold(mu, log, i)) for i in range(20)]
        mu.unlock()
        for g in gs:
            await g
        assert log == list(range(20))

    run(main, procs=1)


def test_locked_and_try_lock() -> None:
    mu = Mutex()
    assert not mu.locked()
    assert repr(mu) == "<Mutex, unlocked>"
    assert mu.try_lock()
    assert mu.locked()
    assert repr(mu) == "<Mutex, locked>"
    assert not mu.try_lock()
    mu.unlock()
    assert not mu.locked()


def test_try_lock_fails_while_others_wait_too() -> None:
    async def main() -> None:
        mu = Mutex()
        await mu.lock()
        g = await waiting(mu.lock())
        assert not mu.try_lock()
        mu.unlock()
        await g

    run(main)


def test_unlock_of_an_unlocked_mutex() -> None:
    mu = Mutex()
    with pytest.raises(RuntimeError, match="unlock of a Mutex that is not locked"):
        mu.unlock()
    assert mu.try_lock()
    mu.unlock()
    with pytest.raises(RuntimeError, match="not locked"):
        mu.unlock()
    assert not mu.locked()


@ALL_PROCS
def test_a_mutex_has_no_owner(procs: int) -> None:
    async def main() -> None:
        mu = Mutex()
        await mu.lock()

        async def other() -> None:
            mu.unlock()

        await go(other())
        await mu.lock()
        thread = threading.Thread(target=mu.unlock)
        thread.start()
        await mu.lock()
        thread.join()

    run(main, procs=procs)


async def barge(mu: Mutex) -> G[None]:
    """A goroutine that waits for `mu`, which is held; it was woken, and somebody was quicker."""
    while True:
        await mu.lock()
        g = await waiting(mu.lock())
        mu.unlock()
        if mu.try_lock():
            await until_waiting(g)
            return g
        await g  # its P was taken in that moment, so it was quicker
        mu.unlock()


def test_a_running_goroutine_may_be_quicker_than_one_that_is_woken() -> None:
    async def main() -> None:
        mu = Mutex()
        g = await barge(mu)
        mu.unlock()
        await g

    run(main, procs=1)


def test_who_lost_goes_back_to_the_front() -> None:
    async def main() -> None:
        mu, log = Mutex(), list[int]()
        while True:
            await mu.lock()
            gs = [await waiting(hold(mu, log, i)) for i in range(5)]
            mu.unlock()
            quicker = mu.try_lock()
            if quicker:
                for _ in range(5):
                    await gosched()  # the first one is woken, and loses
                mu.unlock()
            for g in gs:
                await g
            assert log == list(range(5))
            if quicker:
                return
            log.clear()

    run(main, procs=1)


def test_after_a_millisecond_the_mutex_is_handed_over() -> None:
    async def main() -> None:
        mu = Mutex()
        g = await barge(mu)
        # It has lost once already; now it has waited for long enough, and loses again.
        while not g.done():
            time.sleep(0.002)  # noqa: ASYNC251
            mu.unlock()
            if mu.locked():  # handed over, though it has not run yet
                assert not mu.try_lock()
                await g
                mu.unlock()
                return
            await mu.lock()
            for _ in range(5):
                await gosched()
        mu.unlock()
        await main()  # it was quicker, as a P was taken: once more

    run(main, procs=1)


def test_starvation_ends_with_who_has_not_waited_long() -> None:
    async def main() -> None:
        mu = Mutex()
        g = await barge(mu)
        time.sleep(0.002)  # noqa: ASYNC251
        mu.unlock()
        if not mu.try_lock():
            return
        for _ in range(5):
            await gosched()
        late = await waiting(mu.lock())  # it waits for less than a millisecond
        mu.unlock()
        await g
        mu.unlock()
        await late
        # Nobody waits: normal mode again, in which a lock that is given back is free.
        again = await waiting(mu.lock())
        mu.unlock()
        await again
        mu.unlock()
        assert not mu.locked()

    run(main, procs=1)


@ALL_PROCS
def test_nobody_starves_beside_one_who_locks_all_the_time(procs: int) -> None:
    async def main() -> None:
        mu, over = Mutex(), []

        async def greedy() -> None:
            while not over:
                await mu.lock()
                await gosched()
                mu.unlock()

        g = go(greedy())
        for _ in range(20):
            async with mu:
                pass
            await gosched()
        over.append(True)
        await g

    run(main, procs=procs)


# -- RWMutex ------------------------------------------------------------------


@ALL_PROCS
def test_readers_share_and_writers_do_not(procs: int) -> None:
    async def main() -> None:
        rw, readers, writers, most = RWMutex(), 0, 0, 0
        guard = threading.Lock()

        async def read() -> None:
            nonlocal readers, most
            for _ in range(20):
                async with rw.reader():
                    with guard:
                        readers += 1
                        most = max(most, readers)
                    assert not writers
                    await gosched()
                    assert not writers
                    with guard:
                        readers -= 1

        async def write() -> None:
            nonlocal writers
            for _ in range(20):
                async with rw:
                    writers += 1
                    assert (readers, writers) == (0, 1)
                    await gosched()
                    assert (readers, writers) == (0, 1)
                    writers -= 1

        for g in [go(read()) for _ in range(20)] + [go(write()) for _ in range(5)]:
            await g
        assert most > 1
        assert repr(rw) == "<RWMutex, 0 readers>"

    run(main, procs=procs)


def test_a_waiting_writer_holds_back_new_readers() -> None:
    async def main() -> None:
        rw, log = RWMutex(), list[str]()
        await rw.rlock()
        writer = await waiting(hold(rw, log, "writer"))
        assert not rw.try_rlock()
        reader = await waiting(hold(rw.reader(), log, "reader"))
        rw.runlock()
        await writer
        await reader
        assert log == ["writer", "reader"]

    run(main)


def test_readers_that_wait_come_before_the_next_writer() -> None:
    async def main() -> None:
        rw, log = RWMutex(), list[str]()
        await rw.lock()
        gs = [
            await waiting(hold(thing, log, name))
            for thing, name in [
                (rw, "writer 1"),
                (rw.reader(), "reader 1"),
                (rw, "writer 2"),
                (rw.reader(), "reader 2"),
            ]
        ]
        rw.unlock()
        for g in gs:
            await g
        assert sorted(log[:2]) == ["reader 1", "reader 2"]
        assert log[2:] == ["writer 1", "writer 2"]

    run(main, procs=1)


def test_the_last_reader_lets_the_writer_in() -> None:
    async def main() -> None:
        rw = RWMutex()
        await rw.rlock()
        await rw.rlock()
        assert repr(rw) == "<RWMutex, 2 readers>"
        writer = await waiting(rw.lock())
        rw.runlock()
        for _ in range(5):
            await gosched()
        assert writer.status == "waiting"
        rw.runlock()
        await writer
        assert repr(rw) == "<RWMutex, locked>"

    run(main)


def test_try_lock_and_try_rlock() -> None:
    rw = RWMutex()
    assert rw.try_rlock()
    assert rw.try_rlock()
    assert not rw.try_lock()
    rw.runlock()
    assert not rw.try_lock()
    rw.runlock()
    assert rw.try_lock()
    assert not rw.try_lock()
    assert not rw.try_rlock()
    rw.unlock()
    assert rw.try_rlock()


def test_misuse_of_an_rwmutex() -> None:
    rw = RWMutex()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="unlock of an RWMutex that is not locked for wri"):
            rw.unlock()
        with pytest.raises(RuntimeError, match="runlock of an RWMutex that is not locked for rea"):
            rw.runlock()
        assert rw.try_rlock()
        with pytest.raises(RuntimeError, match="not locked for writing"):
            rw.unlock()
        rw.runlock()
        assert rw.try_lock()
        with pytest.raises(RuntimeError, match="not locked for reading"):
            rw.runlock()
        rw.unlock()


# -- Semaphore ----------------------------------------------------------------


@ALL_PROCS
def test_a_semaphore_lets_n_in(procs: int) -> None:
    async def main() -> None:
        sem, inside, most = Semaphore(3), 0, 0
        guard = threading.Lock()

        async def work() -> None:
            nonlocal inside, most
            for _ in range(10):
                async with sem:
                    with guard:
                        inside += 1
                        most = max(most, inside)
                    await gosched()
                    with guard:
                        inside -= 1

        for g in [go(work()) for _ in range(20)]:
            await g
        assert most == 3
        assert sem.available == 3

    run(main, procs=procs)


def test_a_big_waiter_at_the_front_holds_back_small_ones() -> None:
    async def main() -> None:
        sem = Semaphore(10)
        await sem.acquire(8)
        big = await waiting(sem.acquire(5))
        small = await waiting(sem.acquire(1))
        assert not sem.try_acquire(1)
        assert sem.available == 2
        sem.release(2)
        await gosched()
        assert (big.status, small.status) == ("waiting", "waiting")
        sem.release(1)
        await big
        assert small.status == "waiting"  # 0 are free
        sem.release(1)
        await small
        assert repr(sem) == "<Semaphore, 0 of 10 free>"

    run(main)


def test_one_release_lets_all_go_on_who_fit() -> None:
    async def main() -> None:
        sem = Semaphore(10)
        await sem.acquire(10)
        gs = [await waiting(sem.acquire(n)) for n in (1, 2, 3, 5, 1)]
        sem.release(10)
        for g in gs[:3]:
            await g
        await gosched()
        assert [g.status for g in gs[3:]] == ["waiting", "waiting"]
        assert sem.available == 4
        sem.release(1)
        await gs[3]
        sem.release(1)
        await gs[4]

    run(main)


def test_nothing_can_be_acquired() -> None:
    async def main() -> None:
        sem = Semaphore(1)
        await sem.acquire(0)
        assert sem.available == 1
        await sem.acquire()
        await sem.acquire(0)
        g = await waiting(sem.acquire())
        zero = await waiting(sem.acquire(0))  # behind the other, as everybody
        sem.release()
        await g
        await zero

    run(main)


def test_large_numbers() -> None:
    async def main() -> None:
        sem = Semaphore(1 << 60)
        await sem.acquire((1 << 60) - 1)
        assert not sem.try_acquire(2)
        g = await waiting(sem.acquire(1 << 40))
        sem.release(1 << 40)
        await g
        assert sem.available == 1

    run(main)


@pytest.mark.parametrize("n", [1.5, "1", None, True])
def test_a_number_that_is_no_int(n: Any) -> None:
    with pytest.raises(TypeError, match="must be an int"):
        Semaphore(n)
    sem = Semaphore(1)
    with pytest.raises(TypeError, match="must be an int"):
        sem.acquire(n)
    with pytest.raises(TypeError, match="must be an int"):
        sem.release(n)


def test_numbers_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        Semaphore(-1)
    with pytest.raises(ValueError, match="of size 0 could never be acquired"):
        Semaphore(0)
    sem = Semaphore(2)
    for method in (sem.acquire, sem.try_acquire, sem.release):
        with pytest.raises(ValueError, match="cannot be negative"):
            method(-1)
    for method in (sem.acquire, sem.try_acquire):
        with pytest.raises(ValueError, match=r"acquire\(3\) of a semaphore of size 2 could never"):
            method(3)
    with pytest.raises(OverflowError):
        Semaphore(1 << 70)


def test_release_of_more_than_is_out() -> None:
    sem = Semaphore(2)
    with pytest.raises(RuntimeError, match=r"release\(1\) of a semaphore of which less is acq"):
        sem.release()
    assert sem.try_acquire()
    with pytest.raises(RuntimeError, match=r"release\(2\)"):
        sem.release(2)
    assert sem.available == 1
    sem.release()
    assert sem.available == 2


def test_a_semaphores_size_is_constant() -> None:
    sem = Semaphore(2)
    with pytest.raises(RuntimeError, match="size cannot be changed"):
        sem.__init__(3)  # type: ignore[misc]


# -- WaitGroup ----------------------------------------------------------------


@ALL_PROCS
def test_a_waitgroup_waits_for_all(procs: int) -> None:
    async def main() -> None:
        wg, ended = WaitGroup(), []

        async def work(n: int) -> None:
            for _ in range(n % 5):
                await gosched()
            ended.append(n)

        for n in range(100):
            wg.go(work, n)
        await wg.wait()
        assert sorted(ended) == list(range(100))

    run(main, procs=procs)


@ALL_PROCS
def test_many_wait_and_it_can_be_used_again(procs: int) -> None:
    async def main() -> None:
        wg = WaitGroup()
        for _ in range(3):
            await wg.wait()  # at 0 nobody waits
            wg.add(3)
            waiters = [await waiting(wg.wait()) for _ in range(10)]
            wg.done()
            wg.add(-1)
            assert [w.status for w in waiters] == ["waiting"] * 10
            assert repr(wg) == "<WaitGroup, 1 to wait for>"
            wg.done()
            for w in waiters:
                await w

    run(main, procs=procs)


def test_a_counter_below_zero() -> None:
    wg = WaitGroup()
    with pytest.raises(RuntimeError, match="negative WaitGroup counter"):
        wg.done()
    wg.add(2)
    with pytest.raises(RuntimeError, match="negative WaitGroup counter"):
        wg.add(-3)
    assert repr(wg) == "<WaitGroup, 2 to wait for>"


def test_the_counter_takes_ints() -> None:
    with pytest.raises(TypeError):
        WaitGroup().add(1.5)  # type: ignore[arg-type]


def test_go_takes_what_go_takes() -> None:
    async def main() -> None:
        wg = WaitGroup()

        async def double(n: int) -> int:
            await gosched()
            return 2 * n

        def plain(n: int, *, more: int = 0) -> int:
            return n + more

        gs = [
            wg.go(double, 1),
            wg.go(double(2)),
            wg.go(plain, 3, more=1),
            wg.go(lambda: double(4)),  # a plain function that gives a coroutine
            wg.go(double, 5, name="five doubled"),
        ]
        await wg.wait()
        assert [g.done() for g in gs] == [True] * 5
        assert [await g for g in gs] == [2, 4, 4, 8, 10]
        assert [g.name.rpartition(".")[2] for g in gs] == [
            *("double", "double", "plain", "<lambda>", "five doubled")
        ]
        created_by = gs[0].created_by
        assert created_by is not None
        assert created_by[0] == __file__

    run(main)


def test_who_fails_is_done_and_no_exception_is_lost() -> None:
    async def fail() -> None:
        raise ArithmeticError

    async def main() -> None:
        wg = WaitGroup()
        g = wg.go(fail)
        await wg.wait()
        with pytest.raises(ArithmeticError):
            await g
        wg.go(fail)
        await wg.wait()
        await sleep(10)

    with pytest.raises(GoPanic) as info:
        run(main)
    assert isinstance(info.value.exception, ArithmeticError)


def test_what_cannot_be_started_does_not_count() -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        wg = WaitGroup()
        with pytest.raises(TypeError, match=r"WaitGroup.go\(\) needs a coroutine or a function"):
            wg.go()  # type: ignore[call-overload]
        with pytest.raises(TypeError, match=r"WaitGroup.go\(\) needs a coroutine, an async"):
            wg.go(7)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="name must be a str"):
            wg.go(nothing, name=7)  # type: ignore[call-overload]
        wg.go(sleep, 0.01)
        with pytest.raises(TooManyGoroutines):
            wg.go(nothing)
        coro = nothing()
        with pytest.raises(TooManyGoroutines):
            wg.go(coro)
        await wg.wait()
        await gosched()
        await wg.go(coro)  # it has not been used up
        await wg.wait()

    run(main, max_goroutines=2)


def test_add_and_done_in_other_threads() -> None:
    async def main() -> None:
        wg, ended = WaitGroup(), []

        def work() -> None:
            ended.append(True)
            wg.done()

        wg.add(5)
        threads = [threading.Thread(target=work) for _ in range(5)]
        for t in threads:
            t.start()
        await wg.wait()
        assert len(ended) == 5
        for t in threads:
            t.join()

    run(main)


# -- Once ---------------------------------------------------------------------


@ALL_PROCS
@pytest.mark.parametrize("plain", [False, True])
def test_once_runs_one_and_all_get_its_value(procs: int, plain: bool) -> None:
    async def main() -> None:
        once, ran = Once(), []
        value = object()

        async def slow() -> object:
            ran.append(True)
            await sleep(0.001)
            return value

        def quick() -> object:
            ran.append(True)
            return value

        fn: Any = quick if plain else slow
        assert not once.done
        assert repr(once) == "<Once, not done>"
        gs = [go(once.do(fn)) for _ in range(20)]
        assert all([await g is value for g in gs])
        assert await once.do(fn) is value
        assert len(ran) == 1
        assert once.done
        assert repr(once) == "<Once, done>"

    run(main, procs=procs)


def test_who_comes_meanwhile_waits_until_it_has_run() -> None:
    async def main() -> None:
        once, mu = Once(), Mutex()
        await mu.lock()

        async def slow() -> str:
            async with mu:
                return "done"

        first = await waiting(once.do(slow))
        second = await waiting(once.do(slow))
        assert second.wait_reason == "sync.Mutex.Lock"
        mu.unlock()
        assert (await first, await second) == ("done", "done")

    run(main)


def test_once_remembers_an_error() -> None:
    async def main() -> None:
        once, ran = Once(), []

        async def fail() -> None:
            ran.append(True)
            raise ArithmeticError("no")

        async def other() -> None:
            ran.append(True)

        errors = []
        for fn in (fail, fail, other):
            with pytest.raises(ArithmeticError, match="no") as info:
                await once.do(fn)
            errors.append(info.value)
            lengths = [len(info.traceback)]
        assert errors[0] is errors[1] is errors[2]
        assert len(set(lengths)) == 1  # it does not grow
        assert len(ran) == 1
        assert once.done

    run(main)


def test_once_passes_arguments_on() -> None:
    async def main() -> None:
        assert await Once().do(int, "20", base=16) == 32

    run(main)


def test_who_ended_meanwhile_has_not_run_it() -> None:
    async def main() -> None:
        once = Once()

        async def leave() -> None:
            await gosched()
            gopark.goexit()

        g = go(once.do(leave))
        assert await go(once.do(lambda: 7)) == 7
        await g
        assert await once.do(leave) == 7

    run(main)


def test_once_inside_of_itself() -> None:
    async def main() -> None:
        once = Once()

        async def again() -> object:
            return await once.do(again)

        with pytest.raises(RuntimeError, match="called by the very function that it runs"):
            await once.do(again)

    run(main)


# -- Cond ---------------------------------------------------------------------


async def consume(cond: Cond, log: list[Any], name: Any) -> None:
    async with cond:
        await cond.wait()
        log.append(name)


def test_signal_wakes_one_in_order() -> None:
    async def main() -> None:
        cond, log = Cond(), list[int]()
        gs = [await waiting(consume(cond, log, i)) for i in range(5)]
        assert {g.wait_reason for g in gs} == {"sync.Cond.Wait"}
        for i in range(5):
            cond.signal()
            await gs[i]
            assert log == list(range(i + 1))
            assert [g.status for g in gs[i + 1 :]] == ["waiting"] * (4 - i)

    run(main)


@ALL_PROCS
def test_broadcast_wakes_all(procs: int) -> None:
    async def main() -> None:
        cond, log = Cond(), list[int]()
        gs = [await waiting(consume(cond, log, i)) for i in range(20)]
        cond.broadcast()
        for g in gs:
            await g
        assert sorted(log) == list(range(20))

    run(main, procs=procs)


def test_a_signal_without_waiters_is_not_remembered() -> None:
    async def main() -> None:
        cond = Cond()
        cond.signal()
        cond.broadcast()
        g = await waiting(consume(cond, [], 1))
        for _ in range(5):
            await gosched()
        assert g.status == "waiting"
        cond.signal()
        await g

    run(main)


def test_wait_gives_the_mutex_and_takes_it_again() -> None:
    async def main() -> None:
        mu = Mutex()
        cond = Cond(mu)
        g = await waiting(consume(cond, [], 1))
        assert not mu.locked()
        async with mu:
            cond.signal()
            await until_waiting(g)
            while g.wait_reason != "sync.Mutex.Lock":
                await gosched()
        await g
        assert not mu.locked()

    run(main)


def test_wait_without_the_mutex() -> None:
    async def main() -> None:
        cond = Cond()
        with pytest.raises(RuntimeError, match="wait on a Cond whose Mutex is not locked"):
            await cond.wait()
        cond.signal()  # it stands in no queue
        await sleep(0)

    run(main)


@ALL_PROCS
def test_wait_for(procs: int) -> None:
    async def main() -> None:
        cond, things = Cond(), list[int]()

        async def take() -> int:
            async with cond:
                assert await cond.wait_for(lambda: things)
                return things.pop()

        async def give(n: int) -> None:
            async with cond:
                things.append(n)
                cond.signal()

        takers = [go(take()) for _ in range(30)]
        for n in range(30):
            go(give(n))
        assert sorted([await g for g in takers]) == list(range(30))

    run(main, procs=procs)


def test_wait_for_what_holds_already() -> None:
    async def main() -> None:
        cond = Cond()
        async with cond:
            assert await cond.wait_for(lambda: 7) == 7

    run(main)


def test_a_cond_needs_a_mutex() -> None:
    for wrong in (RWMutex(), threading.Lock(), 1):
        with pytest.raises(TypeError, match="a Cond needs a Mutex, not"):
            Cond(wrong)  # type: ignore[arg-type]
    cond = Cond()
    with pytest.raises(RuntimeError, match="Mutex cannot be changed"):
        cond.__init__()  # type: ignore[misc]
    assert repr(cond) == "<Cond with <Mutex, unlocked>>"


@ALL_PROCS
def test_signals_from_another_thread(procs: int) -> None:
    async def main() -> None:
        cond, over = Cond(), []

        def ring() -> None:
            while not over:
                cond.broadcast()
                time.sleep(0.0001)

        thread = threading.Thread(target=ring)
        thread.start()
        for _ in range(50):
            async with cond:
                await cond.wait()
        over.append(True)
        thread.join()

    run(main, procs=procs)


@pytest.mark.parametrize("holder_first", [True, False])
def test_conds_and_mutexes_at_the_programs_end(holder_first: bool) -> None:
    """Somebody waits for the Cond, and somebody else holds its Mutex: both unwind in peace."""
    cond, ended = Cond(), list[str]()

    async def hold() -> None:
        try:
            async with cond:
                await sleep(1000)
        finally:
            ended.append("held")

    async def wait() -> None:
        try:
            async with cond:
                await cond.wait()
        finally:
            ended.append("waited")

    async def main() -> None:
        if holder_first:
            holder = go(hold())
            waiter = go(wait())
            await until_waiting(holder)
            await until_waiting(waiter)
        else:
            await waiting(wait())
            await waiting(hold())

    run(main)
    assert sorted(ended) == ["held", "waited"]
    assert repr(cond) == "<Cond with <Mutex, unlocked>>"
