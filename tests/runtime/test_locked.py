"""Goroutines that are wired to their thread: LockOSThread and stoplockedm/startlockedm."""

import threading
import time
from collections.abc import Callable

import pytest

import gopark
from gopark import Chan, go, gosched, lock_os_thread, run, select, sleep, unlock_os_thread
from gopark.runtime.export_test import check_sched, counts, retake, where

ident = threading.get_ident


async def waits(how: str) -> None:
    """One wait of each kind, which others end."""
    c: Chan[int] = Chan()

    async def give() -> None:
        await gosched()
        await c.send(1)

    async def take() -> None:
        await gosched()
        assert await c.recv() == 2

    match how:
        case "recv":
            go(give())
            assert await c.recv() == 1
        case "send":
            go(take())
            await c.send(2)
        case "select":
            go(give())
            assert await select(c, Chan[int]()) == (0, 1)
        case "timeout":
            with pytest.raises(TimeoutError):
                await select(c, timeout=0.001)
        case "join":
            await go(sleep(0.001))
        case "sleep":
            await sleep(0.001)
        case "gosched":
            await gosched()
        case "block":
            event = threading.Event()
            go(event.set)
            event.wait()
        case "block_on":
            go(give())
            assert gopark.block_on(c.recv()) == 1
        case "taken":
            while not retake(where()[1]):
                pass
            await gosched()


WAITS = [
    "recv",
    "send",
    "select",
    "timeout",
    "join",
    "sleep",
    "gosched",
    "block",
    "block_on",
    "taken",
]


@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize("how", WAITS)
def test_it_stays_on_its_thread(how: str, n: int) -> None:
    async def main() -> None:
        async def locked() -> int:
            lock_os_thread()
            here = ident()
            for _ in range(10):
                await waits(how)
                assert ident() == here
                m = where()[0]
                await gosched()
                assert where()[0] == m
            unlock_os_thread()
            return here

        async def restless(over: Chan[None]) -> None:
            """Others, which move between the threads meanwhile."""
            while (await select(over, default=True))[0] == -1:
                await gosched()

        over: Chan[None] = Chan()
        others = [go(restless(over)) for _ in range(4)]
        gs = [go(locked()) for _ in range(3)]
        for g in gs:
            await g
        over.close()
        for g in others:
            await g
        check_sched()

    run(main, procs=n)


@pytest.mark.parametrize("n", [1, 2])
def test_nobody_else_runs_there(n: int) -> None:
    async def main() -> None:
        mine: set[int] = set()
        seen: set[int] = set()
        started, over = Chan[None](), Chan[None]()

        async def locked() -> None:
            lock_os_thread()
            mine.add(ident())
            await started.send(None)
            await over.recv_ok()

        async def other() -> None:
            for _ in range(5):
                seen.add(ident())
                await gosched()

        wired = [go(locked()) for _ in range(5)]
        for _ in wired:
            await started.recv()
        assert len(mine) == 5
        for g in [go(other()) for _ in range(50)]:
            await g
        assert not mine & seen
        over.close()
        for g in wired:
            await g

    run(main, procs=n)


def test_calls_nest() -> None:
    async def main() -> None:
        async def locked() -> None:
            for _ in range(3):
                lock_os_thread()
            here = ident()
            for _ in range(2):
                unlock_os_thread()
                await sleep(0.001)
                assert ident() == here
            unlock_os_thread()
            unlock_os_thread()  # one too many does nothing
            lock_os_thread()
            here = ident()
            await sleep(0.001)
            assert ident() == here
            unlock_os_thread()

        for g in [go(locked()) for _ in range(5)]:
            await g

    run(main, procs=2)


def test_unlocked_without_a_lock() -> None:
    async def main() -> None:
        unlock_os_thread()
        await gosched()

    run(main)


