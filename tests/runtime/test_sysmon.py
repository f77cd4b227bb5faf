"""sysmon: whoever blocks or hogs loses the P, by itself and without a word to the runtime.

Nothing here asserts that something is fast: a goroutine blocks in what only another
one can end, with a single P, so a program in which the P is not taken hangs.
"""

import contextlib
import hashlib
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from threads import os_threads, wait_for_threads

import gopark
from gopark import Chan, go, gosched, run, select, sleep
from gopark.runtime.export_test import check_sched, counts, procs


class Pipe:
    """A pipe, for reads that block until `release`."""

    def __init__(self) -> None:
        self.r, self.w = os.pipe()

    def release(self) -> None:
        os.write(self.w, b"x")

    def close(self) -> None:
        os.close(self.r)
        os.close(self.w)


def blocks_in(how: str, pipe: Pipe) -> tuple[Callable[[], object], Callable[[], object]]:
    """(what blocks, what ends it)"""
    match how:
        case "event":
            event = threading.Event()
            return event.wait, event.set
        case "lock":
            lock = threading.Lock()
            lock.acquire()
            return lock.acquire, lock.release
        case "condition":
            free: list[bool] = []
            condition = threading.Condition()

            def wait() -> None:
                with condition:
                    condition.wait_for(lambda: free)

            def notify() -> None:
                with condition:
                    free.append(True)
                    condition.notify()

            return wait, notify
        case "queue":
            q: queue.Queue[int] = queue.Queue()
            return q.get, lambda: q.put(1)
        case "sleep":
            ended: list[bool] = []

            def naps() -> None:
                while not ended:
                    time.sleep(0.05)

            return naps, lambda: ended.append(True)
        case "read":
            return lambda: os.read(pipe.r, 1), pipe.release
        case "file":

            def read() -> None:
                with open(pipe.r, "rb", buffering=0, closefd=False) as stream:
                    assert stream.read(1) == b"x"

            return read, pipe.release
        case "subprocess":
            wait_for_a_byte = [sys.executable, "-c", "import sys; sys.stdin.read(1)"]
            return lambda: subprocess.run(wait_for_a_byte, stdin=pipe.r, check=True), pipe.release
        case "join":
            event = threading.Event()
            thread = threading.Thread(target=event.wait)
            thread.start()
            return thread.join, event.set
    raise AssertionError(how)


BLOCKS = [
    "event",
    "lock",
    "condition",
    "queue",
    "sleep",
    "read",
    "file",
    "subprocess",
    "join",
]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("how", BLOCKS)
def test_others_go_on_wherever_they_were_parked(how: str, n: int) -> None:
    async def main() -> None:
        pipe = Pipe()
        block, release = blocks_in(how, pipe)
        recv, send, joined = Chan[int](), Chan[int](), Chan[int]()
        went_on: list[str] = []

        async def receiver() -> None:
            await recv.recv()
            went_on.append("recv")

        async def sender() -> None:
            await send.send(1)
            went_on.append("send")

        async def joiner(g: gopark.G[None]) -> None:
            await g
            went_on.append("join")

        async def selecter() -> None:
            await select(joined, None)
            went_on.append("select")

        async def sleeper() -> None:
            await sleep(0.001)
            went_on.append("sleep")

        async def spinner() -> None:
            for _ in range(100):
                await gosched()
            went_on.append("gosched")

        async def other() -> None:
            """Runs only when the P has been taken from main."""
            await recv.send(1)
            await send.recv()
            joined.close()
            while len(went_on) < 6:
                await sleep(0.001)
            release()

        receivers = go(receiver())
        for g in (sender(), joiner(receivers), selecter(), sleeper(), spinner()):
            go(g)
        await gosched()
        last = go(other())
        here = threading.get_ident()
        block()
        assert threading.get_ident() == here
        await last
        assert sorted(went_on) == ["gosched", "join", "recv", "select", "send", "sleep"]
        pipe.close()
        check_sched()

    run(main, procs=n)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_a_hundred_block_at_once(n: int, plain: bool) -> None:
    async def main() -> None:
        barrier = threading.Barrier(100)

        def blocker(i: int) -> int:
            barrier.wait()  # passes only when all are in it
            return i

        async def async_blocker(i: int) -> int:
            return blocker(i)

        blockers = [go(blocker if plain else async_blocker, i) for i in range(100)]
        assert [await g for g in blockers] == list(range(100))
        check_sched()

    run(main, procs=n)


