"""Over a long time nothing grows: memory, threads, descriptors."""

import gc
import hashlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from threads import os_threads, wait_for_threads

import gopark
from gopark import Chan, Deadlock, GoPanic, go, gosched, run, select, sleep
from gopark.runtime.export_test import counts

STATM = Path("/proc/self/statm")
FDS = Path("/proc/self/fd")
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

linux = pytest.mark.skipif(not STATM.exists(), reason="reads /proc")


def descriptors() -> int:
    return len(list(FDS.iterdir()))


def resident() -> int:
    """Bytes of resident memory."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Held(NamedTuple):
    """What the process holds: blocks of Python's allocator, and bytes of resident memory."""

    blocks: int
    resident: int

    @classmethod
    def now(cls) -> "Held":
        # Without the GIL each thread has a heap of its own, whose pages settle only after minutes,
        # at several times what it ever held: there only the blocks tell what is left behind.
        gc.collect()
        return cls(sys.getallocatedblocks(), resident() if GIL else 0)

    def grew(self, before: "Held") -> bool:
        return self.blocks > before.blocks + 3_000 or self.resident > before.resident + 20_000_000


class Level:
    """Whether what the process holds comes to rest.

    Every thread has free lists and heaps, which take until they are full, and then no more.
    So one window of work without growth tells that all is well; a leak grows in all of them.
    """

    WINDOWS = 8

    def __init__(self) -> None:
        self.windows = [Held.now()]

    def at_rest(self) -> bool:
        """After a window of work: true if it brought no growth; fails if none ever did."""
        before, after = self.windows[-1], Held.now()
        self.windows.append(after)
        grew = after.grew(before)
        assert not grew or len(self.windows) <= self.WINDOWS, self.windows
        return not grew


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

    async def block() -> None:
        barrier = threading.Barrier(6)
        thread = threading.Thread(target=lambda: gopark.block_on(go(barrier.wait)))
        thread.start()
        g = go(lambda: gopark.block_on(go(barrier.wait)))
        for blocker in [go(barrier.wait) for _ in range(4)]:
            await blocker
        await g
        thread.join()

    match i % 6:
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
        case 5:
            run(block, procs=procs)


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_many_programs_in_one_process(procs: int) -> None:
    before = os_threads()
    for i in range(250):
        one_program(i, procs)
    wait_for_threads(before)
    assert gopark.num_goroutine() == 0


@linux
def test_many_programs_leave_nothing_behind() -> None:
    for i in range(100):
        one_program(i, 2)
    level, fds, objects = Level(), descriptors(), len(gc.get_objects())
    at_rest = False
    while not at_rest:
        for i in range(300):
            one_program(i, 2)
        at_rest = level.at_rest()
    assert descriptors() == fds
    assert len(gc.get_objects()) < objects + 1000


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
        level = Level()
        await sleep(soak * 3 / 4)
        while not level.at_rest():
            await sleep(soak * 3 / 4)
        assert descriptors() == fds
        assert counts()["nm"] <= threads + 4
        over.append(True)
        for p in producers:
            await p
        c.close()
        assert sum([await g for g in consumers]) > 1000

    run(main, procs=procs)


class Blockers:
    """Goroutines that block all at once, each with a descriptor of its own; none is left over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.payload = os.urandom(20_000)

    async def round(self) -> None:
        """Needs more than 40 threads at once."""
        all_in = threading.Barrier(41)
        ends = os.pipe()
        gs = [go(self.read_file, all_in, n) for n in range(20)]
        gs += [go(self.hash(all_in)) for _ in range(10)]
        gs += [go(self.wait_for_thread, all_in) for _ in range(5)]
        gs += [go(self.wired(all_in)) for _ in range(5)]
        gs += [go(self.write_pipe, all_in, ends[1]), go(self.read_pipe, ends[0])]
        for g in gs:
            await g

    def read_file(self, all_in: threading.Barrier, n: int) -> None:
        file = self.folder / str(n)
        file.write_bytes(self.payload)
        with file.open("rb") as stream:
            all_in.wait()
            assert stream.read() == self.payload

    async def hash(self, all_in: threading.Barrier) -> None:
        all_in.wait()
        hashlib.sha256(self.payload * 10).digest()

    def wait_for_thread(self, all_in: threading.Barrier) -> None:
        thread = threading.Thread(target=gopark.block_on, args=(sleep(0.001),))
        thread.start()
        all_in.wait()
        thread.join()

    async def wired(self, all_in: threading.Barrier) -> None:
        gopark.lock_os_thread()
        all_in.wait()
        await gosched()
        gopark.unlock_os_thread()

    def read_pipe(self, reader: int) -> None:
        with open(reader, "rb") as stream:
            assert stream.read() == self.payload

    def write_pipe(self, all_in: threading.Barrier, writer: int) -> None:
        with open(writer, "wb") as stream:
            all_in.wait()
            stream.write(self.payload)


@linux
@pytest.mark.parametrize("procs", [1, 4])
def test_blockers_leave_nothing_behind(procs: int, soak: float, tmp_path: Path) -> None:
    """Round for round the same threads, descriptors and memory."""

    async def main() -> None:
        blockers = Blockers(tmp_path)
        for _ in range(50):
            await blockers.round()
        level, fds, made = Level(), descriptors(), counts()["started"]
        rounds, most, at_rest = 0, counts()["nm"], False
        while not at_rest:
            until, least = time.monotonic() + soak, rounds + 10
            while time.monotonic() < until or rounds < least:
                await blockers.round()
                rounds += 1
                most = max(most, counts()["nm"])
            at_rest = level.at_rest()
        print(f"{rounds} rounds, {most} Ms, {counts()['started'] - made} new", file=sys.stderr)
        assert descriptors() == fds
        assert most <= 41 + 2 * procs + 10

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

        async def one_round() -> None:
            c = Chan[None]()
            for g in [go(spawn(c)) for _ in range(4)]:
                await g
            c.close()
            while gopark.num_goroutine() > 1:
                await sleep(0.001)

        async def rounds() -> None:
            until, n = time.monotonic() + soak / 2, 0
            while time.monotonic() < until or n < 10:
                await one_round()
                n += 1

        await rounds()  # the heaps grow to what they once held
        level = Level()
        await rounds()
        while not level.at_rest():
            await rounds()

    run(main, procs=4)