@pytest.mark.parametrize("call", [lock_os_thread, unlock_os_thread])
def test_outside_of_a_goroutine(call: Callable[[], None]) -> None:
    with pytest.raises(RuntimeError, match="only a goroutine can"):
        call()


@pytest.mark.parametrize("how", ["return", "raise", "goexit"])
def test_its_end_ends_the_thread(how: str) -> None:
    async def main() -> None:
        ended = threading.Event()

        class AtThreadEnd:
            def __del__(self) -> None:
                ended.set()

        local = threading.local()
        away = 0
        caller = ident()

        async def locked() -> int:
            lock_os_thread()
            if ident() != caller:
                local.at_end = AtThreadEnd()
            here = ident()
            await sleep(0.001)
            assert ident() == here
            if how == "raise":
                raise ArithmeticError
            if how == "goexit":
                gopark.goexit()
            return here

        while not away:
            try:
                g = go(locked())
                time.sleep(0.01)  # noqa: ASYNC251  leaves the caller's thread to main
                await g
            except ArithmeticError:
                pass
            away = ended.is_set()
            if not away:
                away = ended.wait(0.2)
        assert ended.wait(30)

    run(main, procs=1)


def test_its_end_unlocked_keeps_the_thread() -> None:
    async def main() -> None:
        async def unlocked() -> None:
            lock_os_thread()
            await gosched()
            unlock_os_thread()

        for _ in range(50):
            await go(unlocked())
        assert counts()["started"] < 20, counts()

    run(main, procs=1)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_main_is_locked(n: int) -> None:
    """As for a library that must be called on the process's first thread."""

    async def main() -> None:
        lock_os_thread()
        here = ident()
        assert here == threading.main_thread().ident
        c: Chan[int] = Chan()

        async def send() -> None:
            for i in range(50):
                await c.send(i)
                if i % 10 == 0:
                    time.sleep(0.001)  # noqa: ASYNC251
            c.close()

        go(send())
        assert [i async for i in c] == list(range(50))
        for how in WAITS:
            await waits(how)
            assert ident() == here

    run(main, procs=n)


def test_main_ends_locked() -> None:
    async def main() -> int:
        lock_os_thread()
        await sleep(0.001)
        return ident()

    for _ in range(3):
        assert run(main) == ident()


def test_others_wait_locked_at_the_end() -> None:
    cleaned: list[int] = []

    async def main() -> None:
        started: Chan[None] = Chan()

        async def locked() -> None:
            lock_os_thread()
            try:
                await started.send(None)
                await Chan[int]().recv()
            finally:
                cleaned.append(1)

        for _ in range(5):
            go(locked())
        for _ in range(5):
            await started.recv()

    for n in (1, 2):
        cleaned.clear()
        run(main, procs=n)
        assert cleaned == [1] * 5


@pytest.mark.parametrize("n", [1, 2])
def test_deadlock_of_locked_ones(n: int) -> None:
    async def main() -> None:
        async def locked() -> None:
            lock_os_thread()
            await Chan[int]().recv()

        for _ in range(3):
            go(locked())
        lock_os_thread()
        await Chan[int]().recv()

    with pytest.raises(gopark.Deadlock) as caught:
        run(main, procs=n)
    assert len(caught.value.goroutines) == 4


def test_what_a_locked_one_starts_is_not_locked() -> None:
    async def main() -> None:
        lock_os_thread()
        here = ident()

        async def child() -> int:
            return ident()

        assert here not in [await g for g in [go(child()) for _ in range(10)]]

    run(main, procs=1)


def test_a_plain_function_locked() -> None:
    def locked(c: Chan[int]) -> list[int]:
        lock_os_thread()
        here = ident()
        got = []
        for _ in range(10):
            got.append(gopark.block_on(c.recv()))
            assert ident() == here
        unlock_os_thread()
        return got

    async def main() -> None:
        c: Chan[int] = Chan()
        g = go(locked, c)
        for i in range(10):
            await c.send(i)
        assert await g == list(range(10))

    run(main, procs=1)