def test_a_chain_of_blockers() -> None:
    """Each ends the wait of the one before it, deep in frames that await each other."""

    async def main() -> None:
        events = [threading.Event() for _ in range(30)]

        async def nested(i: int, depth: int) -> None:
            if depth:
                return await nested(i, depth - 1)
            if i + 1 < len(events):
                go(nested(i + 1, 5))
                events[i + 1].wait()
            events[i].set()

        await go(nested(0, 5))
        assert all(event.is_set() for event in events)

    run(main, procs=1)


def test_c_code_that_releases_the_gil() -> None:
    async def main() -> None:
        over: list[bool] = []
        data = bytes(4 << 20)

        async def hash_all() -> int:
            rounds = 0
            while not over:
                hashlib.sha256(data).digest()
                rounds += 1
            return rounds

        async def query(path: str) -> None:
            with sqlite3.connect(path) as connection:
                while not over:
                    connection.execute(
                        "with recursive n(i) as (select 1 union all select i + 1 from n "
                        "where i < 30000) select sum(i) from n"
                    ).fetchall()
            connection.close()

        busy = [go(hash_all()), go(query(":memory:"))]
        for _ in range(20):
            await sleep(0.001)
        over.append(True)
        for g in busy:
            await g

    run(main, procs=1)


@pytest.mark.parametrize("what", ["timer", "after_func", "ticker"])
def test_timers_of_a_p_that_is_taken(what: str) -> None:
    async def main() -> None:
        fired = threading.Event()

        async def waiter() -> None:
            await gopark.time.after(0.001).recv()
            fired.set()

        async def ticks() -> None:
            ticker = gopark.time.Ticker(0.001)
            for _ in range(5):
                await ticker.c.recv()
            ticker.stop()
            fired.set()

        match what:
            case "timer":
                go(waiter())
            case "after_func":
                gopark.time.after_func(0.001, fired.set)
            case "ticker":
                go(ticks())
        await gosched()
        fired.wait()

    run(main, procs=1)


class TestCooperative:
    """The P's preempt flag is honoured by operations that need not wait."""

    @pytest.mark.parametrize("how", ["buffered", "unbuffered", "select", "join", "close", "nowait"])
    def test_who_never_waits_starves_nobody(self, how: str) -> None:
        async def main() -> None:
            over: list[bool] = []
            a, b = Chan[int](1), Chan[int](1)

            async def nothing() -> None:
                pass

            async def swap(mine: Chan[int], other: Chan[int]) -> None:
                while not over:
                    match how:
                        case "buffered":
                            await mine.send(1)
                            await mine.recv()
                        case "select":
                            await select((mine, 1))
                            await select(mine)
                        case "join":
                            await go(nothing())
                        case "close":
                            Chan[int]().close()
                        case "nowait":
                            mine.send_nowait(1)
                            mine.recv_nowait()
                        case "unbuffered":
                            if mine is a:
                                await mine.send(1)
                            else:
                                await other.recv()

            async def third() -> None:
                for _ in range(5):
                    await gosched()
                over.append(True)
                a.close()

            async def quiet(g: gopark.G[None]) -> None:
                with contextlib.suppress(gopark.ChanClosed):
                    await g

            if how == "unbuffered":
                a = b = Chan[int]()
                first, second = a, Chan[int]()

                async def ping() -> None:
                    while not over:
                        await first.send(1)
                        await second.recv()

                async def pong() -> None:
                    while not over:
                        await first.recv()
                        await second.send(1)

                gs = [go(ping()), go(pong())]
                await go(third())
                second.close()
            else:
                gs = [go(swap(a, b)), go(swap(b, a))]
                await go(third())
            for g in gs:
                await quiet(g)

        run(main, procs=1)

    def test_two_that_ready_each_other(self) -> None:
        """They inherit each other's time slice through runnext; a third waits in the ring."""

        async def main() -> None:
            over: list[bool] = []
            there, back = Chan[int](), Chan[int]()

            async def ping() -> None:
                while not over:
                    await there.send(1)
                    await back.recv()
                there.close()

            async def pong() -> None:
                async for n in there:
                    await back.send(n)

            async def third() -> None:
                over.append(True)

            gs = [go(ping()), go(pong())]
            await gosched()
            for g in [go(third()), *gs]:
                await g

        run(main, procs=1)


