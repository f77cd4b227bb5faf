"""The scheduler's rules in programs that run: time slices, threads, the number of Ps."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

import gopark
from gopark import Chan, G, go, gosched, run, sleep
from gopark.runtime.export_test import check_sched, counts, preempt, procs, shrink_rings, where


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    while not condition():
        await sleep(0.0005)


async def nothing() -> None:
    pass


def let_threads_run() -> None:
    """Where there is a GIL, they need it."""
    time.sleep(0)


async def tick() -> None:
    """Move the schedtick on: at 0 the global queue goes first."""
    first, second = go(nothing()), go(nothing())
    await first
    await second
    assert where()[2] % 61


# -- the queues of one P ------------------------------------------------------


def test_runnext_inherits_the_time_slice() -> None:
    ticks = {}

    async def child(name: str) -> None:
        ticks[name] = where()[2]

    async def main() -> None:
        ticks["main"] = where()[2]
        a, b = go(child("a")), go(child("b"))
        await a
        await b

    run(main, procs=1)
    # b was made last, so it is next, and a was pushed out into the ring.
    assert ticks["b"] == ticks["main"]
    assert ticks["a"] == ticks["main"] + 1


def test_a_ping_pong_is_one_time_slice() -> None:
    async def pong(a: Chan[int], b: Chan[int]) -> None:
        async for n in a:
            await b.send(n)

    async def main() -> int:
        a, b = Chan[int](), Chan[int]()
        go(pong(a, b))
        before = where()[2]
        for n in range(20):
            await a.send(n)
            assert await b.recv() == n
        return where()[2] - before

    assert run(main, procs=1) == 0


def test_gosched_goes_behind_the_global_queue() -> None:
    order = []

    async def child(name: str) -> None:
        order.append(name)
        await gosched()
        order.append(name)

    async def main() -> None:
        await tick()
        children = [go(child(name)) for name in "abc"]
        before = where()[2]
        await gosched()
        assert where()[2] > before
        order.append("main")
        for g in children:
            await g

    run(main, procs=1)
    assert order[:3] == ["c", "a", "b"]  # runnext, then the ring
    assert order[3:] == ["main", "c", "a", "b"]


def test_overflow_of_the_ring() -> None:
    async def main() -> tuple[int, int, list[int]]:
        ran = []

        async def child(n: int) -> None:
            ran.append(n)

        children = [go(child(n)) for n in range(258)]  # one in runnext, 256 in the ring, 1 more
        (p,), size = procs(), counts()["runqsize"]
        for g in children:
            await g
        return p["queued"], size, ran

    queued, size, ran = run(main, procs=1)
    assert (queued, size) == (128, 129)
    assert sorted(ran) == list(range(258))


def test_global_queue_is_not_starved_by_the_local_one() -> None:
    """Two that keep making each other would run for ever, but for the 61st tick."""
    done = []

    async def rabbit() -> None:
        if not done:
            go(rabbit())
            go(nothing())  # pushes the rabbit out of runnext: it moves the tick

    async def main() -> None:
        go(rabbit())
        await gosched()  # through the global queue
        done.append(True)

    run(main, procs=1)


def test_a_ping_pong_starves_nobody() -> None:
    """It hands the time slice to and fro, so somebody must see to the slice's end."""
    done = []

    async def ping(a: Chan[int], b: Chan[int]) -> None:
        while not done:
            await a.send(1)
            await b.recv()
        a.close()

    async def pong(a: Chan[int], b: Chan[int]) -> None:
        async for n in a:
            await b.send(n)

    async def main() -> None:
        await tick()
        a, b = Chan[int](), Chan[int]()
        pair = go(ping(a, b)), go(pong(a, b))
        await gosched()
        done.append(True)
        for g in pair:
            await g

    run(main, procs=1)


@pytest.mark.parametrize("operation", ["send", "recv", "recv_ok", "next", "select", "default"])
def test_the_end_of_a_time_slice_is_honoured_by_what_need_not_wait(operation: str) -> None:
    async def main() -> None:
        ran = []

        async def other() -> None:
            ran.append(True)

        await tick()
        c = Chan[int](2)
        await c.send(7)
        go(other())
        preempt(0)
        assert not ran
        match operation:
            case "send":
                await c.send(8)
                assert len(c) == 2
            case "recv":
                assert await c.recv() == 7
            case "recv_ok":
                assert await c.recv_ok() == (7, True)
            case "next":
                assert await c.__anext__() == 7
            case "select":
                assert await gopark.select(None, c) == (1, 7)
            case "default":
                assert await gopark.select(Chan(), default=True) == (-1, None)
        assert ran

    run(main, procs=1)


# -- threads ------------------------------------------------------------------


def test_threads_are_started_on_demand() -> None:
    async def main() -> int:
        assert counts()["nm"] == 1
        assert counts()["npidle"] == 7
        await go(nothing())
        return counts()["nm"]

    before = threading.active_count()
    assert run(main, procs=8) >= 2
    assert run(main_alone, procs=8) == 1
    assert threading.active_count() <= before


async def main_alone() -> int:
    return counts()["nm"]


def test_idle_threads_are_reused() -> None:
    async def main() -> int:
        for _ in range(300):
            children = [go(sleep(0.0001)) for _ in range(8)]
            for g in children:
                await g
        return counts()["nm"]

    # One M may sleep in the poller, others may be on their way to sleep.
    assert run(main, procs=4) < 16


