"""Over a long time nothing grows: memory, threads, descriptors."""

import gc
import os
import sys
import threading
import time
from pathlib import Path

import pytest

import gopark
from gopark import Chan, Deadlock, GoPanic, go, gosched, run, select, sleep
from gopark.runtime.export_test import counts

STATM = Path("/proc/self/statm")
FDS = Path("/proc/self/fd")

linux = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def descriptors() -> int:
    return len(list(FDS.iterdir()))


def resident() -> int:
    """Bytes of resident memory."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def one_program(i: int, procs: int) -> None:
    """Programs that end in all the ways there are."""
    c = Chan[int]()

    async def finish() -> int:
        for n in range(5):
            go(c.send(n))
        return sum([await c.recv() for _ in range(5)])

    async def leave_others_waiting() -> int:
        for _ in range(20):
            go(c.recv())
        go(sleep(1000))
        go(select(c, timeout=1000))
        await gosched()
        return 10

    async def lock_up() -> None:
        go(c.recv())
        await c.recv()

    async def fail() -> None:
        raise ArithmeticError

    async def panic() -> None:
        go(fail())
        await c.recv()

    match i % 5:
        case 0:
            assert run(finish, procs=procs) == 10
        case 1:
            assert run(leave_others_waiting, procs=procs) == 10
        case 2:
            with pytest.raises(Deadlock):
                run(lock_up, procs=procs)
        case 3:
            with pytest.raises(ArithmeticError):
                run(fail, procs=procs)
        case 4:
            with pytest.raises(GoPanic):
                run(panic, procs=procs)


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_many_programs_in_one_process(procs: int) -> None:
    before = threading.active_count()
    for i in range(250):
        one_program(i, procs)
    assert threading.active_count() == before
    assert gopark.num_goroutine() == 0


@linux
def test_many_programs_leave_nothing_behind() -> None:
    for i in range(100):
        one_program(i, 2)
    gc.collect()
    fds, before, objects = descriptors(), resident(), len(gc.get_objects())
    for i in range(300):
        one_program(i, 2)
    gc.collect()
    assert descriptors() == fds
    assert len(gc.get_objects()) < objects + 1000
    assert resident() < before + 8_000_000


@linux
@pytest.mark.parametrize("procs", [1, 4])
def test_memory_is_flat(procs: int, soak: float) -> None:
    """Goroutines born on one P die on another: producers, consumers, and the dead between."""

    async def main() -> None:
        c, over = Chan[object](50), []

        async def wander(payload: object) -> object:
            await gosched()
            return payload

        async def produce() -> None:
            while not over:
                await c.send(go(wander(bytearray(1000))))

        async def consume() -> int:
            n = 0
            async for g in c:
                await g  # type: ignore[misc]
                n += 1
            return n

        producers = [go(produce()) for _ in range(8)]
        consumers = [go(consume()) for _ in range(8)]
        await sleep(soak / 4)
        fds, threads = descriptors(), counts()["nm"]
        start = before = resident()
        until = time.monotonic() + soak * 3 / 4
        while time.monotonic() < until:
            await sleep(soak / 20)
            start = max(start, resident())
        assert descriptors() == fds
        assert counts()["nm"] <= threads + 4
        over.append(True)
        for p in producers:
            await p
        c.close()
        assert sum([await g for g in consumers]) > 1000
        print(f"{before >> 20} MB, at most {start >> 20} MB", file=sys.stderr)
        assert start < before + 20_000_000

    run(main, procs=procs)


@linux
def test_sleeping_threads_give_up_their_dead(soak: float) -> None:
    """Threads that made goroutines and now sleep must not keep the dead ones' memory."""

    async def main() -> None:
        async def idle(c: Chan[None], payload: object) -> None:
            await c.recv_ok()

        async def spawn(c: Chan[None]) -> None:
            for _ in range(500):
                go(idle(c, bytearray(10_000)))
                await gosched()

        # Every thread's heap grows to what it once held; after that it must stay flat.
        highest = [0, 0]
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < soak or not all(highest):
            c = Chan[None]()
            spawners = [go(spawn(c)) for _ in range(4)]
            for g in spawners:
                await g
            c.close()
            while gopark.num_goroutine() > 1:
                await sleep(0.001)
            half = int(spent > soak / 2)
            highest[half] = max(highest[half], resident())
        assert highest[1] < highest[0] + 20_000_000

    run(main, procs=4)