class TestMs:
    def test_they_are_reused(self) -> None:
        async def main() -> None:
            for _ in range(5):
                barrier = threading.Barrier(10)
                for g in [go(barrier.wait) for _ in range(10)]:
                    await g
                if _ == 0:
                    first = counts()["started"]
            # Those of the first round serve the others, but for a straggler at each.
            assert counts()["started"] <= first + 10, counts()

        run(main, procs=1)

    def test_the_idle_ones_retire(self) -> None:
        known = dummies()

        async def main() -> None:
            barrier = threading.Barrier(20)
            for g in [go(barrier.wait) for _ in range(20)]:
                await g
            before = counts()["nm"]
            assert before >= 20
            deadline = time.monotonic() + 60
            while counts()["nm"] > 6:
                assert time.monotonic() < deadline, counts()
                await sleep(0.2)
            assert dummies() <= known + 20
            barrier = threading.Barrier(20)  # and it can grow again
            for g in [go(barrier.wait) for _ in range(20)]:
                await g

        run(main, procs=1)

    def test_their_threads_end_with_the_program(self) -> None:
        before = os_threads()

        async def main() -> None:
            barrier = threading.Barrier(30)
            for g in [go(barrier.wait) for _ in range(30)]:
                await g

        for _ in range(5):
            run(main)
        wait_for_threads(before)

    @pytest.mark.parametrize("n", [1, 2])
    def test_too_many(self, n: int) -> None:
        async def main() -> None:
            over = threading.Event()
            try:
                for _ in range(20):
                    go(over.wait)
                while True:
                    with gopark.blocking():
                        time.sleep(0.01)  # noqa: ASYNC251
            finally:
                over.set()

        with pytest.raises(RuntimeError, match=r"more than 5 threads.*run\(max_threads=\)"):
            run(main, procs=n, max_threads=5)
        assert run(gosched_and_give, 7) == 7

    def test_as_many_as_allowed(self) -> None:
        async def main() -> None:
            barrier = threading.Barrier(8)
            for g in [go(barrier.wait) for _ in range(8)]:
                await g

        run(main, procs=1, max_threads=10)

    @pytest.mark.parametrize(
        ("value", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
    )
    def test_bad_limits(self, value: int, error: type[Exception]) -> None:
        with pytest.raises(error, match="max_threads"):
            run(gosched_and_give, 7, max_threads=value)


def dummies() -> int:
    """Threads that `threading` has met, and did not start."""
    return sum(t.name.startswith("Dummy") for t in threading.enumerate())


async def gosched_and_give(value: int) -> int:
    await gosched()
    return value


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_idle_program_costs_nothing() -> None:
    async def main() -> float:
        await sleep(0.2)
        before = time.process_time()
        await sleep(1)
        return time.process_time() - before

    assert run(main, procs=2) < 0.05


def test_a_lone_blocker_keeps_its_p() -> None:
    """Nobody waits, so nothing is taken: the handing over costs no one anything."""

    async def main() -> None:
        for _ in range(10):
            time.sleep(0.02)  # noqa: ASYNC251  it blocks on purpose
        assert sum(p["taken"] for p in procs()) <= 2

    run(main, procs=1)