IDLE = """
import sys, threading, time
import gopark

procs, how = int(sys.argv[1]), sys.argv[2]

async def child(c):
    await gopark.gosched()
    await c.recv()

async def main():
    c, never = gopark.Chan(), gopark.Chan()
    for _ in range(100):
        gopark.go(child(never))
    for _ in range(100):
        gopark.go(child(c))
    for _ in range(100):
        await c.send(None)
    await gopark.sleep(0.05)
    before = time.process_time()
    if how == "sleep":
        await gopark.sleep(1)
    elif how == "thread":  # one that the runtime knows nothing of will wake it
        threading.Timer(1, lambda: c.send_nowait(None)).start()
        await c.recv()
    else:
        time.sleep(1)
    return time.process_time() - before

print(gopark.run(main, procs=procs))
"""


@pytest.mark.parametrize("how", ["sleep", "thread", "plain"])
@pytest.mark.parametrize("n", [1, 2, 8])
def test_an_idle_program_uses_no_cpu(n: int, how: str) -> None:
    used = subprocess.check_output([sys.executable, "-c", IDLE, str(n), how], text=True)
    assert float(used) < 0.02


@pytest.mark.parametrize("n", [2, 4])
def test_a_parked_goroutine_goes_on_on_any_thread(n: int) -> None:
    async def main() -> None:
        seen: list[set[int]] = [set() for _ in range(n)]

        async def wanderer(mine: set[int], mixed: Chan[int]) -> None:
            i = 0
            while not all(len(idents) >= 2 for idents in seen):
                mine.add(threading.get_ident())
                i += 1
                match i % 3:
                    case 0:
                        await gosched()
                    case 1:
                        await sleep(0.0001)
                    case 2:
                        await gopark.select(mixed, (mixed, i), timeout=0.0001)
                        let_threads_run()

        mixed = Chan[int](1)
        wanderers = [go(wanderer(idents, mixed)) for idents in seen]
        for g in wanderers:
            await g

    async def select_may_time_out() -> None:
        await main()

    run(select_may_time_out, procs=n)


# -- the number of Ps ---------------------------------------------------------


def test_procs_is_what_run_is_told() -> None:
    for n in (1, 3, 8, 100):
        assert run(gopark.gomaxprocs, procs=n) == n


def test_procs_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMAXPROCS", "5")
    assert run(gopark.gomaxprocs) == 5
    assert run(gopark.gomaxprocs, procs=2) == 2


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "1.5"])
def test_a_useless_environment_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    usual = run(gopark.gomaxprocs)
    monkeypatch.setenv("GOMAXPROCS", value)
    assert run(gopark.gomaxprocs) == usual


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="for interpreters with the GIL"
)
def test_one_p_with_the_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    assert run(gopark.gomaxprocs) == 1


def test_gomaxprocs_gives_the_number_before() -> None:
    async def main() -> list[int]:
        return [gopark.gomaxprocs(n) for n in (3, 1, 8, None, 8, 2)] + [gopark.gomaxprocs()]

    assert run(main, procs=2) == [2, 3, 1, 8, 8, 8, 2]


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (True, TypeError)]
)
def test_gomaxprocs_refuses(n: object, error: type[Exception]) -> None:
    async def main() -> None:
        with pytest.raises(error, match="n must be"):
            gopark.gomaxprocs(n)  # type: ignore[arg-type]
        assert gopark.gomaxprocs() == 2

    run(main, procs=2)


def test_queues_outlive_their_p() -> None:
    async def main() -> None:
        ran = []

        async def child(n: int) -> None:
            ran.append(n)

        children = [go(child(n)) for n in range(1000)]
        for n in (8, 3, 1, 2, 1):
            gopark.gomaxprocs(n)
            check_sched()
        for g in children:
            await g
        assert sorted(ran) == list(range(1000))

    run(main, procs=8)


def test_timers_outlive_their_p() -> None:
    async def main() -> None:
        async def child(n: int) -> int:
            await sleep(0.02 + n % 10 / 1000)
            return n

        children = [go(child(n)) for n in range(400)]
        await sleep(0.01)
        gopark.gomaxprocs(1)
        check_sched()
        assert procs()[0]["timers"] >= 1
        gopark.gomaxprocs(4)
        assert [await g for g in children] == list(range(400))

    run(main, procs=8)


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 2, 8])
def test_tiny_rings(n: int, slots: int) -> None:
    """Overflow, wrap-around and stealing, all the time."""

    async def worker(c: Chan[int], out: Chan[int], left: int) -> None:
        child: G[None] | None = None
        if left:
            child = go(worker(c, out, left - 1))
        async for v in c:
            await out.send(v)
            await gosched()
        if child is not None:
            await child

    async def main() -> None:
        shrink_rings(slots)
        c, out = Chan[int](), Chan[int](3)
        workers = [go(worker(c, out, 4)) for _ in range(5)]

        async def feed() -> None:
            for v in range(500):
                await c.send(v)
            c.close()

        go(feed())
        got = [await out.recv() for _ in range(500)]
        assert sorted(got) == list(range(500))
        for g in workers:
            await g
        check_sched()

    run(main, procs=n)
